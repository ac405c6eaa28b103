"""The CherryPy application that is the front door: put together, mounted, started; and a worker beside it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import cherrypy
from cherrypy._cplogging import LogManager, NullHandler
from cherrypy.process.plugins import SimplePlugin

from pacifica.dispatcher._http import monitoring, tasks
from pacifica.dispatcher._http.body import MAX_BODY
from pacifica.dispatcher._http.dashboard import Dashboard
from pacifica.dispatcher._http.hosts import AllowedHosts
from pacifica.dispatcher._http.openapi import OpenApi
from pacifica.dispatcher._http.previews import TaskPreview
from pacifica.dispatcher._http.receive import AcceptEvents, Receive
from pacifica.dispatcher._http.request import FrontDoorRequest, dispatch
from pacifica.dispatcher._http.resource import Resource
from pacifica.dispatcher._http.server import limit_exchange, use_for
from pacifica.dispatcher._http.tools import TOOL, schemes_of
from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher.authentication import Authenticate, Scheme
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher._metrics import Exposition

#: After CherryPy's Daemonizer forked (65), before its server listens (75).
_START_PRIORITY = 70


class StartRefusedError(ConfigurationError, SystemExit):
    """CherryPy's engine can't start with this application: the message says why and what to do.

    It is a :class:`SystemExit` too, because CherryPy kills the process without a word for any other exception of a
    'start' listener.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message


class _Log(LogManager):  # type: ignore[misc]  # CherryPy has no types
    """The application's log, which formats no line that no handler would keep."""

    def access(self) -> None:
        """Log the current request, unless it is a probe that all is well, or the log says why it was refused.

        CherryPy calls it.
        """
        serving = cherrypy.serving
        if getattr(serving.request, 'dispatcher_unlogged', False):
            return
        if serving.request.path_info.startswith(monitoring.HEALTH) and str(serving.response.status).startswith('200'):
            return
        logger: logging.Logger | None = self.access_log
        while logger is not None:
            if any(not isinstance(handler, (NullHandler, logging.NullHandler)) for handler in logger.handlers):
                super().access()
                return
            logger = logger.parent if logger.propagate else None


class Root(tasks.TaskList):
    """The list of tasks; ``resources`` has the others by the first part of their path."""

    def __init__(
        self, receive: Receive, records: Records, schemes: Sequence[Scheme], operator: Operator | None,
        ready: monitoring.Ready | None, metrics: Exposition | None, dashboard: Dashboard | None,
        previews: Previews | None, search: Search | None,
    ) -> None:
        super().__init__(records, search)
        self.resources: dict[str, Any] = {
            'receive': receive, 'status': tasks.TaskStatus(records), 'get': tasks.TaskRecord(records),
            'output': tasks.TaskOutput(records),
            'openapi.json': OpenApi(self.by_path, schemes), 'health': monitoring.Health(ready),
        }
        if operator is not None:
            self.resources['cancel'] = tasks.TaskCancel(records, operator)
        if previews is not None:
            self.resources['preview'] = TaskPreview(previews)
        if metrics is not None:
            self.resources['metrics'] = monitoring.Metrics(metrics)
        if dashboard is not None:
            self.resources['dashboard'] = dashboard
        for name, resource in self.resources.items():
            setattr(self, name.replace('.', '_'), resource)  # where CherryPy's own dispatchers look for it

    def by_path(self) -> dict[str, Resource]:
        """Return each resource by its path, as a template; the dashboard is for people, and not among them."""
        described = {
            '/receive': 'receive', '/status/{task_id}': 'status', '/get/{task_id}': 'get',
            '/output/{task_id}': 'output', '/preview/{task_id}/{n}': 'preview',
            '/cancel/{task_id}': 'cancel', '/openapi.json': 'openapi.json',
            '/metrics': 'metrics',
        }
        health = self.resources['health'].resources
        return {
            '/': self, **{path: self.resources[name] for path, name in described.items() if name in self.resources},
            '/health/live': health['live'], '/health/ready': health['ready'],
        }


