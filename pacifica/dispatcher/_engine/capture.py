"""What handlers in threads print and log is kept with their events, and goes where it would go without that.

``print`` by a proxy of ``sys.stdout`` and ``sys.stderr``, log records by a handler of the root logger. Both are there
while a worker is, know by a context variable whose output it is, and leave alone what is nobody's. What the C
libraries of a handler print has no thread that could be known.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pacifica.dispatcher._engine.output import Output

_CURRENT: ContextVar[Output | None] = ContextVar('pacifica.dispatcher.output', default=None)
_STREAMS = ('stdout', 'stderr')


@contextmanager
def captured(output: Output) -> Iterator[None]:
    """Have what the ``with`` block prints and logs kept in *output*, while :class:`Capture` is at work."""
    token = _CURRENT.set(output)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class _Proxy:
    """Stands for a stream of texts, which gets all that is done to it."""

    def __init__(self, stream: Any, name: str) -> None:
        self.__dict__.update(_stream=stream, _name=name)

    def write(self, text: str) -> int:
        """Write *text*, and keep it with the event that runs."""
        output = _CURRENT.get()
        if output is not None and isinstance(text, str):
            output.add(self._name, text.encode('utf-8', 'backslashreplace'))
        return int(self._stream.write(text) or 0)

    def writelines(self, lines: Any) -> None:
        """Write each of *lines*."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['_stream'], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __enter__(self) -> Any:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)


class _LogCapture(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        output = _CURRENT.get()
        if output is None or record.name == 'celery.redirected':  # which is what was printed
            return
        try:
            output.log(record)
        except Exception:  # as logging's own handlers do
            self.handleError(record)


class Capture:
    """Captures for every worker of this process, from the first :meth:`start` to the last :meth:`stop`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal that stops a worker may come while one is started
        self._users = 0
        self._log = _LogCapture()

    def start(self) -> None:
        """Put the proxies in place and, unless nobody has set up a log, the handler.

        Without one, logging prints warnings to ``sys.stderr`` and an application may still set it up; it would do
        neither if the root logger had a handler.
        """
        with self._lock:
            self._users += 1
            if logging.root.handlers and self._log not in logging.root.handlers:
                logging.root.addHandler(self._log)
            for name in _STREAMS:
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _Proxy):
                    setattr(sys, name, _Proxy(stream, name))

    def stop(self) -> None:
        """Take them away, unless another worker needs them; what somebody has put in their place stays."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            logging.root.removeHandler(self._log)
            for name in _STREAMS:
                stream = getattr(sys, name)
                if isinstance(stream, _Proxy):
                    setattr(sys, name, stream.__dict__['_stream'])


CAPTURE = Capture()
