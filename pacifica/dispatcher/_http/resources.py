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
from pacifica.dispatcher._http.body import read_body
from pacifica.dispatcher._http.ports import Accept, Records
from pacifica.dispatcher._http.request import query_parameters
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, InvalidEventError, QueueFullError

__all__ = ['Receive', 'Record', 'Root', 'Status']

_LOG = logging.getLogger('pacifica.dispatcher.http')

#: Seconds after which a client may try again when the database is away.
_DATABASE_RETRY_AFTER = 5


class Receive:
    """``POST /receive``: take an event, answer its task id."""

    exposed = True

    def __init__(self, accept: Accept, max_body: int) -> None:
        self._accept = accept
        self._max_body = max_body

    def POST(self, *parts: str, **_params: Any) -> bytes:
        """Store the event, or the events of a batch, then answer the id or the list of ids."""
        _end_of_path(parts)
        query_parameters(())
        environ = cherrypy.serving.request.wsgi_environ
        body = read_body(environ, self._max_body)
        headers = event_headers(environ)
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
        """Answer a list of tasks."""
        _end_of_path(parts)
        query_parameters(())
        try:
            return answer(list(self._records.page(limit=1000)))
        except DatabaseUnavailableError as exc:
            raise _unavailable(exc) from exc


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
