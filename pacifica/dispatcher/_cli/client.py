"""How commands speak to HTTP services: who they say they are, and faults in one line.

Used by every command that is a client of a receiver or of another Pacifica service. Credentials come from files or the
environment, never from the command line, which every user of the machine can read in the list of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

import click

from pacifica.dispatcher._cli.errors import UsageFault, one_line

if TYPE_CHECKING:
    import requests
    from requests.auth import AuthBase

__all__ = ['HttpClient', 'credentials_options', 'http_url']

_F = TypeVar('_F', bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False)


def credentials_options(command: _F) -> _F:
    """Add ``--token-env``, ``--token-file``, ``--user``, ``--password-env`` and ``--password-file``.

    The command gets them as one argument ``auth``: a :class:`requests.auth.AuthBase` for ``auth=`` of a request or a
    session, ``None`` without any of the options.
    """
    @wraps(command)
    def with_auth(
        *args: Any, token_env: str | None, token_file: str | None, user: str | None, password_env: str | None,
        password_file: str | None, **kwargs: Any,
    ) -> Any:
        auth = _auth(token_env, token_file, user, password_env, password_file)
        return command(*args, auth=auth, **kwargs)

    decorated: Callable[..., Any] = with_auth
    for decorator in reversed([
        click.option('--token-env', metavar='NAME', help='The environment variable that holds a bearer token.'),
        click.option('--token-file', type=_FILE, metavar='FILE', help='The file that holds a bearer token.'),
        click.option('--user', metavar='NAME', help='The user to authenticate as (Basic), with one of these:'),
        click.option('--password-env', metavar='NAME', help='The environment variable that holds the password.'),
        click.option('--password-file', type=_FILE, metavar='FILE', help='The file that holds the password.'),
    ]):
        decorated = decorator(decorated)
    return cast(_F, decorated)


def _auth(
    token_env: str | None, token_file: str | None, user: str | None, password_env: str | None,
    password_file: str | None,
) -> AuthBase | None:
    """Return what puts the credentials into a request.

    :raises UsageFault: if the options contradict each other.
    :raises ConfigurationError: if a file or a variable holds no secret.
    """
    given = [each for each in (token_env, token_file, password_env, password_file) if each is not None]
    if len(given) > 1:
        raise UsageFault('give one of --token-env, --token-file, --password-env and --password-file, not several')
    if (user is None) != (password_env is None and password_file is None):
        raise UsageFault('--user needs --password-env or --password-file, and those need --user')
    if not given:
        return None
    from pacifica.dispatcher.authentication import Secret

    variable, file = token_env or password_env, token_file or password_file
    secret = Secret.from_environment(variable) if variable is not None else Secret.from_file(file or '')
    return _header(user, secret.reveal())


def _header(user: str | None, secret: str) -> AuthBase:
    """Return Basic authentication as *user*, or a bearer token without one, in UTF-8 (RFC 7617, RFC 6750)."""
    from requests.auth import AuthBase, HTTPBasicAuth

    class Bearer(AuthBase):
        """Sends a bearer token; as an ``auth=`` of requests, it is not sent on to where a redirect leads."""

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            """Add the header to *request*."""
            request.headers['Authorization'] = f'Bearer {secret}'
            return request

    if user is not None:
        return HTTPBasicAuth(user.encode(), secret.encode())
    if not secret.isascii() or not secret.isprintable() or ' ' in secret:
        raise UsageFault('the bearer token has characters that no token may have: spaces, line breaks or non-ASCII')
    return Bearer()


def http_url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Check the URL of an HTTP service, as a callback of an option.

    :raises click.BadParameter: if it is none, or has credentials in it.
    """
    if value is None:
        return None
    try:
        parts: SplitResult | None = urlsplit(value)
        fine = parts is not None and parts.scheme in ('http', 'https') and parts.hostname and parts.port != 0
    except ValueError:
        parts, fine = None, False
    if parts is not None and '@' in parts.netloc:
        raise click.BadParameter('a URL with a user or password in it can be seen by others: use --user and its kin')
    if not fine:
        raise click.BadParameter(f'{value!r} is no URL of a service: write http://HOST:PORT/PATH or https://…')
    return value


class HttpClient:
    """Requests to services, whose faults end the command in one line; a context manager.

    Proxies, and certificate authorities, are those that the environment names (``HTTPS_PROXY``, ``NO_PROXY``,
    ``REQUESTS_CA_BUNDLE``). Redirects are not followed.

    :param auth: the credentials, as :func:`credentials_options` gives them.
    :param timeout: seconds that a service may take to connect, and be silent afterwards.
    """

    def __init__(self, auth: AuthBase | None = None, timeout: float = 30.0) -> None:
        import requests

        self._session = requests.Session()
        self._session.auth = auth
        self._timeout = timeout

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._session.close()

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Return the response, whatever its status is, with its body read; *kwargs* as requests takes them.

        :raises UsageFault: if there is none, saying from which URL and what to check.
        """
        import requests

        try:
            return self._session.request(method, url, timeout=self._timeout, allow_redirects=False, **kwargs)
        except requests.exceptions.SSLError as exc:
            raise UsageFault(f'no secure connection to {url}: {_reason(exc)}; check that it is https, and that its '
                             'certificate is trusted here (REQUESTS_CA_BUNDLE)') from exc
        except requests.exceptions.ProxyError as exc:
            raise UsageFault(f'the proxy that the environment names does not lead to {url}: {_reason(exc)}') from exc
        except requests.exceptions.Timeout as exc:
            raise UsageFault(f'no answer from {url} in {self._timeout:g} s: check that it is up, or give it more '
                             'time with --timeout') from exc
        except requests.exceptions.ConnectionError as exc:
            raise UsageFault(f'can\'t reach {url}: {_reason(exc)}; check that the service is up, and the host and '
                             'the port in the URL') from exc
        except requests.RequestException as exc:
            raise UsageFault(f'{method} {url} can\'t work: {_reason(exc)}') from exc


def _reason(exc: BaseException) -> str:
    """Return what the innermost error says: those around it name objects of the libraries."""
    inner: Any = exc
    while True:
        nested = getattr(inner, 'reason', None) or inner.__cause__ or next(iter(inner.args), None)
        nested = nested or inner.__context__
        if not isinstance(nested, BaseException):
            break
        inner = nested
    text = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    return one_line(text.rpartition('>: ')[2] or type(inner).__name__)
