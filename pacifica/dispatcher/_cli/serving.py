"""Runs a receiver in this process: the front door on a WSGI server, a worker beside it, until a signal comes.

The front door is served by the same server as under CherryPy's engine, without the engine: so a port that is taken is
an error before anything starts, and a process may have several (the demo, the tests).
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import cherrypy
from cherrypy._cpserver import Server as CherryPyServer

from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._cli.table import open_table
from pacifica.dispatcher._extras import needing
from pacifica.dispatcher._http.server import FrontDoorServer

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.references import RouterReference
    from pacifica.dispatcher.hooks import Notify
    from pacifica.dispatcher.receiver import EventQueue, ReceiveTaskModelBase

__all__ = ['HttpServer', 'Stop', 'open_queue', 'running', 'serving_metrics']

SHUTDOWN_SECONDS = 5


class StartsAndStops(Protocol):
    """What runs beside a worker: the front door, the search for events that were never delivered."""

    def start(self) -> None:
        """Start, and return."""

    def stop(self) -> None:
        """Stop, and return when it has."""


class Worker(Protocol):
    """What runs the events."""

    def start(self) -> None:
        """Start, and return."""

    def stop(self, grace: float | None = None) -> None:
        """Stop, giving what runs *grace* seconds."""


class HttpServer:
    """Serves a WSGI application from threads of its own.

    :param application: the application.
    :param host: the address to listen on.
    :param port: the port; 0 takes a free one.
    :raises UsageFault: if it can't listen there.
    """

    def __init__(self, application: Any, host: str, port: int) -> None:
        cherrypy.log.screen = False  # what it says goes to our log, if there is one, in our log's form
        settings = CherryPyServer()
        settings.socket_port = port
        settings.shutdown_timeout = SHUTDOWN_SECONDS
        try:
            settings.socket_host = host
            self._server = FrontDoorServer(settings)
            self._server.wsgi_app = application
            self._server.prepare()
        except (OSError, ValueError) as exc:  # CherryPy refuses an empty host by a ValueError
            reason = re.search(r'\[Errno -?\d+\] ([^)]*)', str(exc))
            raise UsageFault(
                f'can\'t listen on port {port} of {host}: {reason[1] if reason else exc}; '
                'choose others with --host and --port',
            ) from exc
        self._thread = threading.Thread(target=self._server.serve, name='pacifica-dispatcher-http', daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        host, port = self._server.bind_addr[:2]
        return f'http://[{host}]:{port}' if ':' in str(host) else f'http://{host}:{port}'

    @property
    def on_loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        return ip_address(str(self._server.bind_addr[0]).partition('%')[0]).is_loopback

    def start(self) -> None:
        """Start to answer requests, and return."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and return when those under way are answered."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join()


class Stop:
    """Set by the first SIGINT or SIGTERM; a second one ends what still runs without waiting for it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._impatient = False
        self._interruptible = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._event.is_set():
            self._impatient = True
            if self._interruptible:
                raise KeyboardInterrupt
        self._event.set()

    def wait(self) -> None:
        """Return after the first signal."""
        while not self._event.wait(1.0):  # a bounded wait lets every platform deliver signals
            pass

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
def running(worker: Worker, *others: StartsAndStops) -> Iterator[Stop]:
    """Run *worker* and *others* inside the ``with`` block; SIGINT and SIGTERM set the :class:`Stop` that it gets.

    Afterwards the last one stops first, so that nothing new comes in, and then the worker.
    """
    stop = Stop()
    before = {}
    try:
        worker.start()
        for each in others:
            each.start()
        before = {number: signal.signal(number, stop.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        yield stop
    finally:
        for each in reversed(others):
            each.stop()
        stop.end(worker)
        for number, handler in before.items():
            signal.signal(number, handler)


def open_queue(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None,
    notify: Notify | None = None, *, metrics: bool = False, tracing: bool = False,
) -> tuple[type[ReceiveTaskModelBase], EventQueue]:
    """Return the model and the queue that the options of a command describe; the database is ready for them.

    :raises UsageFault: if the database can't be used.
    :raises ConfigurationError: if metrics or tracing are wanted and not installed.
    """
    name = name or reference.module
    model, _ = open_table(database)
    return model, model.create_queue(
        reference.router, name, task_name or f'{name}.receive', notify=notify, metrics=metrics, tracing=tracing)


@contextmanager
def serving_metrics(port: int | None, host: str) -> Iterator[None]:
    """Serve what this process counts inside the ``with`` block, unless *port* is ``None``.

    :raises ConfigurationError: if it can't listen there, or metrics are not installed.
    """
    if port is None:
        yield
        return
    with needing('prometheus_client', '--metrics-port', 'metrics'):
        from pacifica.dispatcher._metrics import serve_process
    stop = serve_process(port, host)
    try:
        yield
    finally:
        stop()
