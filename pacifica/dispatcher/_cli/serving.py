"""Runs services in this process until a signal comes: the front door on a WSGI server, a worker beside it, their log.

The front door is served by the same server as under CherryPy's engine, without the engine: so a port that is taken is
an error before anything starts, and a process may have several (the demo, the tests).
"""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._cli.table import open_table
from pacifica.dispatcher._engine.turns import Signalled
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher.task_context import TaskLogFilter, log_extras

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.references import RouterReference
    from pacifica.dispatcher._engine.reconciler import PeriodicReconciler
    from pacifica.dispatcher._engine.worker import Worker
    from pacifica.dispatcher._http.application import FrontDoor
    from pacifica.dispatcher.receiver import EventQueue, ReceiveTaskModelBase

LOG_LEVELS = ('debug', 'info', 'warning', 'error')

_SHUTDOWN_SECONDS = 5


class HttpServer:
    """Serves a front door from threads of its own; port 0 takes a free one.

    :param listening: a socket that listens already, which other processes may share; for any, host and port mean
        nothing.
    :param limits: ``max_connections`` and ``max_connections_per_address``, 0 for any number.
    """

    def __init__(
        self, application: FrontDoor, host: str, port: int, listening: int | None = None, **limits: int,
    ) -> None:
        import cherrypy
        from cherrypy._cpserver import Server as CherryPyServer

        from pacifica.dispatcher._http.server import FrontDoorServer

        cherrypy.log.screen = False  # what it says goes to our log, if there is one, in our log's form
        settings = CherryPyServer()
        settings.socket_port = port
        settings.shutdown_timeout = _SHUTDOWN_SECONDS
        settings.max_request_body_size = max(settings.max_request_body_size, application.body_limits[1])
        vars(settings).update(limits)
        try:
            settings.socket_host = host
            self._server = FrontDoorServer(settings)
            self._server.listening = listening
            self._server.wsgi_app = application
            self._server.prepare()
        except (OSError, ValueError) as exc:  # CherryPy refuses an empty host by a ValueError
            reason = re.search(r'\[Errno -?\d+\] ([^)]*)', str(exc))
            raise not_listening(host, port, reason[1] if reason else exc) from exc
        self._thread = threading.Thread(target=self._server.serve, name='pacifica-dispatcher-http', daemon=True)

    @property
    def url(self) -> str:
        return url_of(self._server.bind_addr)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and return when those under way are answered."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join()


def not_listening(host: str, port: int, reason: object) -> UsageFault:
    return UsageFault(f'can\'t listen on port {port} of {host}: {reason}; choose others with --host and --port')


def url_of(address: Any) -> str:
    """Return the URL of a server at a socket's address."""
    host, port = address[:2]
    return f'http://[{host}]:{port}' if ':' in str(host) else f'http://{host}:{port}'


class Stop:
    """Set by the first SIGINT or SIGTERM; a second one ends what still runs without waiting for it."""

    def __init__(self) -> None:
        self._signalled = Signalled()
        self._impatient = False
        self._interruptible = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._signalled.is_set():
            self._impatient = True
            if self._interruptible:
                raise KeyboardInterrupt
        self._signalled.set()

    @property
    def signalled(self) -> bool:
        """Whether a signal has come."""
        return self._signalled.is_set()

    def wait(self, changed: Callable[[], bool] | None = None) -> None:
        """Return once the first signal has come, or *changed*, which is asked every second, says so."""
        while not self._signalled.wait():
            if changed is not None and changed():
                return

    def end(self, worker: Worker) -> None:
        """Stop *worker*; at a second signal, before or meanwhile, it gives back what it is still running."""
        try:
            self._interruptible = True
            worker.stop(0.0 if self._impatient else None)
        except KeyboardInterrupt:
            worker.stop(0.0)
        finally:
            self._interruptible = False


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have *handler* called at SIGINT and SIGTERM inside the ``with`` block."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def running(worker: Worker, *others: HttpServer | PeriodicReconciler) -> Iterator[Stop]:
    """Run *worker* and *others* inside the ``with`` block; SIGINT and SIGTERM set the :class:`Stop` that it gets."""
    stop = Stop()
    with handling_signals(stop.on_signal):  # before the first event is claimed: a signal is to give it back
        try:
            worker.start()
            for each in others:
                each.start()
            yield stop
        finally:
            for each in reversed(others):  # before the worker, so that nothing new comes in
                each.stop()
            stop.end(worker)


def open_queue(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None, **settings: Any,
) -> tuple[type[ReceiveTaskModelBase], EventQueue]:
    """Return the model and the queue that the options of a command describe; the database is ready for them.

    :param settings: further arguments of ``create_queue``.
    """
    name = name or reference.application
    model, _ = open_table(database)
    return model, model.create_queue(reference.router, name, task_name or f'{name}.receive', **settings)


def serving_metrics(port: int | None, host: str) -> AbstractContextManager[None]:
    """Serve what this process counts inside the ``with`` block, unless *port* is ``None``."""
    if port is None:
        return nullcontext()
    from pacifica.dispatcher._extras import needing

    with needing('prometheus_client', '--metrics-port', 'metrics'):
        from pacifica.dispatcher._metrics import serve_process
    return serve_process(port, host)


class KeyValueFormatter(logging.Formatter):
    """Appends ``key=value`` for everything that an entry carries beside its message; times are UTC.

    An entry is a line, whatever is in it: what can't be printed is written as in JSON, the ends of a traceback's lines
    too.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = '%Y-%m-%dT%H:%M:%S'
    default_msec_format = '%s.%03dZ'

    def __init__(self) -> None:
        super().__init__('%(asctime)s %(levelname)s %(name)s %(message)s')

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return ' '.join([super().formatMessage(record), *(f'{name}={value}' for name, value in log_extras(record))])


class JsonFormatter(KeyValueFormatter):
    """Makes each entry a JSON object on a line of its own, with times as in text. What JSON has no form for is text."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            'timestamp': self.formatTime(record), 'level': record.levelname, 'logger': record.name,
            'message': record.getMessage(),
        }
        for name, value in log_extras(record):
            entry.setdefault(name, value)
        if record.exc_info:
            entry['exception'] = self.formatException(record.exc_info)
        elif record.exc_text:  # of a handler's process, which sends no traceback itself
            entry['exception'] = record.exc_text
        if record.stack_info:
            entry['stack'] = self.formatStack(record.stack_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def access_as_fields(record: logging.LogRecord) -> bool:
    """Give an entry of the access log its values as fields, in place of Apache's line, which has them all in one."""
    if record.name.startswith('cherrypy.access'):
        import cherrypy

        request, response = cherrypy.serving.request, cherrypy.serving.response
        record.msg, record.args = 'front_door.answered', ()
        vars(record).update(
            method=request.method, path=f'{request.script_name}{request.path_info}',
            status=int(str(response.status)[:3]), address=request.remote.ip, user=request.login or None,
            bytes=int(response.headers.get('Content-Length') or 0),
            seconds=round(time.time() - response.time, 4))
    return True


def configure_log(level: str = 'info', form: str = 'text') -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == 'json' else KeyValueFormatter())
    handler.addFilter(TaskLogFilter())
    handler.setLevel(level.upper())  # loggers may have levels of their own, as CherryPy's do
    if form == 'json':
        handler.addFilter(access_as_fields)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
