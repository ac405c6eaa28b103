"""The forms of the dashboard's pages, and where the browser goes when one is sent."""

from __future__ import annotations

from urllib.parse import parse_qs

import cherrypy

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.body import raw_body
from pacifica.dispatcher._http.dashboard.rendering import secure

MAX_FORM = 64 * 1024
_MOST_FIELDS = 90  # the events of a page, and the fields of the list


def read_form() -> dict[str, list[str]]:
    """Return the fields of the form that the current request sends, with all values of each."""
    content_type = cherrypy.serving.request.headers.get('Content-Type', '')
    if content_type.partition(';')[0].strip().lower() != 'application/x-www-form-urlencoded':
        raise Refusal(415, 'this takes the forms of the dashboard\'s pages')
    try:
        return parse_qs(raw_body().decode('ascii'), errors='strict', max_num_fields=_MOST_FIELDS)
    except ValueError as exc:  # of which UnicodeError is one
        raise Refusal(400, 'this is no form in UTF-8') from exc


def see(location: str, status: int = 303) -> bytes:
    """Answer that the client find what it wants at *location*, relative to this page."""
    response = cherrypy.serving.response
    secure('text/plain; charset=utf-8', 'no-store')
    response.status = status
    response.headers['Location'] = location
    return b''
