"""The story of one event, told in order: from its record, as ``Records.get`` returns it, to entries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher._lineage import Code
from pacifica.dispatcher._operate.words import duration, seconds_between, size
from pacifica.dispatcher._queue.status import FINAL, Status

_SHORTEST = 0.001  # seconds of a stage whose rate says anything

_ACTS = {'retry': 'Retried', 'replay': 'Replayed from the beginning', 'cancel': 'Cancelled'}
_NOW: dict[str, str] = {
    Status.ACCEPTED: 'Waits for a worker',
    Status.PROCESSING: 'A worker runs it',
}


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened to the event."""

    kind: str  # 'received', 'attempt', 'act', 'now' or 'end'
    at: str | None
    title: str
    seconds: float | None = None  # how long an attempt took, or from the event's arrival to its end
    by: str | None = None  # who did it; for an attempt which worker
    status: str | None = None  # the one that it led to
    error: str | None = None
    stages: Sequence[Mapping[str, Any]] = ()
    action: str | None = None  # what somebody did: 'retry', 'replay' or 'cancel'
    handler: str | None = None  # which code an attempt ran, see Code
    parameters: str | None = None  # which an attempt used or somebody set, as JSON

    @property
    def again(self) -> bool:
        """Whether it is an attempt after which the event waits for another."""
        return self.kind == 'attempt' and self.status == Status.ACCEPTED


@dataclass(frozen=True)
class RecordedUpload:
    """An upload that the event has made: where, as which job, and the job's last state."""

    service: object
    job_id: object
    state: object  # None if the job is not confirmed yet
    task: object  # what the job was doing then


def entries(record: Mapping[str, Any], since: str | None = None) -> list[TimelineEntry]:
    """Return what happened to the event, the oldest first.

    :param since: when the attempt began that runs, if one does.
    """
    history = record.get('history') or []
    first = TimelineEntry('received', record['created'], 'Received')
    return [first, *map(_entry, history), _last(record, bool(history), since)]


def _entry(told: Mapping[str, Any]) -> TimelineEntry:
    if 'action' in told:
        action = str(told['action'])
        return TimelineEntry(
            'act', told.get('at'), _ACTS.get(action, action), by=told.get('by'), action=action,
            parameters=_as_json(told.get('parameters')))
    return TimelineEntry(
        'attempt', told.get('started') or told.get('ended'), f'Attempt {told.get("attempt")}',
        seconds_between(told.get('started'), told.get('ended')), told.get('worker'), told.get('status'),
        told.get('error'), told.get('stages') or (), parameters=_as_json(told.get('parameters')),
        handler=str(Code.from_json(told['code'])) if told.get('code') else None)


def _as_json(parameters: Mapping[str, Any] | None) -> str | None:
    return json.dumps(parameters, ensure_ascii=False) if parameters else None


def _last(record: Mapping[str, Any], told: bool, since: str | None) -> TimelineEntry:
    """Return where the event is now."""
    status = record['taskStatus']
    if status in FINAL:
        ended = record.get('finalized') or record['updated']
        return TimelineEntry('end', ended, 'Ended', seconds_between(record['created'], ended), status=status)
    again = told and status == Status.ACCEPTED
    return TimelineEntry(
        'now', since or record['updated'], 'Waits for its next attempt' if again else _NOW[status], status=status)


def stage_facts(stage: Mapping[str, Any]) -> list[str]:
    """Return what is known of a stage of an attempt, in words: its duration, files, bytes, rate and ingest job."""
    seconds, count = stage['seconds'], stage.get('bytes')
    facts = [duration(seconds)]
    if (files := stage.get('files')) is not None:
        facts.append(f'{files:,} file{"" if files == 1 else "s"}')
    if count is not None:
        facts.append(size(count))
        if count and seconds > _SHORTEST:
            facts.append(f'{count / seconds / 1e6:,.1f} MB/s')
    return facts + ([] if stage.get('job_id') is None else [f'ingest job {stage["job_id"]}'])


def saved(record: Mapping[str, Any]) -> str | None:
    """Return what the handler has saved with the event, as JSON; without the uploads that :func:`uploads` tells of."""
    result = record.get('result')
    if not result or record.get('skipped'):
        return None
    rest = dict(result) if isinstance(result, Mapping) else {'result': result}
    made = uploads(record)
    if made and len(made) == len(rest['uploads']):
        del rest['uploads']
    return document(json.dumps(rest, ensure_ascii=False)) if rest else None


def document(text: Any) -> str:
    """Return the event's JSON *text* with a line for each member, its numbers and escapes as they were received."""
    import msgspec  # here, since the help of a command needs none

    try:
        return str(msgspec.json.format(text, indent=2))
    except (msgspec.DecodeError, RecursionError, TypeError):
        return '' if text is None else str(text)


def skip_reason(record: Mapping[str, Any]) -> object:
    """Return why no handler ran for an event that was skipped."""
    result = record['result']
    return result.get('skipped') if isinstance(result, Mapping) else result


def uploads(record: Mapping[str, Any]) -> list[RecordedUpload]:
    result = record.get('result')
    kept = result.get('uploads') if isinstance(result, Mapping) else None
    found = []
    for each in kept if isinstance(kept, list) else ():
        if isinstance(each, Mapping):
            state = each['state'] if isinstance(each.get('state'), Mapping) else {'state': None}
            found.append(RecordedUpload(
                each.get('service'), each.get('job_id'), state.get('state', 'confirmed'), state.get('task')))
    return found
