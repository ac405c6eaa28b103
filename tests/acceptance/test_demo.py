"""``pacifica-dispatcher demo`` shows a notification on its whole way; its exit status says whether all went well."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._cli import demo
from pacifica.dispatcher._cli.demo_handler import Uppercase
from support.command_line import run, started

STEPS = ('archive', 'listening', 'received', 'routed', 'staged in', 'staged in', 'handled', 'staged out', 'ended')


@pytest.fixture
def temporary(tmp_path: Path) -> dict[str, str]:
    """Environment in which temporary files, and so all of the demo, lie in the test's own directory."""
    return {'TMPDIR': str(tmp_path), 'COLUMNS': '80'}


def record_in(output: str) -> dict[str, str]:
    """Return the record that was printed as JSON."""
    start = output.index('{\n')
    record, _ = json.JSONDecoder().raw_decode(output[start:])
    assert isinstance(record, dict)
    return record


def test_demo_shows_each_step_and_leaves_a_bundle_that_verifies(tmp_path: Path, temporary: dict[str, str]) -> None:
    done = run('demo', cwd=tmp_path, env=temporary)
    assert (done.returncode, done.stderr) == (0, '')
    assert tuple(re.findall(r'^ *[\d.]+ s  ([a-z ]+?)  ', done.stdout, re.MULTILINE)) == STEPS
    record = record_in(done.stdout)
    assert (record['taskStatus'], record['eventType']) == ('200 OK', 'org.pacifica.metadata.ingest')
    path = re.search(r'^The bundle, ready for Pacifica Ingest: (.+)$', done.stdout, re.MULTILINE)
    assert path
    with tarfile.open(path[1]) as bundle:
        notes = bundle.extractfile('data/notes.txt')
        assert notes and notes.read().startswith(b'SAMPLE 7, FIRST LIGHT.')
        assert sorted(bundle.getnames()) == ['data/notes.txt', 'data/spectra/run-7.csv', 'metadata.txt']
    assert len(re.findall(r'^  data/\S+ +\d+ bytes  sha1 [0-9a-f]{40}  verified$', done.stdout, re.MULTILINE)) == 2
    assert 'Pacifica.Dispatcher.source_transaction = 19' in done.stdout


def test_demo_needs_no_network_and_no_proxy(tmp_path: Path, temporary: dict[str, str]) -> None:
    nowhere = dict.fromkeys(('http_proxy', 'HTTP_PROXY', 'https_proxy', 'all_proxy'), 'http://192.0.2.1:9')
    assert run('demo', cwd=tmp_path, env={**temporary, **nowhere}).returncode == 0


def test_demo_prints_on_a_terminal_without_unicode(tmp_path: Path, temporary: dict[str, str]) -> None:
    assert run('demo', cwd=tmp_path, env={**temporary, 'PYTHONIOENCODING': 'ascii'}).returncode == 0


@pytest.mark.parametrize('number', [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_keep_leaves_the_receiver_up_until_a_signal(
    tmp_path: Path, temporary: dict[str, str], number: signal.Signals,
) -> None:
    with started('demo', '--keep', cwd=tmp_path, env=temporary) as kept:
        url = kept.expect(r'The receiver is up at (http://127\.0\.0\.1:\d+) until')[1]
        event = Path(kept.expect(r'--data-binary @(\S+)')[1]).read_bytes()
        assert len(kept.call(f'{url}/')) == 1
        task_id = kept.call(f'{url}/receive', event.replace(b'ingest.19', b'ingest.20'))
        assert {each['taskID'] for each in kept.call(f'{url}/')} >= {task_id}
        assert kept.stop(number) == 0


def test_demo_fails_if_the_event_does_not_end_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(self: Uppercase, event: object) -> None:
        raise RuntimeError('the handler is broken')

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(Uppercase, 'handle', fail)
    assert demo.run(keep=False) == 1
    output = capsys.readouterr().out
    assert record_in(output)['taskStatus'] == '500 Internal Server Error'
    assert 'The event ended in 500 Internal Server Error, with 0 bundles.' in output


def test_demo_fails_if_the_bundle_is_not_what_its_metadata_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    upload = demo.LocalUploaderRunner.upload

    def spoil(*args: Any, **settings: Any) -> Any:
        uploaded: Any = upload(*args, **settings)
        path = uploaded[0].path
        path.write_bytes(path.read_bytes().replace(b'SAMPLE', b'simple'))
        return uploaded

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(demo.LocalUploaderRunner, 'upload', spoil)
    assert demo.run(keep=False) == 1
    assert re.search(r'data/notes.txt .* has sha1 [0-9a-f]{40}; the metadata say', capsys.readouterr().out)


def test_the_packaged_event_tells_the_truth_about_the_packaged_files() -> None:
    data = demo.files(demo.__package__).joinpath('demo_data')
    rows = json.loads(data.joinpath('event.json').read_bytes())['data']
    files = [row for row in rows if row['destinationTable'] == 'Files']
    assert len(files) == 2
    for row in files:
        content = data.joinpath('files', row['subdir'], row['name']).read_bytes()
        assert (len(content), hashlib.sha1(content).hexdigest()) == (row['size'], row['hashsum'])
