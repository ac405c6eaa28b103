"""What ``pacifica-dispatcher demo`` does, step by step, printing each as it happens: a user of the library like any."""

from __future__ import annotations

import inspect
import json
import tarfile
import tempfile
import threading
import time
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import peewee
from cloudevents.model import Event
from jsonpath2.path import Path as JSONPath
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher._cli.output import EXIT_FAILED
from pacifica.dispatcher._cli.serving import HttpServer, running
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._transfers.bundle_check import CheckedBundle, read_bundle
from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.staging import StagedEvent, StagedEventHandler
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

INGEST = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'
TIMEOUT = 60.0


class _ShownHandler(EventHandler):
    """Says what ``Uppercase`` is given and what it made, once it was said that the event was received.

    A worker takes an event as soon as it is committed, which may be before the client has read the answer.
    """

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._handler: EventHandler = Uppercase()

    def handle(self, event: Event) -> None:
        assert isinstance(event, StagedEvent)
        self._demo.received.wait(TIMEOUT)
        self._demo.say('routed', f'{INGEST} → Uppercase; now {Status.PROCESSING}')
        for file in event.files:
            self._demo.say('staged in', f'{file.path}, {file.size} bytes, {file.hashtype} {file.hashsum} verified')
        self._handler.handle(event)
        made = [path for path in event.output_directory.rglob('*') if path.is_file()]
        self._demo.say('handled', f'Uppercase made {len(made)} files')


def _call(url: str, body: bytes | None = None) -> Any:
    """Post to the receiver or ask it, past any proxy that the environment names."""
    request = Request(url, data=body, headers={'Content-Type': 'application/json'})
    with build_opener(ProxyHandler({})).open(request, timeout=10) as response:
        return json.load(response)


class Demo:
    """One run of the demo in *folder*, shown on *console*."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.bundles = folder / 'bundles'
        self._began = time.monotonic()
        self.received = threading.Event()

    def say(self, step: str, text: str) -> None:
        seconds = time.monotonic() - self._began
        line = Text.assemble((f'{seconds:6.2f} s', 'dim'), '  ', (f'{step:<10}', 'bold green'), '  ', text)
        self.console.print(line)

    def unpack(self) -> bytes:
        """Lay the archive, files that some instrument has sent; return the notification that announces them."""
        data = files(__package__).joinpath('demo_data')
        archive = self.folder / 'archive'
        _copy(data.joinpath('files'), archive)
        event = data.joinpath('event.json').read_bytes()
        (self.folder / 'event.json').write_bytes(event)
        self.say('archive', f'the files of transaction 19 lie in {archive}')
        return json.dumps(json.loads(event), ensure_ascii=False, separators=(',', ':')).encode()

    def router(self) -> Router:
        router = Router()
        router.add_route(JSONPath.parse_str(INGEST), StagedEventHandler(
            LocalDownloaderRunner(str(self.folder / 'archive'), verify=True),
            _ShownHandler(self),
            LocalUploaderRunner(self.bundles),
        ))
        return router

    def send(self, url: str, event: bytes) -> dict[str, Any]:
        task_id = _call(f'{url}/receive', event)
        self.say('received', f'POST /receive answered 200 and the task id {task_id}: stored for good')
        self.received.set()
        deadline = time.monotonic() + TIMEOUT
        while _call(f'{url}/status/{task_id}') not in FINAL and time.monotonic() < deadline:
            time.sleep(0.02)
        if any(self.bundles.glob('*.tar')):
            self.say('staged out', f'to {self.bundles}')
        record: dict[str, Any] = _call(f'{url}/get/{task_id}')
        self.say('ended', f'GET /status/{task_id} answers {record["taskStatus"]}')
        return record

    def show(self, record: dict[str, Any]) -> bool:
        """Print the record and the bundle; return whether both are as they should be."""
        self.console.print(f'\nThe record, from GET /get/{record["taskID"]}:')
        self.console.print_json(data=record)
        bundles = sorted(self.bundles.glob('*.tar'))
        if record['taskStatus'] != Status.OK or len(bundles) != 1:
            what = f'The event ended in {record["taskStatus"]}, with {len(bundles)} bundles.'
            self.console.print(f'\n{what}', style='bold red')
            return False
        self.console.print(f'\nThe bundle, ready for Pacifica Ingest: {bundles[0]}')
        try:
            bundle = read_bundle(bundles[0])
        except (tarfile.TarError, ValueError) as exc:
            self.console.print(f'can\'t be read: {exc}', style='bold red')
            return False
        self._show_bundle(bundle)
        return not bundle.faults

    def _show_bundle(self, bundle: CheckedBundle) -> None:
        width = max(len(member.name) for member in bundle.members)
        for member in bundle.members:
            verdict = Text(member.fault, 'bold red') if member.fault else Text('verified', 'bold green')
            line = f'  {member.name:<{width}} {member.size:>6} bytes  {member.hashtype} {member.hashsum}  '
            self.console.print(Text.assemble(line, verdict))
        self.console.print('and in its metadata.txt, besides these sizes and hashes:')
        for what, value in bundle.metadata:
            self.console.print(f'  {what} = {value}')


def _copy(source: Any, target: Path) -> None:
    """Copy packaged files, which need not lie in a file system, to *target*."""
    if source.is_dir():
        target.mkdir()
        for item in source.iterdir():
            _copy(item, target / item.name)
    else:
        target.write_bytes(source.read_bytes())


def run(keep: bool) -> int:
    """Run the demo and return the exit status; with *keep*, leave the receiver up until a signal comes."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    demo = Demo(Path(tempfile.mkdtemp(prefix='pacifica-dispatcher-demo-')), console)
    console.print('The handler:\n')
    source = Syntax(inspect.getsource(Uppercase), 'python', theme='ansi_dark', background_color='default')
    console.print(source, soft_wrap=False)
    event = demo.unpack()
    model = create_peewee_model(peewee.SqliteDatabase(str(demo.folder / 'events.db')))
    queue = model.create_queue(demo.router(), 'demo', 'demo.receive')
    server = HttpServer(model.create_cherrypy_app(queue), '127.0.0.1', 0)
    with running(queue.create_worker(concurrency=1), server) as stop:
        demo.say('listening', f'{server.url}, events are kept in {demo.folder / "events.db"}')
        fine = demo.show(demo.send(server.url, event))
        if keep:
            console.print(f'\nThe receiver is up at {server.url} until you press Ctrl-C. An event has an id: change it '
                          f'to send another.\n  curl -H "Content-Type: application/json" --data-binary '
                          f'@{demo.folder / "event.json"} {server.url}/receive')
            stop.wait()
    model.close_connections()
    console.print(f'\nAll of this stays in {demo.folder} until you remove it.')
    return 0 if fine else EXIT_FAILED
