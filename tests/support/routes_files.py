"""Routes files for tests: one that is good, what goes with it, and thirty and more that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from support.events import ingest_event

GOOD = '''\
[archive]
download = "archive"
upload = "bundles"

[[route]]
name = "checksums"
when = { instrument = 54, files = ["*.csv"] }
command = ["scripts/run"]
'''

HANDLERS = '''\
from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, NoopEventHandler, StagedEventHandler

class Upper(EventHandler):
    def __init__(self, suffix=''):
        self.suffix = suffix

    def handle(self, event):
        for file in event.files:
            with event.open(file) as source, event.create(file.path + self.suffix) as target:
                target.write(source.read().upper())

upper = Upper('.made')
staged = StagedEventHandler(None, NoopEventHandler(), None)
nothing = 1

def make():
    return Upper('.factory')

def fails():
    raise ValueError('no such luck')

def wrong():
    return 1
'''


def lay_out(directory: Path, text: str = GOOD) -> Path:
    """Write a routes file, and beside it an archive, a script and a module with handlers; return its path."""
    (directory / 'archive').mkdir()
    (directory / 'archive' / 'a.csv').write_text('a,b\n')
    (directory / 'scripts').mkdir()
    (directory / 'scripts' / 'notes.txt').write_text('no program\n')
    script = directory / 'scripts' / 'run'
    script.write_text('#!/bin/sh\nfind download -type f -exec md5sum {} + > output/md5sums.txt\n')
    script.chmod(0o755)
    (directory / 'handlers_of_routes.py').write_text(HANDLERS)
    (directory / 'broken_handlers.py').write_text('import no_such_library\n')
    file = directory / 'routes.toml'
    file.write_text(text)
    return file


def event(instrument: int = 54) -> dict[str, Any]:
    """Return an event with the file of that archive."""
    made = ingest_event()
    for row in made['data']:
        if row['destinationTable'] == 'Transactions.instrument':
            row['value'] = instrument
    made['data'].append({'destinationTable': 'Files', '_id': 1, 'name': 'a.csv', 'subdir': '', 'size': 4})
    return made


class Bad(NamedTuple):
    """A file that is wrong: what is put after its first route, the line of the fault, counted there, and its cure."""

    text: str
    line: int
    words: str


ROUTE = '[[route]]\nname = "b"\ncommand = ["scripts/run"]\n'
BAD = {
    'a line without a value': Bad('[[route]]\nname =', 2, 'it is no TOML: Invalid value'),
    'a key twice': Bad(f'{ROUTE}name = "c"', 4, 'it is no TOML: Cannot overwrite a value'),
    'a table of another name': Bad('[routes]', 1, "no key 'routes' here; the nearest one is 'route'"),
    'a table instead of a list': Bad('[[archive.download]]', 1, 'no TOML'),
    'a misspelt key': Bad(f'{ROUTE}timout = "1m"', 4, "no key 'timout' here; the nearest one is 'timeout'"),
    'a misspelt condition': Bad(f'{ROUTE}when = {{ instrumnt = 1 }}', 4, "the nearest one is 'instrument'"),
    'a misspelt not': Bad(f'{ROUTE}[route.when]\ntype = "a"\nproject = {{ nto = "b" }}', 6, "the nearest one is 'not'"),
    'a misspelt key in an alternative': Bad(
        f'{ROUTE}when.any = [\n  {{ type = "a" }},\n  {{ tpye = "b" }},\n]', 6, "the nearest one is 'type'"),
    'a condition beside when': Bad(f'{ROUTE}instrument = 54', 4, 'it belongs into when: when = { instrument = … }'),
    'key-values beside when': Bad(
        f'{ROUTE}key_values = {{ a = "b" }}', 4, 'of which events: when = { key_values = … }; of uploads: upload = '),
    'no name': Bad('[[route]]\ncommand = ["scripts/run"]', 1, 'name is missing: write name = "…"'),
    'an empty name': Bad('[[route]]\nname = ""\ncommand = ["scripts/run"]', 2, 'the name of a route has 1 to 255'),
    'a name that is taken': Bad(
        '[[route]]\nname = "checksums"\ncommand = ["scripts/run"]', 2, "there is a route 'checksums' already"),
    'a name that is no text': Bad('[[route]]\nname = 3\ncommand = ["scripts/run"]', 2, 'name must be a text, not a wh'),
    'nothing to run': Bad('[[route]]\nname = "b"', 1, 'a route runs one of the two: command = ["…"] or handler'),
    'two things to run': Bad(f'{ROUTE}handler = "handlers_of_routes:Upper"', 3, 'a route runs one of the two'),
    'a command as a text': Bad('[[route]]\nname = "b"\ncommand = "scripts/run -x"', 3, 'a text needs shell = true'),
    'a shell without a text': Bad(f'{ROUTE}shell = true', 3, 'with shell = true a command is one text'),
    'an empty command': Bad('[[route]]\nname = "b"\ncommand = []', 3, 'a command has a program'),
    'a program that is not there': Bad(
        '[[route]]\nname = "b"\ncommand = ["scripts/rum"]', 3, "there is no program 'scripts/rum': "),
    'a program that may not be executed': Bad(
        '[[route]]\nname = "b"\ncommand = [\n  "scripts/notes.txt"]', 3, 'may not be executed: chmod +x'),
    'a program that is not on the PATH': Bad(
        '[[route]]\nname = "b"\ncommand = ["no-such-program"]', 3, "no program 'no-such-program' on the PATH"),
    'a misspelt placeholder': Bad(
        '[[route]]\nname = "b"\ncommand = ["scripts/run", "{inptu}"]', 3, '{input} is meant?'),
    'an argument that is no text': Bad(
        '[[route]]\nname = "b"\ncommand = ["scripts/run",\n  7]', 4, 'command must be a text, not a whole number'),
    'a length of time that is none': Bad(f'{ROUTE}timeout = "ten minutes"', 4, 'write for example 90s, 10m or 2h'),
    'no time at all': Bad(f'{ROUTE}timeout = 0', 4, 'is no length of time above 0'),
    'a size that is none': Bad(f'{ROUTE}memory = "3 GB"', 4, 'write for example 512MB, 3GB or 2GiB'),
    'a pattern that is none': Bad(f'{ROUTE}stage_in = ["*.csv", ""]', 4, "'' is no pattern"),
    'files that are none': Bad(f'{ROUTE}when = {{ files = [] }}', 4, 'needs a pattern'),
    'a value that is none': Bad(f'{ROUTE}when = {{ project = [] }}', 4, 'needs at least one'),
    'a truth as a value': Bad(
        f'{ROUTE}when = {{ key_values = {{ a = "b", do = true }} }}', 4, 'do must be a text or a number or a list or'),
    'no alternative': Bad(f'{ROUTE}when.any = [{{}}]', 4, 'any needs alternatives'),
    'a JSONPath that is none': Bad(f"{ROUTE}jsonpath = '$[?('", 4, 'is no JSONPath'),
    'no event at once': Bad(f'{ROUTE}concurrency = 0', 4, 'the concurrency of a route is more than 0'),
    'a misspelt field': Bad(f'{ROUTE}concurrency_key = "projet"', 4, "the nearest one is 'project'"),
    'a misspelt word': Bad(f'{ROUTE}loops = "alow"', 4, "the nearest one is 'allow'"),
    'a handler as a file': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes.py:Upper"', 3, 'a module as "import" names it'),
    'a handler that is not there': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:Uper"', 3, "has no 'Uper'; handlers in it: Upper"),
    'a module that is not there': Bad('[[route]]\nname = "b"\nhandler = "no_such:Upper"', 3, "no module 'no_such'"),
    'a module that fails': Bad(
        '[[route]]\nname = "b"\nhandler = "broken_handlers:Upper"', 3, 'ModuleNotFoundError: No module named'),
    'a handler that is none': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:wrong"', 3, 'makes a int, which is no'),
    'a handler that fails': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:fails"', 3, "can't be made: ValueError: no such luck"),
    'options that it does not take': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:Upper"\noptions = { sufix = "x" }', 3, "'sufix'"),
    'options of a command': Bad(f'{ROUTE}options = {{ a = 1 }}', 4, 'options are of a handler'),
    'an environment of a handler': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:Upper"\nnice = 3', 4, 'nice is of a command'),
    'staging of what stages itself': Bad(
        '[[route]]\nname = "b"\nhandler = "handlers_of_routes:staged"\nstage_in = ["*"]', 4, 'say stage_in there'),
    'patterns without a download': Bad(
        f'{ROUTE}download = false\nstage_in = ["*.csv"]', 5, 'stage_in says which files are fetched'),
    'a key-value of the upload that is no text': Bad(
        f'{ROUTE}upload = {{ key_values = {{ a = 1 }} }}', 4, 'a must be a text, not a whole number'),
}
