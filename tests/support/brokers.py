"""Brokers: queues of a test's own on the shared ones, and servers of its own that may be killed or emptied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from support import services
from support.events import wait_until
from support.processes import free_port

START_SECONDS = 90.0


def shared_redis() -> str:
    """Return the URL of the shared Redis, in a database that nothing else uses."""
    return urlunsplit(urlsplit(services.require(services.REDIS))._replace(path='/5'))


def shared_rabbitmq() -> str:
    """Return the URL of the shared RabbitMQ; queues have names of their own."""
    return services.require(services.RABBITMQ)


class OwnServer:
    """A server of the test's own, in *folder*."""

    program: str
    scheme: str

    def __init__(self, folder: Path) -> None:
        # Debian's rabbitmq-server on the PATH turns to another user when root calls it, who can't write here.
        found = shutil.which(self.program, path=f'/usr/lib/rabbitmq/bin:{os.environ["PATH"]}')
        if found is None:
            services.absent(f'{self.program} is not installed: this test starts and kills one of its own')
        self._program = str(found)
        self._folder = folder
        self.port = free_port()
        self.url = f'{self.scheme}://127.0.0.1:{self.port}//'
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)

    def start(self) -> None:
        """Start it; return once it listens."""
        with open(self._folder / 'log.txt', 'ab') as log:
            self._process = subprocess.Popen(
                [self._program, *self.arguments()], cwd=self._folder, env={**os.environ, **self.environment()},
                stdout=log, stderr=log, start_new_session=True,
            )
        wait_until(self._listens, START_SECONDS)

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            wait_until(lambda: not self._listens())  # the program may be a child of a shell

    def _listens(self) -> bool:
        return services.Service(self.program, 'PACIFICA_TEST_NOTHING', self.url).fault() is None

    def arguments(self) -> list[str]:
        """Return the command line after the program."""
        return []

    def environment(self) -> dict[str, str]:
        """Return what it finds in its environment."""
        return {}


class OwnRedis(OwnServer):
    """Keeps nothing on disk: killed, it has lost every message."""

    program = 'redis-server'
    scheme = 'redis'

    def arguments(self) -> list[str]:
        """Listen on the port, write nothing."""
        return ['--port', str(self.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']


class OwnRabbitMQ(OwnServer):
    """A node of its own; its messages, which Celery makes durable, survive a kill unless it is emptied."""

    program = 'rabbitmq-server'
    scheme = 'amqp'

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._name = f'test-{uuid4().hex[:12]}@localhost'
        self._distribution_port = free_port()

    def environment(self) -> dict[str, str]:
        """Keep everything in the folder."""
        (self._folder / 'rabbitmq.conf').write_text(f'listeners.tcp.1 = 127.0.0.1:{self.port}\n')
        folder = str(self._folder)
        return {
            'HOME': folder, 'RABBITMQ_NODENAME': self._name, 'RABBITMQ_DIST_PORT': str(self._distribution_port),
            'RABBITMQ_CONFIG_FILE': f'{folder}/rabbitmq.conf', 'RABBITMQ_MNESIA_BASE': f'{folder}/mnesia',
            'RABBITMQ_LOGS': '-', 'RABBITMQ_LOG_BASE': folder, 'RABBITMQ_PID_FILE': f'{folder}/pid',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{folder}/plugins', 'ERL_CRASH_DUMP_BYTES': '0',
        }

    def empty(self) -> None:
        """Lose every message and queue; only while it does not run."""
        shutil.rmtree(self._folder / 'mnesia', ignore_errors=True)


@contextmanager
def own_server(kind: type[OwnServer], folder: Path) -> Iterator[OwnServer]:
    """Run a server while the ``with`` block runs."""
    server = kind(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
