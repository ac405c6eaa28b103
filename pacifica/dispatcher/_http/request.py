"""One request, as CherryPy runs it: which method of which resource answers it, without what is not for a JSON API.

CherryPy's own would decode MIME words in headers (and fail on malformed ones), log the whole request line (with an
``access_token`` in it), and show tracebacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import unquote

import cherrypy
from cherrypy._cprequest import Request
from cherrypy.lib import httputil

from pacifica.dispatcher._http.answers import Refusal, json_error
from pacifica.dispatcher._http.body import MAX_BODY
from pacifica.dispatcher.authentication import ALL_RIGHTS, Right

_LOG = logging.getLogger('pacifica.dispatcher.http')
_METHODS = ('DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT')


def _error_page(status: str, message: str, **_ignored: Any) -> bytes:
    """Render an error that CherryPy found itself. Tracebacks stay out."""
    rendered: bytes = cherrypy.serving.request.render_error(int(status.partition(' ')[0]), message)
    return rendered


class FrontDoorRequest(Request):  # type: ignore[misc]  # CherryPy has no types
    show_tracebacks = False
    #: Bodies are read by the resource that wants one, raw and under a limit.
    process_request_body = False
    error_page = {'default': _error_page}
    #: The most bytes that a body may have; set by ``request.max_body`` in the configuration.
    max_body = MAX_BODY
    dispatcher_raw_body: bytes | None = None
    #: How many events were accepted by this request.
    dispatcher_accepted = 0
    #: What the credentials allow; everything where there is no authentication.
    dispatcher_rights: Collection[Right] = ALL_RIGHTS
    request_line: str

    @property
    def render_error(self) -> Callable[..., bytes]:
        """How errors look here, also those found before the request came to a resource."""
        resource = getattr(self.app.root, 'resources', {}).get(self._first)
        render: Callable[..., bytes] = getattr(resource, 'render_error', json_error)
        return render

    def process_headers(self) -> None:
        """Take the headers over as they are; CherryPy calls it."""
        if '%' in self.query_string or 'access_token' in self.query_string:
            self.request_line = _without_access_token(self.request_line)
        headers = self.headers
        for name, value in self.header_list:
            dict.__setitem__(headers, name.title(), value.strip())
        if 'Host' in headers:
            headers['Host'] = httputil.SanitizedHost(headers['Host'])
        elif self.protocol >= (1, 1):
            raise Refusal(400, 'HTTP/1.1 requires a Host header')
        self._require_known_host()
        self.base = f'{self.scheme}://{headers.get("Host") or self.local.name or self.local.ip}'

    @property
    def _first(self) -> str:
        """The first part of the path."""
        first: str = self.path_info.strip('/').partition('/')[0]
        return first

    def _require_known_host(self) -> None:
        hosts = self.app.hosts
        if hosts and hosts.refuse(self.headers, self._first, self.wsgi_environ.get('SERVER_NAME', '')):
            raise Refusal(
                403, f'this server is not known as {self.headers["Host"][:255]!r}: ask for it by its address, or have '
                     'the name allowed (serve --allow-host NAME, allowed_hosts=)')

    def process_query_string(self) -> None:
        """Take the query string apart; CherryPy calls it."""
        if not self.query_string:
            return
        try:
            self.params.update(httputil.parse_query_string(self.query_string, encoding='utf-8'))
        except ValueError as exc:  # of which UnicodeError is one
            raise Refusal(404, 'the query string is not URL-encoded UTF-8') from exc

    def handle_error(self) -> None:
        """Log an unexpected exception, and answer 500 without its details; CherryPy calls it."""
        _LOG.exception('front_door.request_failed', extra={'method': self.method, 'path': self.path_info})
        self.error_response = Refusal(500, 'the server failed to answer this; its log says why').set_response
        super().handle_error()


def _without_access_token(request_line: str) -> str:
    """Return *request_line* as it may be logged: without its query if an ``access_token`` is in it."""
    method, _, rest = request_line.partition(' ')
    target, _, protocol = rest.rpartition(' ')
    path, mark, query = target.partition('?')
    if mark and 'access_token' in unquote(query).replace('+', ' '):
        return f'{method} {path}?access_token=... {protocol}'
    return request_line


def dispatch(path_info: str) -> None:
    """Set the current request's handler and configuration; CherryPy calls it for each request.

    It is CherryPy's ``MethodDispatcher`` for a small tree: a resource with ``resources`` has others below it, by name.
    """
    request = cherrypy.serving.request
    resource = request.app.root
    parts = [part for part in path_info.split('/') if part]
    rest = parts
    while rest and rest[0] in getattr(resource, 'resources', ()):
        resource, rest = resource.resources[rest[0]], rest[1:]
    _configure(request, resource, path_info, parts)
    arguments = [part.replace('%2F', '/') for part in rest]
    method = getattr(resource, 'GET' if request.method == 'HEAD' else request.method, None)
    if hasattr(resource, 'resources') and (arguments or not getattr(resource, 'exposed', False)):
        request.handler = Refusal(404, f'there is nothing at {path_info[:200]!r} here')
    elif method is None or request.method not in _METHODS:
        listed = ', '.join(name for name in _METHODS if hasattr(resource, 'GET' if name == 'HEAD' else name))
        request.handler = Refusal(
            405, f'{request.method[:40]} is not possible here, but {listed}', headers={'Allow': listed},
        )
    else:
        request.handler = lambda: method(*arguments)


def _configure(request: Any, resource: Any, path_info: str, parts: list[str]) -> None:
    """Collect the configuration of the path as CherryPy does: global, of the application, of each part of the path."""
    config = cherrypy.config.copy()
    sections = request.app.config
    config.update(sections.get('/', {}))
    config.update(getattr(resource, '_cp_config', {}))
    if len(sections) > 1:
        path = ''
        for part in parts:
            path += '/' + part
            config.update(sections.get(path, {}))
    request.config = config
    request.is_index = not path_info.rstrip('/')
