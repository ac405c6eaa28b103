"""An event of very many files: what the default settings take, and the memory that the whole service needs for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.command_line import started
from support.events import wait_until

pytestmark = pytest.mark.slow

ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import File
from pacifica.dispatcher.router import Router

class Count(EventHandler):
    def handle(self, event):
        assert len(File.from_cloudevents_model(event)) == 100_000

router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Count())
'''


def large_event(number: int) -> bytes:
    files = [{
        'destinationTable': 'Files', '_id': number * 100_000 + file, 'name': f'scan-{file:06}.csv',
        'subdir': f'run/{file % 100}', 'size': 1, 'hashtype': 'sha1', 'hashsum': f'{file:040x}', 'mimetype': 'text/csv',
        'ctime': '2020-08-01T12:00:00', 'mtime': '2020-08-01T12:00:00', 'encoding': 'utf-8',
    } for file in range(100_000)]
    return json.dumps({
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventTime': '2020-08-01T12:00:00',
        'eventID': f'metadata.ingest.{number}', 'contentType': 'application/json', 'extensions': {},
        'source': f'http://metadata.pacifica.org/transactions?_id={number}',
        'data': [*files, {'destinationTable': 'Transactions._id', 'value': number}],
    }).encode()


def peak_mib(pid: int) -> float:
    return int(re.findall(r'VmHWM:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())[0]) / 1024


@pytest.mark.timeout(180)
@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='memory is read from /proc')
def test_an_event_of_100_000_files_is_received_and_handled_within_600_mib(tmp_path: Path) -> None:
    (tmp_path / 'routes.py').write_text(ROUTES)
    body = large_event(19)
    assert len(body) > 28_000_000

    with started('serve', 'routes:router', '--port', '0', cwd=tmp_path) as service:
        url = service.expect(r'listening: POST events to (http://\S+)/receive')[1]
        task_id = service.call(f'{url}/receive', body)
        wait_until(lambda: service.call(f'{url}/status/{task_id}') == '200 OK', 120)
        peak = peak_mib(service.process.pid)
        assert service.stop() == 0

    print(f'peak of the service: {peak:.0f} MiB')
    assert peak < 600
