"""``check`` shows where events go and why, and says so in its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._lineage import step
from support.front_door import INGEST

ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import ExceptionEventHandler, NoopEventHandler
from pacifica.dispatcher.router import Router

class Fails:
    def match(self, value):
        raise KeyError('no key')

router, hidden, fails, named, never = Router(), Router(), Router(), Router(), Router()
for path, handler in (
    ('$[?(@["eventType"] = "other")]', ExceptionEventHandler()),
    ('$["data"][*][?(@["destinationTable"] = "Files")]', NoopEventHandler()),
    ('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]', ExceptionEventHandler()),
):
    router.add_route(Path.parse_str(path), handler)
for path in ('$["a"]', '$["b"]', '$.a', '$', '$["c"]'):
    hidden.add_route(Path.parse_str(path), NoopEventHandler())
named.add_route(Path.parse_str('$'), NoopEventHandler(), name='again')
never.add_route(Path.parse_str('$.data[?(@.name = "a.csv")]'), NoopEventHandler())
fails.add_route(Fails(), NoopEventHandler())
fails.add_route(Path.parse_str('$'), NoopEventHandler())
'''
OTHER = {'specversion': '1.0', 'id': '1', 'source': '/a', 'type': 'unknown'}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be in a directory with routes and event files."""
    (tmp_path / 'checked.py').write_text(ROUTES)
    (tmp_path / 'ingest.json').write_text(json.dumps(INGEST))
    (tmp_path / 'other.json').write_text(json.dumps(OTHER))
    (tmp_path / 'bad.json').write_text(json.dumps({**INGEST, 'eventID': '', 'source': None}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    yield tmp_path
    sys.modules.pop('checked', None)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """Return the exit status and what was printed."""
    with pytest.raises(SystemExit) as exit_:
        main(['check', *arguments])
    output = capsys.readouterr()
    assert output.err == ''
    return exit_.value.code, output.out


def test_the_first_route_that_matches_wins(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:router', 'ingest.json')
    assert status == 0
    assert output == '''\
checked:router, routes:
  1. $[?(@["eventType"] = "other")] → ExceptionEventHandler
  2. $["data"][*][?(@["destinationTable"] = "Files")] → NoopEventHandler
  3. $[?(@["eventType"] = "org.pacifica.metadata.ingest")] → ExceptionEventHandler

ingest.json: CloudEvents 0.1, type org.pacifica.metadata.ingest, id metadata.ingest.19
  1. doesn't match: the event doesn't satisfy ?(@["eventType"] = "other")
       @["eventType"] = "other" is false: @["eventType"] is "org.pacifica.metadata.ingest"
  2. matches: selects $["data"][2], which is an object of 10 members
       1 of the 4 values at $["data"][*] satisfy ?(@["destinationTable"] = "Files")
       @["destinationTable"] = "Files" is true: @["destinationTable"] is "Files"
  3. matches, but route 2 comes first: selects $, which is an object of 8 members
       @["eventType"] = "org.pacifica.metadata.ingest" is true: @["eventType"] is "org.pacifica.metadata.ingest"
  → route 2, NoopEventHandler
'''


def test_an_event_without_a_route_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:router', 'ingest.json', 'other.json')
    assert status == 1
    assert 'other.json: CloudEvents 1.0, type unknown, id 1\n' in output
    assert 'the event has no member "data": it has "specversion", "id", "source", "type"\n' in output
    assert output.endswith('  → no route: it will end in 422\n')


def test_an_event_that_would_be_refused_is_a_no_with_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:router', 'bad.json')
    assert status == 1
    assert output.endswith('''
bad.json: the receiver refuses it
  source: must be a non-empty string
  eventID: must be a non-empty string
''')


def test_a_route_that_can_match_nothing_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:never')
    assert status == 0
    assert output.splitlines()[2] == (
        'warning: route 1 matches no event of Pacifica Metadata: $["data"] is an array, and what is asked is a field '
        'of its elements: write $["data"][*][?(@["name"] = "a.csv")]')
    _, output = check(capsys, 'checked:never', '--json')
    [route] = json.loads(output)['routes']
    assert len(route['neverMatches']) == 1


def test_routes_that_no_event_reaches_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:hidden')
    assert status == 0
    assert [line for line in output.splitlines() if 'warning' in line] == [
        'warning: no event reaches route 3: route 1 takes all that it matches',
        'warning: no event reaches route 5: route 4 takes all that it matches',
    ]


def test_a_route_that_cannot_be_asked_ends_the_search_as_it_would_end_the_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, output = check(capsys, 'checked:fails', 'ingest.json')
    assert status == 1
    assert "  1. can't be asked: asking it fails: KeyError: 'no key'\n  → no route" in output


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, 'checked:router', 'ingest.json', 'bad.json', '--json')
    found = json.loads(output)
    assert status == 1
    assert [route['handler'] for route in found['routes']] == [
        'ExceptionEventHandler', 'NoopEventHandler', 'ExceptionEventHandler']
    good, bad = found['events']
    assert (good['cloudEventsVersion'], good['route']) == ('0.1', 2)
    assert [route['matches'] for route in good['routes']] == [False, True, True]
    assert (bad['route'], bad['routes'], len(bad['faults'])) == (None, [], 2)


@pytest.mark.parametrize('arguments, reason', [
    (['checked:router', 'nowhere.json'], "File 'nowhere.json' does not exist"),
    (['checked:router', 'checked.py'], 'checked.py: it is not JSON'),
    (['checked:nothing'], "module 'checked' has no 'nothing'"),
])
def test_what_cannot_be_checked_is_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['check', *arguments])
    output = capsys.readouterr()
    assert (exit_.value.code, output.out, output.err.count('\n')) == (2, '', 1)
    assert reason in output.err


def test_a_route_that_would_skip_the_event_is_said_to(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {'Pacifica.Dispatcher.source_transaction': 19, 'Pacifica.Dispatcher.lineage.1': step('my.app', 'again')}
    rows = [{'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value} for key, value in keys.items()]
    (directory / 'result.json').write_text(json.dumps({**INGEST, 'data': rows}))

    status, shown = check(capsys, 'checked:named', 'result.json', '--name', 'my.app')
    other, not_skipped = check(capsys, 'checked:named', 'result.json', '--name', 'other.app')
    _, as_json = check(capsys, 'checked:named', 'result.json', '--name', 'my.app', '--json')

    assert (status, other) == (0, 0)
    assert '    which skips it: made by my.app/again from transaction 19\n' in shown
    assert 'skips' not in not_skipped
    assert '"skipped": "made by my.app/again from transaction 19"' in as_json
