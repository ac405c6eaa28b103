"""``/receive``: events come in here, after a handshake if their sender wants one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cherrypy

from pacifica.dispatcher._events import SCHEMAS, ReceivedEvent, decode, is_batch
from pacifica.dispatcher._http.answers import Refusal, answer
from pacifica.dispatcher._http.body import raw_body
from pacifica.dispatcher._http.monitoring import counting
from pacifica.dispatcher._http.resource import Parameter, Resource, operation, with_database
from pacifica.dispatcher._http.tools import sender
from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit, is_loopback, requested_rate
from pacifica.dispatcher.exceptions import InvalidEventError, QueueFullError

if TYPE_CHECKING:
    from pacifica.dispatcher._metrics import Exposition

#: Stores all of the events durably, in one transaction, and returns their task ids in order; or raises
#: ``QueueFullError`` or ``DatabaseUnavailableError`` and stores none. Our queue does, or Celery's task.
AcceptEvents = Callable[[Sequence[ReceivedEvent]], Sequence[str]]

_LOG = logging.getLogger('pacifica.dispatcher.http')

_ALLOW = 'OPTIONS, POST'
_ID = {'type': 'string', 'format': 'uuid'}
_REFERENCES = {name: {'$ref': f'#/components/schemas/{name}'} for name in SCHEMAS}
_STRUCTURED = {'oneOf': [_REFERENCES['Event_1_0'], _REFERENCES['Event_0_3']]}


class Receive(Resource):
    """Takes events.

    :param accept: stores them.
    :param origins: the senders whose handshake succeeds.
    :param rate: how many deliveries are taken.
    :param everybody: whether there is no authentication.
    :param metrics: counts deliveries.
    """

    def __init__(
        self, accept: AcceptEvents, origins: AllowedOrigins, rate: RateLimit, everybody: bool,
        metrics: Exposition | None,
    ) -> None:
        if metrics is not None:
            self._cp_config = {**self._cp_config, 'hooks.on_end_request': counting(metrics)}
        self._accept = accept
        self._origins = origins
        self._rate = rate
        self._everybody = everybody

    @operation(
        right='send',
        answer={'anyOf': [_ID, {'type': 'array', 'items': _ID}]},
        errors=(400, 408, 413, 415, 429, 503),
        body={
            'application/json': _REFERENCES['Event_0_1'],
            'application/cloudevents+json': _STRUCTURED,
            'application/cloudevents-batch+json': {'type': 'array', 'items': _STRUCTURED},
        },
    )
    def POST(self) -> bytes:
        """Store an event, or the events of a batch, and answer the task id, or the list of them.

        Data of any content type is taken in binary mode too: the attributes in ``ce-`` headers, the data as the body.
        A batch is stored whole or not at all. An event with a source and id that were here before is that event again.
        """
        if wait := self._rate.take():
            allowed = self._rate.per_minute
            raise Refusal(429, f'more than the allowed {allowed} deliveries in a minute', retry_after=wait)
        body = raw_body()
        headers = _event_headers(cherrypy.serving.request.wsgi_environ)
        try:
            events = decode(headers, body)
            ids = with_database(lambda: self._accept(events)) if events else []
        except InvalidEventError as exc:
            raise Refusal(exc.status, str(exc), exc.faults) from exc
        except QueueFullError as exc:
            raise Refusal(429, str(exc), retry_after=exc.retry_after) from exc
        cherrypy.serving.request.dispatcher_accepted = len(events)
        if _LOG.isEnabledFor(logging.INFO):
            for event, task_id in zip(events, ids):
                _LOG.info('front_door.accepted', extra={
                    'task_id': task_id, 'event_id': event.event_id, 'source': event.source, 'sender': sender()})
        return answer(list(ids) if is_batch(headers) else ids[0])

    @operation(
        right=None,
        answer={'type': 'object'},
        errors=(400, 403),
        parameters=(
            Parameter('WebHook-Request-Origin', 'header', {'type': 'string'}, 'how the sender calls itself'),
            Parameter('WebHook-Request-Rate', 'header', {'type': 'string', 'pattern': '^[1-9][0-9]{0,8}$'},
                      'how many deliveries per minute it would like to make'),
        ),
        answer_headers={
            'WebHook-Allowed-Origin': 'the origin that may send, or *',
            'WebHook-Allowed-Rate': 'how many deliveries per minute it may make, or *',
        },
    )
    def OPTIONS(self) -> bytes:
        """Tell a sender of webhooks whether and how often it may send (webhook specification, section 4)."""
        request = cherrypy.serving.request
        headers = cherrypy.serving.response.headers
        headers['Allow'] = _ALLOW
        try:
            rate = self._rate.grant(requested_rate(request.headers.get('WebHook-Request-Rate')))
        except ValueError as exc:
            raise Refusal(400, str(exc), [('WebHook-Request-Rate', 'must be a positive number')]) from exc
        origin = request.headers.get('WebHook-Request-Origin')
        if origin is None:
            return answer({'allow': _ALLOW.split(', ')})
        closed = self._everybody and is_loopback(request.wsgi_environ.get('SERVER_NAME', ''))
        granted = self._origins.grant(origin, closed)
        if granted is None:
            raise Refusal(403, f'the origin {origin[:255]!r} may not send here', headers={'Allow': _ALLOW})
        headers['WebHook-Allowed-Origin'] = granted
        headers['WebHook-Allowed-Rate'] = rate
        return answer({'origin': granted, 'rate': rate})


def _event_headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a request that an event can be in, names in lower case."""
    headers = {'ce-' + name[8:].replace('_', '-').lower(): environ[name] for name in environ if name[:8] == 'HTTP_CE_'}
    headers['content-type'] = environ.get('CONTENT_TYPE') or ''
    return headers
