"""Database servers of the test's own, which it may stop and start as it likes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support import services
from support.events import wait_until
from support.processes import free_port


class PostgreSQL:
    """A PostgreSQL server in *directory*; ``url`` is its only database."""

    def __init__(self, directory: Path) -> None:
        self._bin = _postgresql_programs()
        self._data = directory / 'data'
        self._log = directory / 'log'
        # PostgreSQL refuses to run as root.
        self._user = 'postgres' if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        self._port = free_port()
        self.url = f'postgresql://postgres@127.0.0.1:{self._port}/postgres'
        self._run('initdb', '-D', self._data, '-A', 'trust', '-U', 'postgres', '--no-sync')

    def start(self) -> None:
        """Return when it takes connections."""
        options = f'-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='
        self._run('pg_ctl', '-D', self._data, '-l', self._log, '-o', options, '-w', '-t', '60', 'start')

    def crash(self) -> None:
        """End it as a crash does: no transaction is finished, nothing is written out."""
        self._run('pg_ctl', '-D', self._data, '-m', 'immediate', '-w', 'stop')

    def freeze(self) -> None:
        """Have it take connections, as the system does for it, and say nothing."""
        _signal_tree(int((self._data / 'postmaster.pid').read_text().split()[0]), signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo :meth:`freeze`."""
        _signal_tree(int((self._data / 'postmaster.pid').read_text().split()[0]), signal.SIGCONT)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._bin / program, *map(str, arguments)], user=self._user, cwd='/', check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )


def _postgresql_programs() -> Path:
    found = [Path(path) for path in filter(None, [os.environ.get('PG_BIN'), *map(str, sorted(
        Path('/usr/lib/postgresql').glob('*/bin'), reverse=True))])]
    program = shutil.which('initdb')
    if program is not None:
        found.append(Path(program).resolve().parent)
    if not found:
        services.absent('no PostgreSQL server programs (initdb, pg_ctl): PG_BIN says in which folder they are')
    return found[0]


class MariaDB:
    """A MariaDB server in *directory*; ``url`` is its only database."""

    def __init__(self, directory: Path) -> None:
        self._server, install = shutil.which('mariadbd') or '/usr/sbin/mariadbd', shutil.which('mariadb-install-db')
        if install is None or not Path(self._server).exists():
            services.absent('no MariaDB server programs (mariadbd, mariadb-install-db) on the PATH')
        self._data = directory / 'data'
        self._socket = directory / 's'
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f'mysql://root@127.0.0.1:{self._port}/test'
        user = pwd.getpwuid(os.geteuid()).pw_name
        subprocess.run(
            [str(install), '--no-defaults', f'--datadir={self._data}', '--auth-root-authentication-method=normal',
             f'--user={user}'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self._command = [
            self._server, '--no-defaults', f'--datadir={self._data}', f'--socket={self._socket}',
            f'--port={self._port}',
            '--bind-address=127.0.0.1', f'--user={user}', '--innodb-flush-log-at-trx-commit=1',
        ]

    def start(self) -> None:
        """Return when it takes connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = services.Service('MariaDB', 'PACIFICA_TEST_OWN_MARIADB', self.url)
        wait_until(lambda: server.fault() is None, 120)

    def crash(self) -> None:
        """SIGKILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Have it take connections, as the system does for it, and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo :meth:`freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _signal_tree(process_id: int, number: int) -> None:
    """Send a signal to a process and its children, the process first: it makes no more of them."""
    os.kill(process_id, number)
    children = Path(f'/proc/{process_id}/task/{process_id}/children').read_text().split()
    for child in map(int, children):
        with suppress(ProcessLookupError):
            os.kill(child, number)


@contextmanager
def own_server(kind: type[PostgreSQL] | type[MariaDB]) -> Iterator[PostgreSQL | MariaDB]:
    """Yield a running server that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix='pacifica-') as directory:  # pytest's own are closed to other users
        server = kind(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.crash()
