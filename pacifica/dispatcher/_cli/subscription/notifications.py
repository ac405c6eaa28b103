"""Pacifica Notifications' subscriptions ("eventmatch"), as the service of 2020 really answers.

Used by ``subscribe`` and ``doctor``. A subscription is the user's whose name the request has in ``Http-Remote-User``,
and only that user sees it.
"""

from __future__ import annotations

from typing import Any

from pacifica.dispatcher._cli.client import HttpClient
from pacifica.dispatcher._cli.errors import UsageFault, one_line

__all__ = ['NOBODY', 'Notifications']

USER_HEADER = 'Http-Remote-User'

NOBODY = 'default_user'
"""Whose subscriptions made without a user are. Policy knows no such user, and so the first event disables them."""


class Notifications:
    """The subscriptions of one user.

    :param url: the service; may end in ``/eventmatch``.
    :param user: whose subscriptions; ``None`` where a proxy in front of the service says so.
    :param timeout: seconds that the service may be silent.
    """

    def __init__(self, url: str, user: str | None, timeout: float) -> None:
        self._timeout = timeout
        self.url = url.rstrip('/').removesuffix('/eventmatch')
        self._headers = {} if user is None else {USER_HEADER: user}

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the user's subscriptions, the disabled ones too.

        :raises UsageFault: if the service is away, or isn't Notifications.
        """
        status, found = self._ask('GET', '')
        if status == 403 and isinstance(found, dict) and str(found.get('status', '')).startswith('403'):
            return []  # what it answers a user without any
        if status == 200 and isinstance(found, list) and all(isinstance(each, dict) for each in found):
            return found
        raise self._strange('GET', status, found)

    def create(self, record: dict[str, Any]) -> dict[str, Any]:
        """Make a subscription and return it as it was stored.

        :raises UsageFault: if the service is away or refuses it.
        """
        return self._record('POST', '', record)

    def update(self, uuid: str, record: dict[str, Any]) -> dict[str, Any]:
        """Change a subscription and return it as it was stored.

        :param record: what to change; without ``auth`` or ``extensions``, the service forgets those.
        :raises UsageFault: if the service is away or refuses it.
        """
        return self._record('PUT', f'/{uuid}', record)

    def delete(self, uuid: str) -> None:
        """Remove a subscription; one that is gone is no fault.

        :raises UsageFault: if the service is away or refuses it.
        """
        status, found = self._ask('DELETE', f'/{uuid}')
        if status not in (200, 204, 403, 404):  # 403 is what it answers a user without any
            raise self._strange('DELETE', status, found)

    def _record(self, method: str, path: str, record: dict[str, Any]) -> dict[str, Any]:
        status, found = self._ask(method, path, record)
        if status == 200 and isinstance(found, dict) and 'uuid' in found:
            return found
        raise self._strange(method, status, found)

    def _ask(self, method: str, path: str, record: dict[str, Any] | None = None) -> tuple[int, Any]:
        with HttpClient(timeout=self._timeout) as client:  # a new one: between two looks, servers drop old connections
            response = client.request(method, f'{self.url}/eventmatch{path}', headers=self._headers, json=record)
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    def _strange(self, method: str, status: int, found: Any) -> UsageFault:
        said = found.get('message', '') if isinstance(found, dict) else found if isinstance(found, str) else ''
        return UsageFault(
            f'{method} {self.url}/eventmatch was answered {status}, not as Notifications does: check that the URL is '
            f'that of Notifications, and see its log ({one_line(said)[:200] or "it says nothing more"})',
        )
