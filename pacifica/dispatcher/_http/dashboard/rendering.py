"""Pages: templates filled in, and the headers that every answer of the dashboard has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cherrypy
import jinja2

from pacifica.dispatcher._http.answers import status_line
from pacifica.dispatcher._operate.listing import age, files, took
from pacifica.dispatcher._operate.report import counted
from pacifica.dispatcher._operate.timeline import stage_facts
from pacifica.dispatcher._operate.words import cut, duration, moment, size, visible

_POLICY = '; '.join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
))
_HEADERS = {
    'Content-Security-Policy': _POLICY,
    'X-Content-Type-Options': 'nosniff',
    # Not "no-referrer": browsers would send "Origin: null" with our own forms.
    'Referrer-Policy': 'same-origin',
    'X-Frame-Options': 'DENY',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
}

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name('templates'), encoding='utf-8'),
    autoescape=True, auto_reload=False, undefined=jinja2.StrictUndefined, finalize=visible,
    trim_blocks=True, lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    age=age, counted=counted, cut=cut, duration=duration, files=files, moment=moment, size=size,
    stage_facts=stage_facts, took=took)


def compile_templates() -> None:
    """Compile all pages now, which takes some ten milliseconds each, so that nobody's first look waits for it."""
    for name in _TEMPLATES.list_templates():
        _TEMPLATES.get_template(name)


def page(template: str, **values: Any) -> bytes:
    """Return the page that *template* makes of *values*, as the body of the current response.

    With the query parameter ``fragment`` it is the part that changes while one looks at it.
    """
    fragment = bool(cherrypy.serving.request.params.get('fragment'))
    return _rendered(template, fragment=fragment, may_operate=may_operate(), **values)


def render_error(status: int, message: str, faults: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return an error as a page: the ``render_error`` of the dashboard."""
    return _rendered('error.html', fragment=False, status=status_line(status), message=message, faults=faults)


def _rendered(template: str, **values: Any) -> bytes:
    # The way to /dashboard/ is relative, so that pages work under any prefix, also under one that a proxy takes away.
    depth = cherrypy.serving.request.path_info.count('/')
    root = 'dashboard/' if depth < 2 else '../' * (depth - 2) or './'
    text = _TEMPLATES.get_template(template).render(root=root, **values)
    secure('text/html; charset=utf-8', 'no-store')
    return text.encode('utf-8', 'replace')


def secure(content_type: str, cache_control: str) -> None:
    """Set the headers of the current response: its type, how long it may be kept, and what it may do in a browser."""
    headers = cherrypy.serving.response.headers
    headers.update(_HEADERS)
    headers['Content-Type'] = content_type
    headers['Cache-Control'] = cache_control


def may_operate() -> bool:
    """Return whether the current request's credentials allow to change anything."""
    return 'operate' in cherrypy.serving.request.dispatcher_rights
