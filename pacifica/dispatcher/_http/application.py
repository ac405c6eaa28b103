"""The CherryPy application that is the front door: put together, mounted, started.

Called by ``receiver.create_cherrypy_app``.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import cherrypy
from cherrypy._cplogging import LogManager, NullHandler

from pacifica.dispatcher._http.dashboard import Dashboard
from pacifica.dispatcher._http.dispatch import dispatch
from pacifica.dispatcher._http.health import PREFIX
from pacifica.dispatcher._http.ports import Accept, Metrics, Ready, Records
from pacifica.dispatcher._http.receive import Receive
from pacifica.dispatcher._http.request import MAX_BODY, FrontDoorRequest
from pacifica.dispatcher._http.root import Root
from pacifica.dispatcher._http.server import limit_exchange, use_for
from pacifica.dispatcher._http.tools import TOOL, schemes_of
from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit
from pacifica.dispatcher.authentication import Authenticate
from pacifica.dispatcher.exceptions import ConfigurationError

__all__ = ['FrontDoor', 'StartRefusedError', 'create_application']

#: After CherryPy's Daemonizer forked (65), before its server listens (75).
_START_PRIORITY = 70


class StartRefusedError(ConfigurationError, SystemExit):
    """CherryPy's engine can't start with this application: the message says why and what to do.

    It is a :class:`SystemExit` too, because CherryPy kills the process without a word for any other exception of a
    'start' listener.
    """

    code: Any

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message


class _Log(LogManager):  # type: ignore[misc]  # CherryPy has no types
    """The application's log, which doesn't format a line for each request that nobody keeps."""

    def access(self) -> None:
        """Log the current request, unless it is a probe that all is well; CherryPy calls it."""
        serving = cherrypy.serving
        if serving.request.path_info.startswith(PREFIX) and str(serving.response.status).startswith('200'):
            return
        logger: logging.Logger | None = self.access_log
        while logger is not None:
            if any(not isinstance(handler, (NullHandler, logging.NullHandler)) for handler in logger.handlers):
                super().access()
                return
            logger = logger.parent if logger.propagate else None


class FrontDoor(cherrypy.Application):  # type: ignore[misc]  # CherryPy has no types
    """A ``cherrypy.Application``: mount it in a CherryPy tree, or call it as a WSGI application (PEP 3333)."""

    request_class = FrontDoorRequest

    def __init__(self, root: Root, script_name: str, config: dict[str, Any], request_timeout: float) -> None:
        super().__init__(root, script_name, config)
        self.log = _Log(id(self), cherrypy.log.logger_root)
        self._request_timeout = request_timeout

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer one request, wherever another WSGI server or middleware mounted this application."""
        limit_exchange(environ, self._request_timeout)
        mounted = environ.get('SCRIPT_NAME', '').rstrip('/')
        path = environ.get('PATH_INFO', '')
        environ['dispatcher.mounted'] = mounted
        if mounted != self.script_name:
            environ = dict(environ)
            if not mounted and not (path + '/').startswith(self.script_name + '/'):
                start_response('404 Not Found', [('Content-Type', 'application/json')])
                return [b'{"status":"404 Not Found","message":"there is nothing here"}']
            inside = self.script_name and (path + '/').startswith(self.script_name + '/')
            environ['SCRIPT_NAME'] = '' if inside else self.script_name
            environ['dispatcher.mounted'] = mounted + self.script_name if inside else mounted
        return super().__call__(environ, start_response)


def create_application(
    accept: Accept,
    records: Records,
    *,
    ready: Ready | None = None,
    metrics: Metrics | None = None,
    script_name: str = '',
    on_start: Callable[[], None] | None = None,
    authenticate: Authenticate | None = None,
    allowed_origins: Iterable[str] | None = None,
    allowed_rate: int | None = None,
    max_body: int = MAX_BODY,
    request_timeout: float = 30.0,
    dashboard: Dashboard | None = None,
) -> FrontDoor:
    """Return the application; nothing is opened or connected by this.

    :param accept: stores events.
    :param records: looks them up.
    :param ready: says whether events can be taken; by default they always can.
    :param metrics: counts what is received, and is shown at ``/metrics``; ``None`` for neither.
    :param script_name: where it will be mounted, for example ``/events``; ``''`` is the root.
    :param on_start: called when ``cherrypy.engine`` starts while this application is mounted in ``cherrypy.tree``;
        what it raises keeps the engine from starting, as a :class:`StartRefusedError`.
    :param authenticate: who may come in, see :mod:`pacifica.dispatcher.authentication`; ``None`` lets everybody in.
    :param allowed_origins: which senders of webhooks get a yes to their handshake, ``['*']`` for all; by default none
        do, but all if there is no authentication and the server listens on the loopback only.
    :param allowed_rate: deliveries per minute that are taken, of all senders together, before ``429`` is answered;
        ``None`` is for no limit.
    :param max_body: the largest body of a request, in bytes.
    :param request_timeout: seconds within which a request must have arrived, and a response be taken by the client;
        after that its connection is closed. It needs CherryPy's own server, which this application makes stricter
        when the engine starts; other WSGI servers have their own settings.
    :param dashboard: the pages for people at ``/dashboard/``; ``None`` for none.
    """
    schemes = schemes_of(authenticate)
    receive = Receive(accept, AllowedOrigins(allowed_origins), RateLimit(allowed_rate), not schemes, metrics)
    root = Root(receive, records, schemes, ready, metrics, dashboard)
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
    }, request_timeout)
    _start_with_engine(application, on_start)
    return application


def _start_with_engine(application: FrontDoor, on_start: Callable[[], None] | None) -> None:
    """Subscribe to the engine, without keeping an application alive that nobody mounted."""
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
