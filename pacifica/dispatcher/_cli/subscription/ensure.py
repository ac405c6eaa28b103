"""Makes a subscription what it should be: there, once, enabled, with this JSONPath and these credentials.

Called by ``subscribe`` and, over and over, by its keeper. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from pacifica.dispatcher._cli.subscription.notifications import Notifications

__all__ = ['Done', 'Wanted', 'disabled_since', 'ensure', 'find', 'is_right', 'of_this_name']


@dataclass(frozen=True)
class Wanted:
    """What a subscription should be.

    :param name: its name, which tells several of one receiver apart.
    :param target_url: where events are sent.
    :param jsonpath: which events are sent: those in which it matches something.
    :param auth: with which credentials, as Notifications stores them; ``None`` leaves those that are there.
    """

    name: str
    target_url: str
    jsonpath: str
    auth: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Done:
    """What was done.

    :param what: ``enabled`` whatever else was changed with it.
    :param record: the subscription as it is now.
    :param before: as it was; ``None`` if there was none.
    :param changed: what was changed: ``name``, ``jsonpath``, ``auth``.
    """

    what: Literal['created', 'enabled', 'updated', 'unchanged']
    record: dict[str, Any] = field(repr=False)
    before: dict[str, Any] | None = field(default=None, repr=False)
    changed: tuple[str, ...] = ()


def find(records: Sequence[dict[str, Any]], wanted: Wanted) -> dict[str, Any] | None:
    """Return the one of *records* that is the subscription wanted, or should become it.

    That is the one with this target and name; else with this target and JSONPath, under another name: a second one
    would only send the same events twice.
    """
    here = [each for each in records if each.get('target_url') == wanted.target_url]
    here.sort(key=lambda each: (each.get('disabled') is not None, str(each.get('created'))))
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
    """Return whether there is nothing to do."""
    return record is not None and record.get('disabled') is None and not _differences(record, wanted)


def ensure(notifications: Notifications, wanted: Wanted, record: dict[str, Any] | None) -> Done:
    """Make the subscription what it should be.

    :param record: the subscription as it is, see :func:`find`.
    :raises UsageFault: if Notifications are away or refuse it.
    """
    fields = {'name': wanted.name, 'jsonpath': wanted.jsonpath, 'target_url': wanted.target_url}
    if record is None:
        return Done('created', _only_one(notifications, wanted, notifications.create({**fields, **_auth(wanted.auth)})))
    if is_right(record, wanted):
        return Done('unchanged', record, record)
    changed = _differences(record, wanted)
    made = notifications.update(str(record['uuid']), {
        # Credentials and extensions are sent although they stay: what a PUT leaves out of these, the service forgets.
        **fields, **_auth(wanted.auth or record.get('auth')), 'extensions': record.get('extensions') or {},
        'disabled': None, 'error': None,
    })
    return Done('updated' if record.get('disabled') is None else 'enabled', made, record, changed)


def _only_one(notifications: Notifications, wanted: Wanted, made: dict[str, Any]) -> dict[str, Any]:
    """Remove all but one of the subscriptions wanted, if another was made at the same time; return the one that stays.

    Whoever else made one sees the same ones, or fewer, and chooses by the same rule: the oldest stays.
    """
    same = sorted(of_this_name(notifications.subscriptions(), wanted),
                  key=lambda each: (str(each.get('created')), str(each.get('uuid'))))
    for each in same[1:]:
        notifications.delete(str(each['uuid']))
    return same[0] if same else made


def disabled_since(done: Done, now: datetime) -> datetime | None:
    """Return since when the subscription had been disabled; ``None`` if it can't be told.

    The service writes local time without a zone. Which zone is seen from when it says that it made our change.

    :param now: when the change was made, in UTC.
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
