"""A service follows its routes file: what is good it takes, what is wrong it refuses and says, and goes on."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._routes import following
from pacifica.dispatcher.router import Router
from support.command_line import Running, run, started
from support.events import dumps, wait_until
from support.queues import drain, queue_of, record
from support.routes_files import BAD, GOOD, event, lay_out

# The handler in Python runs in the same processes as the program.
BOTH = f'''{GOOD}
[[route]]
name = "upper"
when = {{ instrument = 34 }}
handler = "handlers_of_routes:Upper"
timeout = "1m"

[service]
database = "sqlite:///kept.db"
port = 0
'''


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a routes file, and what goes with it."""
    monkeypatch.setattr(sys, 'path', sys.path[:])
    lay_out(tmp_path)
    yield tmp_path
    for name in ('handlers_of_routes', 'broken_handlers'):
        sys.modules.pop(name, None)


def test_a_service_refuses_all_that_is_wrong_says_so_once_and_goes_on(
    directory: Path, model: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('_LOOK_SECONDS', '_SETTLED_SECONDS', '_AGAIN_SECONDS'):
        monkeypatch.setattr(following, name, 0.0)
    file = directory / 'routes.toml'
    queue = queue_of(model, Router.from_file(file))
    worker = queue.create_worker(concurrency=1)
    for bad in BAD.values():
        caplog.clear()
        file.write_text(GOOD + bad.text)
        queue.router.refresh()
        queue.router.refresh()
        [entry] = [entry for entry in caplog.records if entry.message.startswith('routes.')]
        said = entry.error  # type: ignore[attr-defined]  # made of extra=
        assert entry.message == 'routes.refused' and bad.words in said
        task_id = queue.delay(event()).id
        assert drain(worker) == 1
        assert record(model, task_id).task_status == '200 OK'
    caplog.clear()
    file.unlink()
    queue.router.refresh()
    assert [entry.error for entry in caplog.records] == [  # type: ignore[attr-defined]  # made of extra=
        f'{file} can\'t be read: No such file or directory']
    file.write_text(GOOD.replace('54', '34'))
    task_id = queue.delay(event()).id
    assert drain(worker) == 1
    assert record(model, task_id).exc_type == 'RouteNotFoundRouterError'


def sent(service: Running, url: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Send an event, and return its record once it has ended."""
    task_id = service.call(f'{url}/receive', dumps(sent).encode())
    wait_until(lambda: not service.call(f'{url}/status/{task_id}').startswith(('1', '202')))
    found: dict[str, Any] = service.call(f'{url}/get/{task_id}')
    return found


def uploaded(directory: Path) -> dict[str, bytes]:
    """Return the files of all bundles."""
    found: dict[str, bytes] = {}
    for bundle in directory.glob('bundles/*.tar'):
        with tarfile.open(bundle) as tar:
            for name in tar.getnames():
                file = tar.extractfile(name)
                found[name] = b'' if file is None else file.read()
    return found


def test_serve_runs_the_routes_of_a_file_and_follows_it(directory: Path, tmp_path_factory: Any) -> None:
    file = directory / 'routes.toml'
    file.write_text(BOTH)
    with started('serve', str(file), cwd=tmp_path_factory.mktemp('elsewhere')) as service:
        url = service.expect(r'POST events to (http://127\.0\.0\.1:\d+)/receive')[1]
        assert "1. checksums: instrument(54) & files('*.csv') → run\n" in service.output
        first = sent(service, url, event())
        assert (first['taskStatus'], first['taskApplicationName']) == ('200 OK', 'routes')
        assert sent(service, url, event(34))['taskStatus'] == '200 OK'
        assert sent(service, url, event(7))['taskStatus'].startswith('422')

        file.write_text(BOTH.replace('instrument = 34', 'instrumnt = 7'))
        service.expect(r"routes.refused error=routes.toml, line 12: there is no key 'instrumnt' here; the nearest")
        assert sent(service, url, event(34))['taskStatus'] == '200 OK'

        file.write_text(BOTH.replace('instrument = 34', 'instrument = 7'))
        service.expect('routes.taken')
        assert sent(service, url, event(7))['taskStatus'] == '200 OK'
        assert sent(service, url, event(34))['taskStatus'].startswith('422')
        assert service.stop() == 0
        assert service.output.count('routes.') - service.output.count('routes.toml') == 2

    assert (directory / 'kept.db').exists()
    bundles = uploaded(directory)
    assert bundles['data/md5sums.txt'].decode().endswith('download/a.csv\n')
    assert bundles['data/a.csv'] == b'A,B\n'


def test_a_setting_that_is_wrong_is_refused_with_its_line(directory: Path) -> None:
    (directory / 'routes.toml').write_text(f'{GOOD}\n[service]\nconcurency = 7\n')
    refused = run('serve', 'routes.toml', cwd=directory)
    assert refused.returncode == 2
    assert refused.stderr == ("pacifica-dispatcher: routes.toml: [service] has no key 'concurency'; the nearest one is "
                              "'concurrency' (line 11)\n")


def test_check_explains_each_condition_of_a_file(directory: Path) -> None:
    (directory / 'event.json').write_text(json.dumps(event(34)))
    (directory / 'routes.toml').write_text(GOOD.replace('"scripts/run"', '"scripts/run", "archive/a.csv"'))
    checked = run('check', 'routes.toml', 'event.json', cwd=directory)
    assert checked.returncode == 1
    assert checked.stdout == f'''\
routes.toml, routes:
  1. checksums: instrument(54) & files('*.csv') → run
warning: routes.toml, line 8: the argument 'archive/a.csv' lies beside this file, but is looked for in the directory \
of each event: write "{{directory}}/archive/a.csv"

event.json: CloudEvents 0.1, type org.pacifica.metadata.ingest, id {event_id(directory)}
  1. doesn't match: instrument is 34, not 54
  → no route: it will end in 422
'''


def event_id(directory: Path) -> str:
    return str(json.loads((directory / 'event.json').read_text())['eventID'])
