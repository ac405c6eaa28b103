"""Who pressed a button: the person at the dashboard, or another site's page in the same browser.

A browser sends credentials that it knows along with any request, whichever site's page causes it. So an act needs:

- a token in the form that goes with a cookie of the same browser: another site can read neither, nor set the cookie
  (``SameSite=Strict``, and ``__Host-`` over TLS). The token is an HMAC of the user's name under the cookie's value, so
  it is good for one user in one browser, and for every process of the service: they share no secret for it.
- what browsers say about where the request comes from, if they say it: ``Sec-Fetch-Site`` or ``Origin``.
"""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import cherrypy

from pacifica.dispatcher._http.answers import Refusal

__all__ = ['FIELD', 'check', 'token']

#: The form field that holds the token.
FIELD = 'token'

_COOKIE = 'dispatcher-csrf'
_BYTES = 32


def token(user: str | None) -> str:
    """Return the token for the forms of the current response, whose cookie is set unless the browser has it."""
    value = _cookie()
    if value is None:
        value = secrets.token_urlsafe(_BYTES)
        secure = _is_secure()
        cherrypy.serving.response.headers['Set-Cookie'] = (
            f'{_name(secure)}={value}; Path=/; HttpOnly; SameSite=Strict{"; Secure" if secure else ""}')
    return _token(value, user)


def check(given: str, user: str | None) -> None:
    """Check that the current request was made by a form of ours.

    :raises Refusal: 403 if it was not, or too long ago.
    """
    headers = cherrypy.serving.request.headers
    if not _is_same_site(headers):
        raise Refusal(403, 'this was asked for by another site\'s page; nothing was changed')
    value = _cookie()
    if value is None or not hmac.compare_digest(_token(value, user).encode(), given.encode('utf-8', 'replace')):
        raise Refusal(403, 'this form is of another session; nothing was changed: go back, reload the page, try again')


def _token(value: str, user: str | None) -> str:
    return hmac.new(value.encode(), b'dashboard\0' + (user or '').encode(), 'sha256').hexdigest()


def _is_same_site(headers: Any) -> bool:
    site = headers.get('Sec-Fetch-Site')
    if site is not None:
        return bool(site == 'same-origin')
    origin = headers.get('Origin')
    if origin is None:
        return True  # no browser of today: the token decides
    # A proxy may have changed Host; a page of another site can set neither header.
    hosts = [headers.get('Host', ''), *headers.get('X-Forwarded-Host', '').split(',')]
    return urlsplit(origin).netloc.lower() in {host.strip().lower() for host in hosts if host.strip()}


def _is_secure() -> bool:
    request = cherrypy.serving.request
    return bool(request.scheme == 'https' or request.headers.get('X-Forwarded-Proto', '').lower() == 'https')


def _name(secure: bool) -> str:
    return f'__Host-{_COOKIE}' if secure else _COOKIE


def _cookie() -> str | None:
    try:
        cookies = SimpleCookie(cherrypy.serving.request.headers.get('Cookie', ''))
    except CookieError:
        return None
    found = cookies.get(_name(_is_secure()))
    return found.value if found is not None and len(found.value) >= _BYTES else None
