"""The template of handlers' processes: has the router's modules loaded, and forks a copy of itself for each handler.

The service starts it with a socket, over which its commands come, and it ends when the other end of that socket is
closed, however the service ends. It has one thread, so that no lock is held in a copy, and reaps what it forked: when a
handler's process ends, whatever it started ends with it, and the service is told its exit status.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.connection import Connection
from pathlib import Path

from pacifica.dispatcher._engine import streams
from pacifica.dispatcher._processes import end_session, signal_group

COMMAND = struct.Struct('!cI')
"""What to do, and the number of the process that it is about."""
FORK, TERMINATE, KILL = b'f', b't', b'k'
"""Start a process, with the descriptors of :class:`Descriptors`; ask its process group to end; end all it started."""
STATUS = struct.Struct('!i')
"""The exit code of a process, negative for a signal."""
DESCRIPTORS = 5
"""Come with FORK: the process's end of its pipe, where its exit status is written, its journal, stdout and stderr."""

loading = False
"""Whether this process is a template that imports the program of the service."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_VARIABLE = 'PACIFICA_DISPATCHER_HANDLER'

Serve = Callable[[Connection, int, Callable[[], bool]], None]
"""Serves a handler's process: its pipe, its journal, and whether it has been told to end its event."""


@dataclass
class _Child:
    pid: int
    status: int
    told: mmap.mmap  # a byte that it shares with this process: whether it has been told to end its event


def main(descriptor: int) -> None:
    """Read from stdin what to load, load it, and fork as the socket *descriptor* says until it is closed."""
    global loading
    loading = True
    preparation, loader, payload = pickle.load(sys.stdin.buffer)
    spawn.prepare(preparation)  # sys.path, sys.argv, the working directory and __main__ as in the service
    serve: Serve = pickle.loads(loader)(payload)
    loading = False
    run(socket.socket(fileno=descriptor), serve)


def run(control: socket.socket, serve: Serve) -> None:
    """Be the template, in a process that has everything loaded, until *control* is closed at its other end."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager signals the whole group; the socket decides
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of handlers' programs are reaped here
    streams.flush()  # or each copy would write it
    gc.collect()
    gc.freeze()  # a collection in a copy would touch, and so copy, every page
    Template(control, serve).run()


class Template:
    """Forks, signals and reaps the processes of handlers."""

    def __init__(self, control: socket.socket, serve: Serve) -> None:
        self._control = control
        self._serve = serve
        self._children: dict[int, _Child] = {}
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Do as the service says; end with it, and everything that was forked too."""
        signal.set_wakeup_fd(self._wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            going = True
            while going:
                for key, _ in selector.select():
                    if key.fileobj is self._control:
                        going = self._obey()
                    else:
                        os.read(self._woken, 4096)
                        self._reap()
        for child in self._children.values():
            end_session(child.pid, _VARIABLE)

    def _obey(self) -> bool:
        try:
            command, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, DESCRIPTORS)
        except ConnectionError:
            return False
        if len(command) < COMMAND.size:
            return False
        what, number = COMMAND.unpack(command)
        if what == FORK:
            self._fork(number, *descriptors)
        elif child := self._children.get(number):
            if what == TERMINATE:
                child.told[0] = 1
                signal_group(child.pid, signal.SIGTERM)
            else:
                end_session(child.pid, _VARIABLE)
                os.kill(child.pid, signal.SIGKILL)  # it may not lead a session yet; its pid is its own until reaped
        return True

    def _fork(self, number: int, pipe: int, status: int, journal: int, *outputs: int) -> None:
        told = mmap.mmap(-1, 1)
        template = os.getpid()
        pid = os.fork()
        if not pid:
            self._become_child(template, pipe, status, journal, outputs, told)
        for descriptor in (pipe, journal, *outputs):
            os.close(descriptor)
        self._children[number] = _Child(pid, status, told)

    def _become_child(
        self, template: int, pipe: int, status: int, journal: int, outputs: Sequence[int], told: mmap.mmap,
    ) -> None:
        code = 1
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != template:  # it ended before that was set
                return
            streams.take_over(outputs)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._control.close()
            for descriptor in (self._woken, self._wake, status, *(each.status for each in self._children.values())):
                os.close(descriptor)
            os.environ[_VARIABLE] = str(os.getpid())
            _prefer_to_kill()
            self._serve(Connection(pipe), journal, lambda: bool(told[0]))
            code = 0
        except BaseException:  # noqa: B036  # nothing may go on as a second template
            sys.excepthook(*sys.exc_info())
        finally:
            streams.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = next((number for number, child in self._children.items() if child.pid == pid), None)
            if number is not None:
                end_session(pid, _VARIABLE)
                self._tell(self._children.pop(number), os.waitstatus_to_exitcode(status))

    def _tell(self, child: _Child, code: int) -> None:
        try:
            os.write(child.status, STATUS.pack(code))
        except OSError:
            pass  # the service has let go of it
        os.close(child.status)
        child.told.close()


def _prctl(option: int, value: int) -> None:
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prefer_to_kill() -> None:
    """Let the kernel, when memory runs out, end a handler's process rather than the service."""
    try:
        Path('/proc/self/oom_score_adj').write_text('500')
    except OSError:
        pass  # no Linux
