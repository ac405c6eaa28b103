"""Requests to services, whose faults are one line that says what to check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._operate.words import one_line
from pacifica.dispatcher._transfers.service import reason

Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]  # as the argument auth of requests


class HttpClient:
    """Makes requests: inside a ``with`` block on connections that are kept, else on a new one each.

    Proxies, and certificate authorities, are those that the environment names (``HTTPS_PROXY``, ``NO_PROXY``,
    ``REQUESTS_CA_BUNDLE``). Redirects are not followed.
    """

    def __init__(self, auth: Auth | None = None, timeout: float = 30.0) -> None:
        self._auth = auth
        self._timeout = timeout
        self._session: requests.Session | None = None

    def __enter__(self) -> HttpClient:
        self._session = requests.Session()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Return the response, whatever its status is, with its body read; *kwargs* as requests takes them."""
        try:
            return (self._session or requests).request(
                method, url, timeout=self._timeout, allow_redirects=False, **{'auth': self._auth, **kwargs})
        except requests.exceptions.SSLError as exc:
            raise ClientError(f'no secure connection to {url}: {reason(exc)}; check that it is https, and that its '
                              'certificate is trusted here (REQUESTS_CA_BUNDLE)') from exc
        except requests.exceptions.ProxyError as exc:
            raise ClientError(f'the proxy that the environment names does not lead to {url}: {reason(exc)}') from exc
        except requests.exceptions.Timeout as exc:
            raise ClientError(f'no answer from {url} in {self._timeout:g} s: check that it is up, or give it more '
                              'time with --timeout') from exc
        except requests.exceptions.ConnectionError as exc:
            raise ClientError(f'can\'t reach {url}: {reason(exc)}; check that the service is up, and the host and '
                              'the port in the URL') from exc
        except requests.RequestException as exc:
            raise ClientError(f'{method} {url} can\'t work: {one_line(exc)}') from exc
