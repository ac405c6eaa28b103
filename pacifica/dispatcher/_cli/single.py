"""What ``show`` prints of one event: a record as ``Records.get`` returns it, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from rich.text import Text

from pacifica.dispatcher._cli.output import console, printable, status_text
from pacifica.dispatcher._cli.times import in_words

__all__ = ['show']

_ATTRIBUTES = (
    ('Type', 'eventType'), ('Type version', 'eventTypeVersion'), ('Source', 'source'), ('Event id', 'eventID'),
    ('Event time', 'eventTime'), ('Schema', 'schemaURL'), ('Content type', 'contentType'),
    ('Transaction', 'transactionID'), ('Made from', 'parentTransactionID'),
    ('Application', 'taskApplicationName'), ('Task', 'taskName'),
    ('Attempts', 'attempts'), ('Route', 'route'), ('Accepted', 'created'), ('Updated', 'updated'),
    ('Ended', 'finalized'),
)
_WIDTH = 14


def show(record: Mapping[str, Any], *, traceback: bool, lines: int | None) -> None:
    """Print *record*.

    :param traceback: whether to print the whole traceback of its error.
    :param lines: how many lines of the event to print; ``None`` for all.
    """
    out = console()
    for text in _paragraphs(record, traceback, lines):
        out.print(text, soft_wrap=True)


def _paragraphs(record: Mapping[str, Any], traceback: bool, lines: int | None) -> Iterator[Text]:
    yield _named('Task id', record['taskID'])
    skipped = f', skipped: {printable(_reason(record["result"]))}' if record['skipped'] else ''
    yield Text.assemble(f'{"Status":<{_WIDTH}}', status_text(record['taskStatus']), skipped)
    for name, key in _ATTRIBUTES:
        if record[key] is not None:
            yield _named(name, record[key])
    yield from _error(record, traceback)
    yield _heading('Timeline (UTC)')
    yield from _timeline(record)
    if not record['skipped']:
        yield from _result(record['result'])
    yield _heading('Event')
    yield from _event(record['eventData'], lines)


def _reason(result: Any) -> object:
    return result.get('skipped') if isinstance(result, dict) else result


def _named(name: str, value: object) -> Text:
    return Text(f'{name:<{_WIDTH}}{printable(value)}')


def _heading(title: str) -> Text:
    return Text(f'\n{title}', 'bold')


def _error(record: Mapping[str, Any], traceback: bool) -> Iterator[Text]:
    if record['exceptionType'] is None:
        return
    first, *others = f'{record["exceptionType"]}: {record["exceptionValue"] or ""}'.splitlines()
    yield _named('Error', first)
    for line in others:
        yield _named('', line)
    told = (record['exceptionTraceback'] or '').splitlines()
    if told and not traceback:
        yield Text(f'{"":<{_WIDTH}}its traceback has {len(told)} lines: --traceback', 'dim')
    elif told:
        yield _heading('Traceback')
        for line in told:
            yield Text(f'  {printable(line)}')


def _timeline(record: Mapping[str, Any]) -> Iterator[Text]:
    yield _entry(record['created'], Text('accepted'))
    for entry in record['history']:
        if 'action' in entry:
            by = f' by {printable(entry["by"])}' if 'by' in entry else ''
            yield _entry(entry['at'], Text(f'{printable(entry["action"])}{by}', 'magenta'))
        else:
            yield from _attempt(entry)


def _attempt(entry: Mapping[str, Any]) -> Iterator[Text]:
    took = f' after {in_words(_seconds(entry["started"], entry["ended"]))}' if 'started' in entry else ''
    worker = f' by {printable(entry["worker"])}' if 'worker' in entry else ''
    led_to = Text.assemble(f'attempt {entry["attempt"]}{worker} → ', status_text(entry['status']), took)
    yield _entry(entry.get('started', entry['ended']), led_to)
    for stage in entry.get('stages', ()):
        facts = [in_words(stage['seconds'])]
        facts += [f'{stage[key]:,} {key}' for key in ('files', 'bytes') if key in stage]
        facts += [f'job {stage["job_id"]}'] if 'job_id' in stage else []
        facts += ['failed'] if stage.get('failed') else []
        yield Text(f'      {printable(stage["name"])}: {", ".join(facts)}')
    if 'error' in entry:
        first, *others = entry['error'].splitlines() or ['']
        yield Text(f'      {printable(first)}{" …" if others else ""}', 'red')


def _entry(time: str, text: Text) -> Text:
    return Text.assemble(f'  {printable(time)}  ', text)


def _seconds(begin: str, end: str) -> float:
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def _result(result: Any) -> Iterator[Text]:
    """What the handler has saved: uploads in words, the rest as JSON."""
    if not result:
        return
    saved = dict(result) if isinstance(result, dict) else {'result': result}
    uploads = saved.pop('uploads', None)
    if isinstance(uploads, list) and all(isinstance(upload, dict) for upload in uploads):
        yield _heading('Uploads')
        for upload in uploads:
            job, state = upload.get('job_id'), upload.get('state')
            known = 'no job was begun' if job is None else f'job {job}, {"confirmed" if state else "not confirmed yet"}'
            yield Text(f'  {printable(upload.get("service"))}: {printable(known)}')
    elif uploads is not None:
        saved['uploads'] = uploads
    if saved:
        yield _heading('Saved by the handler')
        yield from _event(json.dumps(saved), None)


def _event(event_json: str, lines: int | None) -> Iterator[Text]:
    """The event with a line for each member, its numbers and escapes as they were received."""
    try:
        told = msgspec.json.format(event_json, indent=2).splitlines()
    except (msgspec.DecodeError, RecursionError):
        told = [event_json]
    for line in told[:lines]:
        yield Text(f'  {printable(line)}')
    if lines is not None and len(told) > lines:
        yield Text(f'  … {len(told) - lines:,} more lines: --full', 'dim')
