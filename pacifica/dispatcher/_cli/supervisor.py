"""``serve --processes N``: processes that take connections from one socket, each with a share of the workers.

The supervisor listens, so that a connection that comes while a process starts or dies waits for another. It starts a
process again that dies, and all end with it, however it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import click

from pacifica.dispatcher._cli.output import EXIT_FAILED, UsageFault
from pacifica.dispatcher._cli.reloading import command
from pacifica.dispatcher._cli.serving import handling_signals, not_listening, url_of
from pacifica.dispatcher._engine.turns import Signalled

_VARIABLE = 'PACIFICA_DISPATCHER_SUPERVISED'
_PAUSE = 1.0  # seconds before a process that died is started again


class Supervised(NamedTuple):
    """What a process has of its supervisor: the socket to take connections from, and two pipes.

    One ends with the supervisor, the other tells it that a process serves.
    """

    listening: int
    lifeline: int
    serving: int

    @classmethod
    def here(cls) -> Supervised | None:
        """Return what this process has; ``None`` if nobody supervises it."""
        told = os.environ.pop(_VARIABLE, None)
        if told is None:
            return None
        here = cls(*map(int, told.split()))
        for descriptor in here:  # programs that handlers start are to have none
            os.set_inheritable(descriptor, False)
        return here

    def tell_serving(self) -> None:
        """Tell the supervisor that this process has started: what may fail from now on can be mended by another."""
        os.write(self.serving, b'.')

    def end_with_supervisor(self) -> None:
        """End this process when the supervisor does, without a word: its events run again."""
        def wait() -> None:
            os.read(self.lifeline, 1)
            os._exit(EXIT_FAILED)

        threading.Thread(target=wait, name='pacifica-dispatcher-lifeline', daemon=True).start()


def supervise(count: int, concurrency: int, host: str, port: int, *, metrics: bool) -> None:
    """Run this command line in *count* processes until a signal comes; a second one stops them at once.

    :param concurrency: of all together.
    """
    if not hasattr(os, 'fork'):
        raise UsageFault('--processes needs a system on which processes can share a socket')
    with ExitStack() as stack:
        try:
            family = socket.AF_INET6 if ':' in host else socket.AF_INET
            listening = stack.enter_context(socket.create_server((host, port), family=family))
        except OSError as exc:
            raise not_listening(host, port, exc.strerror) from exc
        if metrics and 'PROMETHEUS_MULTIPROC_DIR' not in os.environ:  # what one answers is counted for all
            os.environ['PROMETHEUS_MULTIPROC_DIR'] = stack.enter_context(
                tempfile.TemporaryDirectory(prefix='pacifica-metrics-'))
        (lifeline, held), (served, serving) = os.pipe(), os.pipe()
        os.set_blocking(served, False)
        shares = [concurrency // count + (number < concurrency % count) for number in range(count)]
        processes = _Processes(
            Supervised(listening.fileno(), lifeline, serving), [max(1, share) for share in shares], served)
        stack.enter_context(processes.running())
        click.echo(f'listening: POST events to {url_of(listening.getsockname())}/receive, in {count} processes')
        processes.watch()
        click.echo('stopping')
    os.close(held)
    click.echo('stopped')


class _Processes:
    """The processes, each with its part of the concurrency; from *served* comes a byte for each that serves."""

    def __init__(self, supervised: Supervised, shares: list[int], served: int) -> None:
        self._supervised = supervised
        self._served, self._starting = served, len(shares)
        self._signalled = Signalled()
        self._running = {share: self._start(share) for share in enumerate(shares)}

    def _start(self, share: tuple[int, int]) -> subprocess.Popen[bytes]:
        arguments = [*command(), *sys.argv[1:], '--processes', '1', '--concurrency', str(share[1])]
        # In a session of its own: a signal from the terminal reaches it once, through here.
        return subprocess.Popen(
            arguments, env={**os.environ, _VARIABLE: ' '.join(map(str, self._supervised))}, start_new_session=True,
            pass_fds=self._supervised)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Pass signals on inside the ``with`` block; at its end, wait until all have ended."""
        def pass_on(number: int, _frame: object) -> None:
            self._signalled.set()
            self._send(number)

        with handling_signals(pass_on):
            try:
                yield
            finally:
                if not self._signalled.is_set():
                    self._send(signal.SIGTERM)
                for process in self._running.values():
                    process.wait()

    def watch(self) -> None:
        """Start again what dies, until a signal comes.

        :raises click.exceptions.Exit: with its status, if one fails before all have started, however long that takes:
            it was told something that can't work.
        """
        while not self._signalled.wait(_PAUSE):
            for share, process in self._running.items():
                if (status := process.poll()) is None:
                    continue
                if not self._all_have_served() and status > 0:
                    raise click.exceptions.Exit(status)
                click.echo(f'process {process.pid} ended with status {status}: starting another', err=True)
                self._running[share] = self._start(share)

    def _all_have_served(self) -> bool:
        with suppress(BlockingIOError):
            self._starting -= len(os.read(self._served, 1024))
        return self._starting <= 0

    def _send(self, number: int) -> None:
        for process in self._running.values():
            process.send_signal(number)