class FrontDoor(cherrypy.Application):  # type: ignore[misc]  # CherryPy has no types
    """A ``cherrypy.Application``: mount it in a CherryPy tree, or call it as a WSGI application (PEP 3333)."""

    request_class = FrontDoorRequest

    def __init__(
        self, root: Root, script_name: str, config: dict[str, Any], request_timeout: float,
        exposition: Exposition | None, hosts: AllowedHosts | None,
    ) -> None:
        super().__init__(root, script_name, config)
        #: By which names it may be asked, ``None`` for any.
        self.hosts = hosts
        self.log = _Log(id(self), cherrypy.log.logger_root)
        self.exposition = exposition
        self._request_timeout = request_timeout

    @property
    def body_limits(self) -> tuple[float, int]:
        """How many seconds the body of a request may take, and how many bytes it may have."""
        return self._request_timeout, self.config['/'].get('request.max_body', MAX_BODY)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer one request, wherever another WSGI server or middleware mounted this application."""
        limit_exchange(environ, self._request_timeout)
        mounted = environ.get('SCRIPT_NAME', '').rstrip('/')
        path = environ.get('PATH_INFO', '')
        environ['dispatcher.mounted'] = mounted
        if mounted != self.script_name:
            inside = self.script_name and (path + '/').startswith(self.script_name + '/')
            if not mounted and not inside:
                start_response('404 Not Found', [('Content-Type', 'application/json')])
                return [b'{"status":"404 Not Found","message":"there is nothing here"}']
            environ = dict(environ, SCRIPT_NAME='' if inside else self.script_name)
            environ['dispatcher.mounted'] = mounted + self.script_name if inside else mounted
        return super().__call__(environ, start_response)


def create_application(
    accept: AcceptEvents,
    records: Records,
    *,
    operator: Operator | None = None,
    ready: monitoring.Ready | None = None,
    metrics: Exposition | None = None,
    script_name: str = '',
    on_start: Callable[[], None] | None = None,
    authenticate: Authenticate | None = None,
    allowed_hosts: Iterable[str] | None = None,
    allowed_origins: Iterable[str] | None = None,
    allowed_rate: int | None = None,
    max_body: int = MAX_BODY,
    request_timeout: float = 30.0,
    dashboard: Dashboard | None = None,
    previews: Previews | None = None,
    search: Search | None = None,
) -> FrontDoor:
    """Return the application; nothing is opened or connected by this.

    The parameters that aren't listed are those of ``ReceiveTaskModel.create_cherrypy_app``.

    :param operator: ends tasks; without it there is no ``/cancel/{id}``.
    :param previews: the images of tasks; without them there is no ``/preview/{id}/{n}``.
    :param search: finds tasks by the data of their events; without it none is found by them.
    :param ready: says whether events can be taken; by default they always can.
    :param on_start: called when ``cherrypy.engine`` starts while this application is mounted in ``cherrypy.tree``;
        what it raises keeps the engine from starting, as a :class:`StartRefusedError`.
    """
    if not f'{script_name}/'.startswith('/'):
        raise ConfigurationError(
            f'script_name must be a path such as "/events", or "" for the root, not {script_name!r}')
    schemes = schemes_of(authenticate)
    receive = Receive(accept, AllowedOrigins(allowed_origins), RateLimit(allowed_rate), not schemes, metrics)
    root = Root(receive, records, schemes, operator, ready, metrics, dashboard, previews, search)
    application = FrontDoor(root, script_name, {
        '/': {
            f'tools.{TOOL}.on': bool(schemes),
            f'tools.{TOOL}.schemes': schemes,
            'request.max_body': max_body,
            'request.dispatch': dispatch,
            # On by default in CherryPy: they would log credentials, redirect, and log what is logged already.
            'tools.log_headers.on': False,
            'tools.log_tracebacks.on': False,
            'tools.trailing_slash.on': False,
        },
    }, request_timeout, metrics, None if schemes else AllowedHosts(allowed_hosts))
    _start_with_engine(application, on_start)
    return application


def _start_with_engine(application: FrontDoor, on_start: Callable[[], None] | None) -> None:
    """Subscribe to the engine, without keeping an application alive that was never mounted."""
    bus = cherrypy.engine
    reference = weakref.ref(application)

    def start() -> None:
        app = reference()
        if app is None:
            bus.unsubscribe('start', start)
            return
        if app not in cherrypy.tree.apps.values():
            return
        use_for(bus)
        try:
            if on_start is not None:
                on_start()
        except Exception as exc:
            bus.log(f'The dispatcher can\'t start: {exc}', level=40)
            bus.stop()
            raise StartRefusedError(str(exc)) from exc

    bus.subscribe('start', start, _START_PRIORITY)


class Startable(Protocol):
    """Handles stored events, in threads or processes of its own: a worker of ours, or the application's own."""

    def start(self) -> None:
        """Begin to take events; returns immediately."""

    def stop(self) -> None:
        """Take no more events, and return when the running ones have ended."""


class WorkerPlugin(SimplePlugin):  # type: ignore[misc]  # CherryPy has no types
    """Starts a worker when *bus* starts, after the HTTP server listens, and stops it when *bus* stops.

    :param bus: the engine, ``cherrypy.engine``.
    :param worker: anything with ``start()`` and ``stop()``, such as ``queue.create_worker()``.

    Call ``subscribe()`` on it. On ``stop`` the server stops first (its priority is 25), so that no more events are
    accepted; then the worker.
    """

    def __init__(self, bus: Any, worker: Startable) -> None:
        super().__init__(bus)
        self.worker = worker

    def start(self) -> None:
        """Start the worker."""
        self.bus.log('Starting the dispatcher\'s worker')
        self.worker.start()

    start.priority = 80  # type: ignore[attr-defined]  # as CherryPy wants it; its HTTP server has 75

    def stop(self) -> None:
        """Stop the worker; returns when its running events have ended."""
        self.bus.log('Stopping the dispatcher\'s worker')
        self.worker.stop()

    stop.priority = 30  # type: ignore[attr-defined]  # after the HTTP server, which has 25
