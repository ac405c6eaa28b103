"""The subscription at Pacifica Notifications that sends events to a receiver, and how it becomes what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._operate.words import one_line, without_password

_USER_HEADER = 'Http-Remote-User'

NOBODY = 'default_user'
"""Whose subscriptions made without a user are. Policy knows no such user, and so the first event disables them."""


class Notifications:
    """The subscriptions ("eventmatch") of one user, as the service of 2020 really answers.

    All methods raise ``ClientError`` if the service is away, refuses what is asked, or isn't Notifications.

    :param url: may end in ``/eventmatch``.
    :param user: ``None`` where a proxy in front of the service says whose they are.
    """

    def __init__(self, url: str, user: str | None, timeout: float) -> None:
        self._client = HttpClient(timeout=timeout)  # with a new connection each time: servers drop old ones
        self.url = url.rstrip('/').removesuffix('/eventmatch')
        self._headers = {} if user is None else {_USER_HEADER: user}

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the user's subscriptions, the disabled ones too."""
        status, found = self._ask('GET', '')
        if status == 403 and isinstance(found, dict) and str(found.get('status', '')).startswith('403'):
            return []  # what it answers a user without any
        if status == 200 and isinstance(found, list) and all(isinstance(each, dict) for each in found):
            return found
        raise self._strange('GET', status, found)

    def store(self, record: dict[str, Any], uuid: object = None) -> dict[str, Any]:
        """Make a subscription, or change that with *uuid*; return it as it was stored."""
        method, path = ('POST', '') if uuid is None else ('PUT', f'/{uuid}')
        status, found = self._ask(method, path, record)
        if status == 200 and isinstance(found, dict) and 'uuid' in found:
            return found
        raise self._strange(method, status, found)

    def delete(self, uuid: object) -> None:
        """Remove a subscription; one that is gone is no fault."""
        status, found = self._ask('DELETE', f'/{uuid}')
        if status not in (200, 204, 403, 404):  # 403 is what it answers a user without any
            raise self._strange('DELETE', status, found)

    def _ask(self, method: str, path: str, record: dict[str, Any] | None = None) -> tuple[int, Any]:
        response = self._client.request(method, f'{self.url}/eventmatch{path}', headers=self._headers, json=record)
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    def _strange(self, method: str, status: int, found: Any) -> ClientError:
        said = found.get('message', '') if isinstance(found, dict) else found if isinstance(found, str) else ''
        return ClientError(
            f'{method} {self.url}/eventmatch was answered {status}, not as Notifications does: check that the URL is '
            f'that of Notifications, and see its log ({one_line(said)[:200] or "it says nothing more"})',
        )


@dataclass(frozen=True)
class Wanted:
    """What a subscription should be."""

    name: str  # tells several subscriptions of one receiver apart
    target_url: str
    jsonpath: str
    auth: dict[str, Any] | None = field(default=None, repr=False)  # as Notifications store it; None: as it is


@dataclass(frozen=True)
class Done:
    """What was done: ``enabled`` whatever else was changed with it; the subscription as it is now, and was."""

    what: Literal['created', 'enabled', 'updated', 'unchanged']
    record: dict[str, Any] = field(repr=False)
    before: dict[str, Any] | None = field(default=None, repr=False)
    changed: tuple[str, ...] = ()


def find(records: Sequence[dict[str, Any]], wanted: Wanted) -> dict[str, Any] | None:
    """Return the one of *records* with this target and name, else with this target and JSONPath, if any is."""
    here = [each for each in records if each.get('target_url') == wanted.target_url]
    here.sort(key=lambda each: (each.get('disabled') is not None, str(each.get('created'))))
    # Under another name it should become the one wanted: a second one would only send the same events twice.
    for key, value in (('name', wanted.name), ('jsonpath', wanted.jsonpath)):
        for each in here:
            if each.get(key) == value:
                return each
    return None


def of_this_name(records: Sequence[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    """Return those of *records* with the target and the name wanted: one, unless it was made twice."""
    return [each for each in records
            if (each.get('target_url'), each.get('name')) == (wanted.target_url, wanted.name)]


def is_right(record: dict[str, Any] | None, wanted: Wanted) -> bool:
    return record is not None and record.get('disabled') is None and not _differences(record, wanted)


def ensure(notifications: Notifications, wanted: Wanted, record: dict[str, Any] | None) -> Done:
    """Make the subscription *record*, see :func:`find`, what it should be; doing that again changes nothing."""
    fields = {'name': wanted.name, 'jsonpath': wanted.jsonpath, 'target_url': wanted.target_url}
    if record is None:
        return Done('created', _only_one(notifications, wanted, notifications.store({**fields, **_auth(wanted.auth)})))
    if is_right(record, wanted):
        return Done('unchanged', record, record)
    changed = _differences(record, wanted)
    made = notifications.store({
        # Credentials and extensions are sent although they stay: what a PUT leaves out of these, the service forgets.
        **fields, **_auth(wanted.auth or record.get('auth')), 'extensions': record.get('extensions') or {},
        'disabled': None, 'error': None,
    }, record['uuid'])
    return Done('updated' if record.get('disabled') is None else 'enabled', made, record, changed)


def _only_one(notifications: Notifications, wanted: Wanted, made: dict[str, Any]) -> dict[str, Any]:
    """Remove all but one of the subscriptions wanted, if another was made at the same time; return the one that stays.

    Whoever else made one sees the same ones, or fewer, and chooses by the same rule: the oldest stays.
    """
    same = sorted(of_this_name(notifications.subscriptions(), wanted),
                  key=lambda each: (str(each.get('created')), str(each.get('uuid'))))
    for each in same[1:]:
        notifications.delete(each['uuid'])
    return same[0] if same else made


def disabled_since(done: Done, now: datetime) -> datetime | None:
    """Return since when the subscription had been disabled; ``None`` if it can't be told.

    The service writes local time without a zone. Which zone is seen from when it says that our change was made: *now*.
    """
    try:
        since = datetime.fromisoformat(str((done.before or {})['disabled']))
        zone = datetime.fromisoformat(str(done.record['updated'])) - now.replace(tzinfo=None)
    except (KeyError, ValueError, TypeError):
        return None
    quarters = round(zone / timedelta(minutes=15))  # zones differ by quarters of an hour, the rest is the way here
    return (since - quarters * timedelta(minutes=15)).replace(tzinfo=timezone.utc)


def _auth(auth: dict[str, Any] | None) -> dict[str, Any]:
    return {'auth': auth} if auth else {}  # an empty one is refused, though it is what the service itself shows


def _differences(record: dict[str, Any], wanted: Wanted) -> tuple[str, ...]:
    fields = {'name': wanted.name, 'jsonpath': wanted.jsonpath, 'auth': wanted.auth}
    return tuple(name for name, value in fields.items() if value is not None and record.get(name) != value)


def disabled_reason(error: object) -> str:
    """Return why a subscription was disabled, in one line of moderate length."""
    text = one_line(error or 'no reason given')
    if '>: ' in text:  # what comes before is the name of an object of requests
        text = text.rpartition('>: ')[2].rstrip("')")
    return without_password(text[:300])
