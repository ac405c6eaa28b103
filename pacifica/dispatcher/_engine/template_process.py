"""The service's side of the template, see :mod:`.template`: it is started here, and told what to do.

Nothing is forked from the service itself once it has threads, which may hold locks.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import spawn

from pacifica.dispatcher._engine import child, streams, template
from pacifica.dispatcher.exceptions import ConfigurationError

_START = 'import sys; from pacifica.dispatcher._engine.template import main; main(int(sys.argv[1]))'


def may_copy() -> bool:
    """Return whether this process may be copied: it has no other thread, which might hold a lock."""
    return sys.platform == 'linux' and threading.active_count() == 1


class _Copy:
    """A copy of this process, which shares its memory."""

    def __init__(self, run: Callable[[], None]) -> None:
        streams.flush()  # or both would write it
        gc.collect()
        gc.freeze()  # collections would touch, and so copy, every page here too
        self._status: int | None = None
        self._pid = os.fork()
        if not self._pid:
            try:
                run()
            except BaseException:  # noqa: B036  # nothing may go on as a second service
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)

    def poll(self) -> int | None:
        """Return its status if it has ended, else ``None``."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for its end."""
        return self._wait(0)

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, options)
            except ChildProcessError:  # somebody else waited for it
                pid, status = self._pid, 0
            if pid:
                self._status = status
        return self._status


class TemplateProcess:
    """The process that handlers' processes are copied from: a copy of this one if it has a single thread, else new.

    :param payload: what it is to load.
    :param with_main: whether that may refer to the service's main program.
    """

    def __init__(self, payload: bytes, with_main: bool) -> None:
        if template.loading:
            raise ConfigurationError(
                'a handler\'s process is being started from a program that starts workers as it is imported: put that '
                'under \'if __name__ == "__main__":\'')
        self._control, theirs = socket.socketpair()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._process: _Copy | subprocess.Popen[bytes]
        with theirs:
            if may_copy() and not with_main:
                self._process = _Copy(lambda: self._become(theirs, payload))
            else:
                self._process = self._start(theirs, payload, with_main)

    def _become(self, theirs: socket.socket, payload: bytes) -> None:
        self._control.close()
        os.setsid()
        logging.root.handlers.clear()  # what is logged goes to the service
        template.run(theirs, child.load(payload))

    @staticmethod
    def _start(theirs: socket.socket, payload: bytes, with_main: bool) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, '-c', _START, str(theirs.fileno())], stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()], start_new_session=True)
        assert process.stdin is not None
        preparation = spawn.get_preparation_data('handlers')
        if not with_main:
            preparation = {name: value for name, value in preparation.items() if not name.startswith('init_main')}
        preparation['authkey'] = bytes(preparation['authkey'])  # goes to our own process alone, which pickle can't know
        with process.stdin as pipe:
            pickle.dump((preparation, pickle.dumps(child.load), payload), pipe)
        return process

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, *descriptors: int) -> int:
        """Have a process forked that gets the descriptors that come with ``FORK``; return its number."""
        with self._lock:
            number = next(self._numbers)
            socket.send_fds(self._control, [template.COMMAND.pack(template.FORK, number)], descriptors)
        return number

    def send(self, what: bytes, number: int) -> None:
        """Have a process signalled, unless it has ended."""
        with self._lock:
            try:
                self._control.sendall(template.COMMAND.pack(what, number))
            except OSError:
                pass  # the template has ended, and all of its processes with it

    def stop(self) -> None:
        """End it, and every process that it forked."""
        self._control.close()
        self._process.wait()
