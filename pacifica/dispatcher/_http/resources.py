"""The resources: ``/receive``, ``/status/{id}``, ``/get/{id}`` and the list of tasks at ``/``.

Called by the dispatcher with the parts of the path that follow the resource's name. They work under CherryPy's own
``MethodDispatcher`` too, which some consumers configure.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import cherrypy

from pacifica.dispatcher._events import decode, is_batch
from pacifica.dispatcher._http.answers import Refusal, answer, revalidated
from pacifica.dispatcher._http.filters import PARAMETERS, Filters
from pacifica.dispatcher._http.ports import Accept, Records
from pacifica.dispatcher._http.request import query_parameters
from pacifica.dispatcher._http.tools import TOOL, raw_body
from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit, is_loopback, requested_rate
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, InvalidEventError, QueueFullError

__all__ = ['Receive', 'Record', 'Root', 'Status']

_LOG = logging.getLogger('pacifica.dispatcher.http')

#: Seconds after which a client may try again when the database is away.
_DATABASE_RETRY_AFTER = 5


class Receive:
    """``POST /receive``: take an event, answer its task id; ``OPTIONS``: the handshake of webhooks."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.right': 'send'}

    def __init__(self, accept: Accept, origins: AllowedOrigins, rate: RateLimit, open_to_all: bool) -> None:
        self._accept = accept
        self._origins = origins
        self._rate = rate
        self._open_to_all = open_to_all

    def POST(self, *parts: str, **_params: Any) -> bytes:
        """Store the event, or the events of a batch, then answer the id or the list of ids."""
        _end_of_path(parts)
        query_parameters(())
        wait = self._rate.take()
        if wait:
            raise Refusal(
                429, f'more than the allowed {self._rate.per_minute} deliveries in a minute',
                headers={'Retry-After': str(wait)},
            )
        body = raw_body()
        headers = event_headers(cherrypy.serving.request.wsgi_environ)
        try:
            events = decode(headers, body)
            ids = self._accept(events)
        except InvalidEventError as exc:
            raise Refusal(exc.status, str(exc), exc.faults) from exc
        except QueueFullError as exc:
            raise Refusal(429, str(exc), headers={'Retry-After': str(exc.retry_after)}) from exc
        except DatabaseUnavailableError as exc:
            raise _unavailable(exc) from exc
        return answer(list(ids) if is_batch(headers) else ids[0])

    def OPTIONS(self, *parts: str, **_params: Any) -> bytes:
        """Tell a sender of webhooks whether and how often it may send (webhook specification, section 4)."""
        _end_of_path(parts)
        query_parameters(())
        request = cherrypy.serving.request
        response = cherrypy.serving.response
        response.headers['Allow'] = 'OPTIONS, POST'
        origin = request.headers.get('WebHook-Request-Origin')
        if origin is None:
            return answer({'allow': ['OPTIONS', 'POST']})
        try:
            rate = self._rate.grant(requested_rate(request.headers.get('WebHook-Request-Rate')))
        except ValueError as exc:
            raise Refusal(400, str(exc), [('WebHook-Request-Rate', 'must be a positive number')]) from exc
        closed = self._open_to_all and is_loopback(request.wsgi_environ.get('SERVER_NAME', ''))
        granted = self._origins.grant(origin, closed)
        if granted is None:
            raise Refusal(
                403, f'the origin {origin[:255]!r} may not send here', headers={'Allow': 'OPTIONS, POST'},
            )
        response.headers['WebHook-Allowed-Origin'] = granted
        response.headers['WebHook-Allowed-Rate'] = rate
        return answer({'origin': granted, 'rate': rate})


class Status:
    """``GET /status/{id}``: the status of a task."""

    exposed = True

    def __init__(self, records: Records) -> None:
        self._records = records

    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer the status as a JSON string."""
        query_parameters(())
        task_id = _task_id(parts)
        try:
            status = self._records.status(task_id)
        except DatabaseUnavailableError as exc:
            raise _unavailable(exc) from exc
        if status is None:
            raise Refusal(404, f'there is no task {task_id}')
        return revalidated(answer(status))


class Record:
    """``GET /get/{id}``: all that is known of a task."""

    exposed = True

    def __init__(self, records: Records) -> None:
        self._records = records

    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer the record as a JSON object."""
        query_parameters(())
        task_id = _task_id(parts)
        try:
            record = self._records.get(task_id)
        except DatabaseUnavailableError as exc:
            raise _unavailable(exc) from exc
        if record is None:
            raise Refusal(404, f'there is no task {task_id}')
        return revalidated(answer(record))


class Root:
    """``GET /``: the tasks, newest first; the other resources hang off it by name."""

    exposed = True

    def __init__(self, receive: Receive, status: Status, record: Record, records: Records) -> None:
        self.receive = receive
        self.status = status
        self.get = record
        self._records = records

    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer a page of tasks, and where the next is."""
        _end_of_path(parts)
        filters = Filters.parse(query_parameters(PARAMETERS))
        try:
            tasks = list(self._records.page(**filters.arguments()))
        except DatabaseUnavailableError as exc:
            raise _unavailable(exc) from exc
        if len(tasks) > filters.limit:
            del tasks[filters.limit:]
            cherrypy.serving.response.headers['Link'] = filters.next_link(tasks[-1]['taskID'])
        return answer(tasks)


def event_headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that an event can be in, names in lower case."""
    headers = {'ce-' + name[8:].replace('_', '-').lower(): environ[name] for name in environ if name[:8] == 'HTTP_CE_'}
    headers['content-type'] = environ.get('CONTENT_TYPE') or ''
    return headers


def _task_id(parts: tuple[str, ...]) -> UUID:
    if not parts:
        raise Refusal(404, 'the path must end in a task id')
    _end_of_path(parts[1:])
    try:
        return UUID(parts[0])
    except ValueError as exc:
        raise Refusal(422, f'{parts[0][:100]!r} is not a UUID', [('task_id', 'must be a UUID')]) from exc


def _end_of_path(parts: tuple[str, ...]) -> None:
    if parts:
        raise Refusal(404, f'there is nothing at {parts[0][:100]!r} here')


def _unavailable(error: DatabaseUnavailableError) -> Refusal:
    _LOG.warning('database_unavailable', extra={'reason': str(error)})
    return Refusal(
        503, 'the database is not available: nothing was accepted or changed, try again',
        headers={'Retry-After': str(_DATABASE_RETRY_AFTER)},
    )
