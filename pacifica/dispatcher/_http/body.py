"""The bytes of a request's body, read under a limit of size and time.

Called by the resource that takes events. Knows WSGI (PEP 3333); knows nothing of CherryPy but how to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacifica.dispatcher._http.answers import Refusal

__all__ = ['read_body']

_CHUNK = 64 * 1024


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """Return the whole body.

    :param limit: the most bytes it may have.
    :raises Refusal: 400 if its length is malformed or it ends early, 408 if it stalls, 413 if it is too large, 415 if
        it is compressed.
    """
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
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if size == length and not parts:
            return bytes(part)
        parts.append(part)
    if length is not None and size < length:
        raise Refusal(400, f'the body ended after {size} of the {length} bytes that Content-Length announced')
    return b''.join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f'the body is larger than the {limit} bytes that are accepted')
