"""A receiver seen from outside: where events are posted to it, and whether it is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacifica.dispatcher._cli.client import HttpClient
from pacifica.dispatcher._cli.errors import UsageFault

if TYPE_CHECKING:
    import requests

__all__ = ['Receiver']


class Receiver:
    """A receiver of events.

    :param url: where the receiver is mounted; may end in ``/receive``.
    :param timeout: seconds that it may be silent.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._timeout = timeout
        self.url = url.rstrip('/').removesuffix('/receive')

    @property
    def target_url(self) -> str:
        """Where it takes events."""
        return f'{self.url}/receive'

    def get(self, path: str) -> requests.Response:
        """Return what it answers.

        :raises UsageFault: if it answers nothing.
        """
        with HttpClient(timeout=self._timeout) as client:
            return client.request('GET', f'{self.url}{path}')

    def fault(self) -> str | None:
        """Return why no event should be sent to it now, ``None`` if it is ready.

        It is ready if its ``/health/ready`` says so, or, where there is none, if it answers at all.
        """
        try:
            status = self.get('/health/ready').status_code
        except UsageFault as exc:
            return exc.message
        if status >= 500:  # its own 503, or that of a proxy which doesn't reach it
            return f'{self.url}/health/ready was answered {status}: it is up, but can\'t take events now'
        return None
