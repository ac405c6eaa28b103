"""``/receive``: events come in here, after a handshake if their sender wants one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cherrypy

from pacifica.dispatcher._events import SCHEMAS, decode, is_batch
from pacifica.dispatcher._http.answers import Refusal, answer
from pacifica.dispatcher._http.metrics import counting
from pacifica.dispatcher._http.operations import Parameter, operation
from pacifica.dispatcher._http.paths import end_of_path, with_database
from pacifica.dispatcher._http.ports import Accept, Metrics
from pacifica.dispatcher._http.request import query_parameters
from pacifica.dispatcher._http.tools import TOOL, raw_body
from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit, is_loopback, requested_rate
from pacifica.dispatcher.exceptions import InvalidEventError, QueueFullError

__all__ = ['Receive', 'event_headers']

_ALLOW = 'OPTIONS, POST'
_ID = {'type': 'string', 'format': 'uuid'}
_REFERENCES = {name: {'$ref': f'#/components/schemas/{name}'} for name in SCHEMAS}
_STRUCTURED = {'oneOf': [_REFERENCES['Event_1_0'], _REFERENCES['Event_0_3']]}


class Receive:
    """Takes events.

    :param accept: stores them.
    :param origins: who gets a yes to the handshake.
    :param rate: how many deliveries are taken.
    :param everybody: whether there is no authentication.
    :param metrics: counts deliveries.
    """

    exposed = True
    _cp_config: dict[str, Any] = {f'tools.{TOOL}.right': 'send'}

    def __init__(
        self, accept: Accept, origins: AllowedOrigins, rate: RateLimit, everybody: bool,
        metrics: Metrics | None = None,
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
        errors=(400, 404, 408, 413, 415, 429, 503),
        body={
            'application/json': _REFERENCES['Event_0_1'],
            'application/cloudevents+json': _STRUCTURED,
            'application/cloudevents-batch+json': {'type': 'array', 'items': _STRUCTURED},
        },
    )
    def POST(self, *parts: str, **_params: Any) -> bytes:
        """Store an event, or the events of a batch, and answer the task id, or the list of them.

        Data of any content type is taken in binary mode too: the attributes in ``ce-`` headers, the data as the body.
        A batch is stored whole or not at all. An event with a source and id that were here before is that event again.
        """
        end_of_path(parts)
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
            ids = with_database(lambda: self._accept(events)) if events else []
        except InvalidEventError as exc:
            raise Refusal(exc.status, str(exc), exc.faults) from exc
        except QueueFullError as exc:
            raise Refusal(429, str(exc), headers={'Retry-After': str(exc.retry_after)}) from exc
        cherrypy.serving.request.dispatcher_accepted = len(events)
        return answer(list(ids) if is_batch(headers) else ids[0])

    @operation(
        right=None,
        answer={'type': 'object'},
        errors=(400, 403, 404),
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
    def OPTIONS(self, *parts: str, **_params: Any) -> bytes:
        """Tell a sender of webhooks whether and how often it may send (webhook specification, section 4)."""
        end_of_path(parts)
        query_parameters(())
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


def event_headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a request that an event can be in, names in lower case."""
    headers = {'ce-' + name[8:].replace('_', '-').lower(): environ[name] for name in environ if name[:8] == 'HTTP_CE_'}
    headers['content-type'] = environ.get('CONTENT_TYPE') or ''
    return headers
