"""What can't work is refused in one clear line, with exit status 2 and no traceback."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.dispatcher._cli import main
from support.command_line import refusal
from support.isolation import kept_logging

SERVED = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Router
router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), NoopEventHandler())
nothing = {}
'''


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be in a directory with a module ``served`` and some broken ones; forget them afterwards."""
    (tmp_path / 'served.py').write_text(SERVED)
    (tmp_path / 'needs_more.py').write_text('import not_installed\n')
    (tmp_path / 'not_python.py').write_text('def (:\n')
    (tmp_path / 'raises.py').write_text('raise ValueError("first line\\nsecond line")\n')
    (tmp_path / 'bad_path.py').write_text('from jsonpath2.path import Path\n\npath = Path.parse_str("$[?")\n')
    (tmp_path / 'exits.py').write_text('import sys; sys.exit("away")\n')
    (tmp_path / 'text').write_text('this is text, ' * 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    monkeypatch.delenv('DATABASE_URL', raising=False)
    with kept_logging():
        yield tmp_path
    for name in ('served', 'needs_more', 'not_python', 'raises', 'exits', 'bad_path'):
        sys.modules.pop(name, None)


@pytest.mark.parametrize('command', ['serve', 'work'])
@pytest.mark.parametrize('reference, reason', [
    ('nowhere:router', "there is no module 'nowhere', neither in .* nor installed"),
    ('nowhere.inside:router', "there is no module 'nowhere'"),
    ('served', "'served' is not MODULE:ROUTER: .* for example my_package.routes:router"),
    ('served.py:router', 'a module as "import" names it, not its file'),
    ('./served:router', 'is not MODULE:ROUTER'),
    (':router', 'is not MODULE:ROUTER'),
    ('served:', 'is not MODULE:ROUTER'),
    ('served:ruoter', "module 'served' has no 'ruoter'; routers in it: served:router"),
    ('served:nothing', 'served:nothing is of type dict, not a pacifica.dispatcher.router.Router'),
    ('served:Router', 'served:Router is of type type'),
    ('needs_more:router', r"importing 'needs_more' failed: ModuleNotFoundError: .*'not_installed' \(.*needs_more.py, "),
    ('not_python:router', r"importing 'not_python' failed: SyntaxError: .*\(not_python.py, line 1\)"),
    ('raises:router', r"importing 'raises' failed: ValueError: first line second line \(.*raises.py, line 1\)"),
    ('exits:router', "importing 'exits' failed: SystemExit: away"),
])
def test_bad_router(command: str, reference: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(reason, refusal(capsys, command, reference))


def test_a_mistake_that_a_library_finds_is_shown_where_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['serve', 'bad_path:router'])
    assert exit_.value.code == 2
    *_said_by_jsonpath2, line = capsys.readouterr().err.splitlines()
    assert re.search(r"importing 'bad_path' failed: ValueError: .*\(.*bad_path.py, line 3\)$", line)


@pytest.mark.parametrize('command', ['serve', 'work'])
@pytest.mark.parametrize('url, reason', [
    ('events.db', "'events.db' is not the URL of a database: write sqlite:///FILE, "),
    ('oracle://host/name', "'oracle://host/name' is not the URL of a database"),
    ('postgresql://me:secret@host:port/name', r"'postgresql://me:\*\*\*@host:port/name' names no database, or no"),
    ('postgresql://me:se/secret@x@host/name', r"'postgresql://me:\*\*\*@host/name' names no database, or no"),
    ('postgresql://host?password=secret', r"'postgresql://host\?password=\*\*\*' names no database"),
    ('sqlite://events.db', "'sqlite://events.db' has no file: write sqlite:///events.db$"),
    ('sqlite:events.db', "'sqlite:events.db' has no file: write sqlite:///events.db"),
    ('sqlite://data/events.db', "'sqlite://data/events.db' has no file: write sqlite:///data/events.db"),
    ('sqlite:///x.db?timeout=soon', r"'sqlite:///x.db\?timeout=soon' has a setting that SQLite does not take: "),
    ('sqlite:///events.db?host=x', r"\?host=x' has a setting that SQLite does not take: 'host' is an invalid"),
    ('sqlite:////no/such/directory/events.db', "database '/no/such/directory/events.db' can't be used: unable to open"),
    ('sqlite:///text', "database 'text' can't be used: file is not a database"),
    ('sqlite:///:memory:', 'an in-memory SQLite database .* use a file, for example sqlite:///events.db'),
])
def test_bad_database(command: str, url: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, command, 'served:router', '--database', url)
    assert re.search(reason, line)
    assert 'secret' not in line


@pytest.mark.parametrize('url', ['postgresql://me:secret@127.0.0.1:1/name', 'mysql://me:secret@127.0.0.1:1/name'])
def test_database_that_does_not_answer(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('psycopg' if 'postgresql' in url else 'pymysql')
    line = refusal(capsys, 'serve', 'served:router', '--database', url)
    assert 'name' in line and 'refused' in line.lower()
    assert 'secret' not in line


def test_database_that_does_not_exist(postgresql_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = postgresql_url.rpartition('/')[0] + '/no_such_database'
    assert 'database "no_such_database" does not exist' in refusal(capsys, 'work', 'served:router', '--database', url)


def test_bad_database_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv('DATABASE_URL', 'nonsense')
    assert "'nonsense' is not the URL of a database" in refusal(capsys, 'serve', 'served:router')


@pytest.mark.parametrize('port', ['65536', '-1', 'http', '80.5', ''])
def test_bad_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Invalid value for '--port'" in refusal(capsys, 'serve', 'served:router', '--port', port)


# cheroot leaves a socket that it could not bind to the garbage collector.
UNBOUND = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning', 'ignore::ResourceWarning')


@UNBOUND
def test_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(capsys, 'serve', 'served:router', '--database', 'sqlite:///events.db', '--port', port)
    assert f"can't listen on port {port} of 127.0.0.1: Address already in use; choose others" in line


@UNBOUND
def test_host_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(
        capsys, 'serve', 'served:router', '--database', 'sqlite:///events.db', '--host', '192.0.2.1', '--insecure')
    assert 'of 192.0.2.1' in line


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.0.2.1', 'example.org'])
def test_an_address_that_others_reach_without_authentication(capsys: pytest.CaptureFixture[str], host: str) -> None:
    line = refusal(capsys, 'serve', 'served:router', '--database', 'sqlite:///events.db', '--host', host)
    assert host in line and '--authenticate' in line and '--insecure' in line


@pytest.mark.parametrize('value, reason', [
    ('served', 'is not MODULE:NAME'), ('nowhere:schemes', 'there is no module'), ('served:none', "has no 'none'"),
    ('served:router.add_route.__doc__', 'is no scheme'),
])
def test_authentication_that_is_none(capsys: pytest.CaptureFixture[str], value: str, reason: str) -> None:
    line = refusal(capsys, 'serve', 'served:router', '--database', 'sqlite:///events.db', '--authenticate', value)
    assert reason in line


@pytest.mark.parametrize('command', ['serve', 'work'])
@pytest.mark.parametrize('arguments, reason', [
    (['--notify', 'other:8069'], 'the URL must be http://HOST'),
    (['--notify', 'http://me:secret@other/receive'], 'no user or password in the URL'),
    (['--notify', 'http://other/receive', '--notify-token-env', 'NOT_SET'], 'variable NOT_SET holds no secret'),
    (['--notify-token-env', 'NOT_SET'], '--notify-token-env is the token for --notify'),
])
def test_a_receiver_that_cant_be_told(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], reason: str,
) -> None:
    line = refusal(capsys, command, 'served:router', '--database', 'sqlite:///events.db', *arguments)
    assert reason in line
    assert 'secret@' not in line


def test_empty_host(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, 'serve', 'served:router', '--database', 'sqlite:///events.db', '--host', '')
    assert 'can\'t listen' in line and '0.0.0.0' in line


@pytest.mark.parametrize('arguments, reason', [
    (['sevre'], 'No such command \'sevre\'. .*See "pacifica-dispatcher --help".'),
    (['serve'], 'Missing argument \'MODULE:ROUTER\'. See "pacifica-dispatcher serve --help".'),
    (['serve', 'served:router', 'more'], r'unexpected extra argument.*See "pacifica-dispatcher serve --help"'),
    (['serve', 'served:router', '--prot', '1'], r"No such option:? '?--prot"),
    (['work', 'served:router', '--concurrency', '0'], "Invalid value for '--concurrency': 0 is not in the range"),
    (['demo', '--forever'], r"No such option:? '?--forever"),
])
def test_bad_usage(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(reason, refusal(capsys, *arguments))


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h']])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    output = capsys.readouterr().out
    assert all(re.search(rf'^  {name} ', output, re.MULTILINE) for name in ('demo', 'serve', 'work'))


def test_missing_drivers_are_named_with_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('peewee.mysql', None)
    line = refusal(capsys, 'serve', 'served:router', '--database', 'mysql://root@127.0.0.1/test')
    assert 'pip install "pacifica-dispatcher[mysql]"' in line
