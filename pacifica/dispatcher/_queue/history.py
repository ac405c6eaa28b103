"""What was done with an event, attempt by attempt: kept with it as JSON, shown as its timeline.

Called by the transitions, each of which appends what it did in the statement that does it. ``history`` is a list, the
oldest first, of objects:

- an attempt: ``{"attempt", "worker", "started", "ended", "status", "route", "error", "stages", "code", "parameters"}``,
  where ``status`` is the status it led to, ``stages`` lists ``{"name", "seconds", "files", "bytes", "job_id",
  "failed"}``, ``code`` is ``{"name", "version", "commit", "dirty"}`` of the handler, and ``parameters`` those it used;
- what a person did: ``{"action": "retry" | "replay" | "cancel", "at", "by", "parameters"}``.

:func:`read` returns times in UTC, ``YYYY-MM-DD HH:MM:SS.ffffff``; stored they are seconds since 1970, which costs less
each time an event ends. Keys without a value are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pacifica.dispatcher._queue.record import timestamp
from pacifica.dispatcher._queue.values import MadeBy
from pacifica.dispatcher.task_context import Stage

_MOST_CHARACTERS = 60_000  # of an event that is retried by hand again and again, the latest are kept
_TEXT_CHARACTERS = 500
_TIMES = frozenset({'started', 'ended', 'at'})  # stored as seconds since 1970
_MOST_STAGES = 200  # of one attempt: handlers may have any number of their own


def attempt(
    number: int, worker: str | None, started: float | None, ended: float, status: str, *,
    route: str | None = None, exc_type: str | None = None, exc_value: str | None = None, stages: Sequence[Stage] = (),
    made_by: MadeBy | None = None,
) -> dict[str, Any]:
    """Return the entry of an attempt that has ended in *status*."""
    error = None if exc_type is None else f'{exc_type}: {exc_value or ""}'[:_TEXT_CHARACTERS]
    return _without_none({
        'attempt': number, 'worker': worker, 'started': started, 'ended': ended, 'status': status, 'route': route,
        'error': error, 'stages': [_without_none(asdict(stage)) for stage in stages[:_MOST_STAGES]] or None,
        'code': made_by.code if made_by else None, 'parameters': (made_by.parameters or None) if made_by else None,
    })


def act(
    action: str, at: float, by: str | None, parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the entry of what somebody did, and the *parameters* that were set, if any were."""
    return _without_none({
        'action': action, 'at': at, 'by': None if by is None else by[:_TEXT_CHARACTERS],
        'parameters': parameters or None})


def extend(history: str | None, entry: dict[str, Any]) -> str:
    """Return *history* with *entry* at its end."""
    text = json.dumps(entry)  # in ASCII: an error's text may hold what no database keeps
    if history is None:
        return f'[{text}]'
    if len(history) + len(text) < _MOST_CHARACTERS:
        return f'{history[:-1]}, {text}]'
    entries = json.loads(history)
    while entries and len(json.dumps(entries)) + len(text) >= _MOST_CHARACTERS:
        entries = entries[(len(entries) + 1) // 2:]
    return json.dumps([*entries, entry])


def holds(history: str | None, entry: dict[str, Any]) -> bool:
    """Return whether *history* has *entry*, whenever that ended."""
    wanted = {**json.loads(json.dumps(entry)), 'ended': None}
    return any({**each, 'ended': None} == wanted for each in json.loads(history or '[]'))


def read(history: str | None) -> list[dict[str, Any]]:
    """Return the entries of *history*, the oldest first."""
    if history is None:
        return []
    return [
        {key: timestamp(value) if key in _TIMES else value for key, value in entry.items()}
        for entry in json.loads(history)
    ]


def _without_none(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None and value is not False}
