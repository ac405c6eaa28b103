"""Authentication as a CherryPy tool, ``tools.dispatcher_authentication``; and requests that other sites caused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import cherrypy
from cherrypy.lib import auth_basic

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.body import raw_body
from pacifica.dispatcher.authentication import Authenticate, Basic, Credentials, Right, Scheme, challenges, rights_of
from pacifica.dispatcher.exceptions import ConfigurationError

#: The tool's name under ``tools.``
TOOL = 'dispatcher_authentication'


class _CherryPyBasic:
    """A :class:`Basic` as a scheme."""

    def __init__(self, basic: Basic) -> None:
        self._basic = basic
        self.challenge = basic.challenge

    def __call__(self, credentials: Credentials) -> Collection[Right] | None:
        if credentials.authorization('Basic') is None:
            return None
        try:
            auth_basic.basic_auth(self._basic.realm, self._basic.check_password, accept_charset='utf-8')
        except cherrypy.HTTPError:
            return None
        return self._basic.rights


def schemes_of(authenticate: Authenticate | None) -> tuple[Scheme, ...]:
    """Return the schemes that ``authenticate=`` gives, none for ``None``."""
    if authenticate is None:
        return ()
    given = tuple(authenticate) if isinstance(authenticate, Sequence) else (authenticate,)
    schemes = tuple(_CherryPyBasic(each) if isinstance(each, Basic) else each for each in given)
    if not schemes or not all(callable(each) for each in schemes):
        raise ConfigurationError('authenticate must be a scheme or a list of schemes; None is for no authentication')
    return schemes


def authenticate(schemes: Sequence[Any] = (), right: Right | None = 'read') -> None:
    """Let the current request through if one of *schemes* gives it *right*; ``None`` needs none.

    The handshake of webhooks (OPTIONS) needs none: a sender that is still unknown introduces itself there.
    """
    request = cherrypy.serving.request
    if request.method == 'OPTIONS' or right is None:
        return
    token = request.params.get('access_token')
    credentials = Credentials(
        {name.lower(): value for name, value in request.headers.items()}, token if isinstance(token, str) else None,
        raw_body,
    )
    if token is not None:
        cherrypy.serving.response.headers['Cache-Control'] = 'private'
    known = schemes_of(schemes)
    rights = rights_of(credentials, known)
    if rights is None:
        challenge = challenges(known) or 'Bearer'
        raise Refusal(401, 'this needs credentials that are known here', headers={'WWW-Authenticate': challenge})
    request.dispatcher_rights = rights
    if right not in rights:
        raise Refusal(403, f'these credentials don\'t give the right to {right}')


def sender() -> str:
    """Return who makes the current request: the name of its user, or the address it comes from if there is none."""
    request = cherrypy.serving.request
    return str(request.login or request.remote.ip)


def require_same_site() -> None:
    """Refuse the current request if a page of another site caused it.

    A browser sends credentials that it knows along with any request, whichever page causes it. But it also says which
    site that is: every current browser sends ``Origin`` with a POST, and ``Sec-Fetch-Site`` where it trusts the
    connection (TLS, or this machine). A page can set neither, and a client that sends neither is no browser.
    """
    headers = cherrypy.serving.request.headers
    site, origin = headers.get('Sec-Fetch-Site'), headers.get('Origin')
    if site is not None:
        same = site == 'same-origin'
    else:
        # A proxy may have changed Host; a page of another site can set none of these.
        hosts = [headers.get('Host', ''), *headers.get('X-Forwarded-Host', '').split(',')]
        known = {host.strip().lower() for host in hosts if host.strip()}
        same = origin is None or origin.partition('://')[2].lower() in known
    if not same:
        raise Refusal(403, 'this was asked for by another site\'s page; nothing was changed')


setattr(cherrypy.tools, TOOL, cherrypy.Tool('before_request_body', authenticate, TOOL, priority=20))
