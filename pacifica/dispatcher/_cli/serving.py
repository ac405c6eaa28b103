"""Runs a receiver in this process: the front door on a WSGI server, a worker beside it, until a signal comes.

The front door is served by the same server as under CherryPy's engine, without the engine: so it says at once that a
port is taken, and a process may have several (the demo, the tests).
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

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.tables import open_table
from pacifica.dispatcher._extras import needing
from pacifica.dispatcher._http.server import FrontDoorServer

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.parameters import RouterReference
    from pacifica.dispatcher._engine.periodic_reconciler import PeriodicReconciler
    from pacifica.dispatcher.hooks import Notify
    from pacifica.dispatcher.receiver import EventQueue, ReceiveTaskModelBase

__all__ = ['HttpServer', 'Stop', 'StartsAndStops', 'beside', 'describe', 'open_queue', 'running', 'serving_metrics']

SHUTDOWN_SECONDS = 5


class StartsAndStops(Protocol):
    """What runs beside the front door: a worker."""

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
        """Start to answer requests; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and return when those under way are answered."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join()


class Stop:
    """Set by the first SIGINT or SIGTERM; a second one means: at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._at_once = False
        self._interruptible = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._event.is_set():
            self._at_once = True
            if self._interruptible:
                raise KeyboardInterrupt
        self._event.set()

    def wait(self) -> None:
        """Return after the first signal."""
        while not self._event.wait(1.0):  # a bounded wait lets every platform deliver signals
            pass

    def end(self, worker: StartsAndStops) -> None:
        """Stop *worker*; a second signal, before or meanwhile, gives back at once what it is still running."""
        try:
            self._interruptible = True
            worker.stop(0.0 if self._at_once else None)
        except KeyboardInterrupt:
            worker.stop(0.0)
        finally:
            self._interruptible = False


@contextmanager
def running(worker: StartsAndStops, server: HttpServer | None = None) -> Iterator[Stop]:
    """Run *worker* and *server* inside the ``with`` block; SIGINT and SIGTERM set the :class:`Stop` that it gets.

    Afterwards the server stops first, so that nothing new comes in, then the worker.
    """
    stop = Stop()
    before = {}
    try:
        worker.start()
        if server is not None:
            server.start()
        before = {number: signal.signal(number, stop.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        yield stop
    finally:
        if server is not None:
            server.stop()
        stop.end(worker)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def beside(reconciler: PeriodicReconciler | None) -> Iterator[None]:
    """Run *reconciler*, if there is one, inside the ``with`` block."""
    if reconciler is None:
        yield
        return
    reconciler.start()
    try:
        yield
    finally:
        reconciler.stop()


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
        reference.router, name, task_name or f'{name}.receive', notify=notify, metrics=metrics,
        tracing=tracing)


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


def describe(reference: RouterReference, database: Any) -> str:
    """Return what a service runs, for its first lines: its routes in order, and where its events are kept."""
    routes = [f'  {number}. {route.path} → {type(route.event_handler).__name__}'
              for number, route in enumerate(reference.router, 1)]
    if not routes:
        routes = ['  none: every event will end in 422']
    return '\n'.join([f'{reference}, routes:', *routes, f'events are kept in {database.database}'])
