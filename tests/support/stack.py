"""The real Pacifica services for a test session: brought up on ports of their own, and taken down again.

``PACIFICA_STACK`` names the folder of the scripts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader
from playhouse.db_url import connect

from support import services
from support.events import wait_until
from support.processes import free_port

SERVICES = ('archiveinterface', 'cartd', 'ingest', 'metadata', 'policy', 'uniqueid', 'notifications')


class Stack:
    """The services that are up, and how to reach them."""

    def __init__(self, ports: dict[str, int], work: Path) -> None:
        self.ports = ports
        self._work = work
        self._commands: dict[str, tuple[list[bytes], dict[bytes, bytes]]] = {}

    def url(self, service: str) -> str:
        """Return where a service is."""
        return f'http://127.0.0.1:{self.ports[service]}'

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Let services be away while the ``with`` block runs."""
        self.stop(*names)
        try:
            yield
        finally:
            self.start(*names)

    def stop(self, *names: str) -> None:
        """End services, or their workers, as an operator does; return when they are gone."""
        pids = [int((self._work / 'pids' / f'{name}.pid').read_text().split()[0]) for name in names]
        for name, pid in zip(names, pids):
            process = Path(f'/proc/{pid}')
            self._commands[name] = (process / 'cmdline').read_bytes().split(b'\0')[:-1], {
                key: value for key, _, value in (
                    each.partition(b'=') for each in (process / 'environ').read_bytes().split(b'\0')) if key}
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not any(map(_is_alive, pids)), 120)

    def start(self, *names: str) -> None:
        """Start again what was stopped, and leave alone what else is; return when the services listen."""
        for name in names:
            command, environment = self._commands.pop(name)
            # Of nobody's: whoever started it needn't wait for it. Its log goes on.
            started = subprocess.run(
                ['sh', '-c', 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!', self._work / 'logs' / f'{name}.log',
                 *command], env=environment, cwd=self._work, check=True, stdout=subprocess.PIPE)
            pid = int(started.stdout)
            (self._work / 'pids' / f'{name}.pid').write_text(f'{pid} {_start_time(pid)}\n')
        for name in self.ports.keys() & names:
            wait_until(partial(_listens, self.ports[name]), 120)

    def rows(self, service: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return what a service has in its tables; those of Metadata are the archive's own."""
        database = connect(f'postgresql://postgres@127.0.0.1:{self.ports["postgresql"]}/pacifica_{service}')
        try:
            return list(database.execute_sql(statement, parameters).fetchall())
        finally:
            database.close()

    def downloader(self) -> Downloader:
        """Return a client of Cartd."""
        return Downloader(addr='127.0.0.1', port=str(self.ports['cartd']))

    def uploader(self) -> Uploader:
        """Return a client of Ingest."""
        return Uploader(addr='127.0.0.1', port=str(self.ports['ingest']))

    def allow_uploads(self, count: int) -> None:
        """Move the counter of jobs past the transactions of the test data."""
        requests.get(f'{self.url("uniqueid")}/getid', params={'range': count, 'mode': 'upload_job'}, timeout=10)

    def archived(self, transaction: int) -> dict[str, bytes]:
        """Return what the archive really has of a transaction, not asking Cartd: content by path."""
        listed = requests.get(
            f'{self.url("metadata")}/files', params={'transaction_id': transaction}, timeout=30).json()
        return {
            '/'.join(filter(None, (item['subdir'], item['name']))): requests.get(
                f'{self.url("archiveinterface")}/{item["_id"]}', timeout=60).content
            for item in listed
        }


def _start_time(pid: int) -> str:
    """Return what tells a process from a later one of its number, as the scripts write it down."""
    return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2].split()[19]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(('127.0.0.1', port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0] != 'Z'
    except FileNotFoundError:
        return False


@contextmanager
def running(racy: bool) -> Iterator[Stack]:
    """Run the services; skip the test, or fail it in CI, where their scripts are not there.

    :param racy: with upstream's own concurrency, which loses and corrupts data.
    """
    folder = services.require_stack()
    work = Path(tempfile.mkdtemp(prefix='pacifica-stack-'))
    work.chmod(0o755)  # PostgreSQL runs as another user
    wanted: set[int] = set()
    while len(wanted) < len(SERVICES) + 2:
        wanted.add(free_port())
    *ports, postgresql, redis = wanted
    found = dict(zip(SERVICES, ports))
    environment = {
        **os.environ, **{f'{name.upper()}_PORT': str(port) for name, port in found.items()}, 'PG_PORT': str(postgresql),
        'INGEST_MAX_BODY': '0', 'PACIFICA_RACY': '1' if racy else '0',
        # Where nothing listens: a private Redis is started there.
        'PACIFICA_REDIS': f'redis://127.0.0.1:{redis}', 'PACIFICA_REDIS_PORT': str(redis),
    }

    try:
        subprocess.run([folder / 'up', work], env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL)
        yield Stack({**found, 'postgresql': postgresql}, work)
    finally:
        subprocess.run([folder / 'down', work], env=environment, timeout=120, stdout=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


class Subscriber(ThreadingHTTPServer):
    """Receives the events of ingests; a context manager."""

    daemon_threads = True

    def __init__(self, stack: Stack) -> None:
        super().__init__(('127.0.0.1', 0), _Receiver)
        self.events: dict[int, dict[str, Any]] = {}
        self._arrived = threading.Condition()
        self._stack = stack

    def receive(self, event: dict[str, Any]) -> None:
        """Keep an event, by its transaction."""
        transaction, = (item['value'] for item in event['data'] if item['destinationTable'] == 'Transactions._id')
        with self._arrived:
            self.events[transaction] = event
            self._arrived.notify_all()

    def event_of(self, transaction: int, seconds: float = 100) -> dict[str, Any]:
        """Return the event of a transaction, as soon as it is there."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: transaction in self.events, seconds), 'no event came'
            return self.events[transaction]

    def __enter__(self) -> Subscriber:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        answer = requests.post(
            f'{self._stack.url("notifications")}/eventmatch', headers={'Http-Remote-User': 'dmlb2001'}, timeout=30,
            json={
                'name': 'test', 'target_url': f'http://127.0.0.1:{self.server_address[1]}/receive',
                'jsonpath': '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]',
            })
        assert answer.status_code == 200, answer.text
        self._subscription = answer.json()['uuid']
        return self

    def __exit__(self, *args: Any) -> None:
        requests.delete(
            f'{self._stack.url("notifications")}/eventmatch/{self._subscription}',
            headers={'Http-Remote-User': 'dmlb2001'}, timeout=30)
        self.shutdown()
        self.server_close()


class _Receiver(BaseHTTPRequestHandler):
    server: Subscriber

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.end_headers()
        self.server.receive(json.loads(body))

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
