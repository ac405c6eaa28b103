"""A service under a steady load while its database is away, and what the senders and the probes see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from support.events import ingest_event, wait_until
from support.processes import end_group, free_port

ROUTES = """
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Router

router = Router()
router.add_route(Path.parse_str('$'), NoopEventHandler())
"""


class Answer(NamedTuple):
    """What a request got: its status (0: no answer in time), when it was sent, how long it took, its body."""

    status: int
    sent: float
    seconds: float
    body: bytes = b''


def ask(url: str, event: dict[str, object] | None = None, timeout: float = 15.0) -> Answer:
    """GET *url*, or POST *event* to it."""
    body = None if event is None else json.dumps(event).encode()
    sent = time.monotonic()
    try:
        with urlopen(Request(url, body, {'Content-Type': 'application/json'}), timeout=timeout) as answer:
            return Answer(answer.status, sent, time.monotonic() - sent, answer.read())
    except HTTPError as exc:
        with exc:
            return Answer(exc.code, sent, time.monotonic() - sent, exc.read())
    except OSError:
        return Answer(0, sent, time.monotonic() - sent)


class Serving:
    """``pacifica-dispatcher serve`` in a process of its own; ``url`` is where it listens, ``log`` what it logs."""

    def __init__(self, database: str, directory: Path) -> None:
        (directory / 'routes_of_outage.py').write_text(ROUTES)
        self.log = directory / 'serve.log'
        port = free_port()
        self.url = f'http://127.0.0.1:{port}'
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'pacifica.dispatcher', 'serve', 'routes_of_outage:router', '--port', str(port),
                 '--database', database, '--metrics'],
                cwd=directory, stderr=log, env={**os.environ, 'PYTHONPATH': str(directory)}, start_new_session=True)
        wait_until(lambda: ask(f'{self.url}/health/ready').status == 200)

    def lines(self) -> list[str]:
        """Return the lines of the log."""
        return self.log.read_text().splitlines()


@contextmanager
def serving(database: str, directory: Path) -> Iterator[Serving]:
    """Yield a service that is ready."""
    service = Serving(database, directory)
    try:
        yield service
    finally:
        service.process.terminate()
        end_group(service.process)


class Load:
    """Sends a request at a steady rate, each in a thread of its own, until it is left."""

    def __init__(self, url: str, rate: float, *, posts: bool = False) -> None:
        self._url, self._rate, self._posts = url, rate, posts
        self.answers: list[Answer] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._loop)]

    def __enter__(self) -> Load:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        following = time.monotonic()
        while not self._stopping.wait(max(0.0, following - time.monotonic())):
            following += 1 / self._rate
            thread = threading.Thread(target=self._send)
            thread.start()
            self._threads.append(thread)

    def _send(self) -> None:
        self.answers.append(ask(self._url, ingest_event() if self._posts else None))
