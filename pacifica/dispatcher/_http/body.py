"""The bytes of a request's body, read once, under a limit of size and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cherrypy

from pacifica.dispatcher._http.answers import Refusal

#: The most bytes that a body may have, by default: an event of 100,000 files has some 29 MB, and a refused one makes
#: Pacifica Notifications disable the subscription.
MAX_BODY = 100_000_000

_CHUNK = 64 * 1024


def raw_body() -> bytes:
    """Return the whole body of the current request, at most ``request.max_body`` bytes.

    :raises Refusal: 400 if its length is malformed or it ends early, 408 if it stalls, 413 if it is too large, 415 if
        it is compressed.
    """
    request = cherrypy.serving.request
    body: bytes | None = getattr(request, 'dispatcher_raw_body', None)
    if body is None:
        body = _read_body(request.wsgi_environ, getattr(request, 'max_body', MAX_BODY))
        request.dispatcher_raw_body = body
    return body


def _read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    encoding = environ.get('HTTP_CONTENT_ENCODING', '').strip().lower()
    if encoding not in ('', 'identity'):
        raise Refusal(
            415, f'the Content-Encoding {encoding[:40]!r} is not understood: send the body as it is',
            headers={'Accept-Encoding': 'identity'},
        )
    length = _length(environ)
    if length is not None and length > limit:
        raise _too_large(limit)
    try:
        return _read(environ['wsgi.input'], length, limit)
    except TimeoutError as exc:
        raise Refusal(408, 'the body did not arrive in time') from exc
    except (OSError, ValueError) as exc:  # the connection broke, or its chunks are malformed
        raise Refusal(400, 'the body could not be read to its end') from exc


def _length(environ: Mapping[str, Any]) -> int | None:
    """Return the length that the headers give, ``None`` for a body in chunks."""
    if environ.get('wsgi.input_terminated') or 'chunked' in environ.get('HTTP_TRANSFER_ENCODING', '').lower():
        return None
    text = environ.get('CONTENT_LENGTH') or '0'
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refusal(400, 'Content-Length must be one number of bytes', [('Content-Length', 'must be one number')])
    return int(text)


def _read(stream: Any, length: int | None, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while length is None or size < length:
        part = stream.read(_CHUNK if length is None else min(length - size, _CHUNK))
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
    if length is not None and size < length:
        raise Refusal(400, f'the body ended after {size} of the {length} bytes that Content-Length announced')
    return b''.join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f'the body is larger than the {limit} bytes that are accepted')
