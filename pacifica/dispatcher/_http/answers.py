"""JSON answers, good ones and errors: the one place where a body and its headers are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import cherrypy
import msgspec

_ENCODER = msgspec.json.Encoder()
_PHRASES = {413: 'Request Entity Too Large', 422: 'Unprocessable Entity'}


class Refusal(cherrypy.HTTPError):  # type: ignore[misc]  # CherryPy has no types
    """A request that is refused, or an answer that can't be given, as JSON.

    :param message: what is wrong and what to do about it; the client sees it.
    :param faults: ``(field, what is wrong with it)`` for each.
    :param retry_after: seconds after which the client may try again.
    """

    def __init__(
        self, status: int, message: str, faults: Sequence[tuple[str, str]] = (), headers: dict[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(status, message)
        self.faults = faults
        self.headers = headers or {}
        if retry_after is not None:
            self.headers['Retry-After'] = str(retry_after)

    def set_response(self) -> None:
        """Make this the response; CherryPy calls it."""
        response = cherrypy.serving.response
        for name in ('Content-Length', 'Cache-Control', 'ETag', 'Link', 'Last-Modified'):
            response.headers.pop(name, None)
        response.headers.update(self.headers)
        response.status = status_line(self.code)
        render = getattr(cherrypy.serving.request, 'render_error', json_error)
        response.body = render(self.code, self._message, self.faults)


def status_line(status: int) -> str:
    """Return a status with its phrase, the same on every Python: 3.13 has new ones for two."""
    return f'{status} {_PHRASES.get(status) or HTTPStatus(status).phrase}'


def json_error(status: int, message: str, faults: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return an error as JSON: what a resource without a ``render_error`` answers."""
    body: dict[str, Any] = {'status': status_line(status), 'message': message}
    if faults:
        body['faults'] = [{'field': field, 'message': what} for field, what in faults]
    return answer(body)


def answer(value: Any) -> bytes:
    """Return *value* as a body and label the response ``application/json``."""
    dict.__setitem__(cherrypy.serving.response.headers, 'Content-Type', 'application/json')
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError):  # a lone surrogate or an integer beyond 64 bits: both legal JSON
        return json.dumps(value).encode('ascii')


def revalidated(body: bytes) -> bytes:
    """Return *body* with an ``ETag``, or nothing with ``304 Not Modified`` if the client has it (RFC 9110, 13.1.2)."""
    response = cherrypy.serving.response
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    response.headers['ETag'] = tag
    response.headers.setdefault('Cache-Control', 'no-cache')
    wanted = cherrypy.serving.request.headers.get('If-None-Match', '')
    if wanted.strip() == '*' or tag in (each.strip().removeprefix('W/') for each in wanted.split(',')):
        response.status = 304
        response.headers.pop('Content-Type', None)
        return b''
    return body
