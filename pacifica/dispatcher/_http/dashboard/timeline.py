"""The story of one event, told in order: from its record to the entries of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher._http.dashboard.text import instant
from pacifica.dispatcher._queue.status import FINAL, Status

__all__ = ['Entry', 'document', 'entries', 'uploads']

_MOST_CHARACTERS = 200_000
_ACTS = {'retry': 'Retried', 'replay': 'Replayed from the beginning', 'cancel': 'Cancelled'}
_NOW: dict[str, str] = {
    Status.ACCEPTED: 'Waits for a worker',
    Status.PROCESSING: 'A worker runs it',
}


@dataclass(frozen=True)
class Entry:
    """One thing that happened to the event.

    :param kind: ``'received'``, ``'attempt'``, ``'act'``, ``'now'`` or ``'end'``.
    :param at: when, as records show times.
    :param seconds: how long an attempt took, or from the event's arrival to its end.
    :param by: who did it; for an attempt which worker.
    :param status: the status that it led to.
    """

    kind: str
    at: str | None
    title: str
    seconds: float | None = None
    by: str | None = None
    status: str | None = None
    error: str | None = None
    stages: Sequence[Mapping[str, Any]] = ()

    @property
    def again(self) -> bool:
        """Whether it is an attempt after which the event waits for another."""
        return self.kind == 'attempt' and self.status == Status.ACCEPTED


def entries(record: Mapping[str, Any]) -> list[Entry]:
    """Return the story of *record*, in order."""
    history = record.get('history') or []
    return [Entry('received', record['created'], 'Received'), *map(_entry, history), _end(record, bool(history))]


def _entry(told: Mapping[str, Any]) -> Entry:
    if 'action' in told:
        return Entry('act', told.get('at'), _ACTS.get(told['action'], str(told['action'])), by=told.get('by'))
    return Entry(
        'attempt', told.get('started') or told.get('ended'), f'Attempt {told.get("attempt")}',
        _between(told.get('started'), told.get('ended')), told.get('worker'), told.get('status'), told.get('error'),
        told.get('stages') or (),
    )


def _end(record: Mapping[str, Any], told: bool) -> Entry:
    """Return where the event is now."""
    status = record['taskStatus']
    if status in FINAL:
        ended = record.get('finalized') or record['updated']
        return Entry('end', ended, 'Ended', _between(record['created'], ended), status=status)
    again = told and status == Status.ACCEPTED
    return Entry('now', record['updated'], 'Waits for its next attempt' if again else _NOW[status], status=status)


def _between(begin: str | None, end: str | None) -> float | None:
    began, ended = instant(begin), instant(end)
    return max(0.0, (ended - began).total_seconds()) if began and ended else None


def document(text: Any) -> tuple[str, bool]:
    """Return JSON *text* laid out for reading, as much of it as a page can hold, and whether that is all."""
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        shown = '' if text is None else str(text)
    return shown[:_MOST_CHARACTERS], len(shown) <= _MOST_CHARACTERS


def uploads(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the uploads that the event has made: where, which job, and the job's last state."""
    result = record.get('result')
    kept = result.get('uploads') if isinstance(result, Mapping) else None
    return [
        {
            'job_id': each.get('job_id'), 'service': each.get('service'),
            'state': each['state'].get('state', 'confirmed') if isinstance(each.get('state'), Mapping) else None,
            'task': each['state'].get('task') if isinstance(each.get('state'), Mapping) else None,
        }
        for each in (kept if isinstance(kept, list) else []) if isinstance(each, Mapping)
    ]
