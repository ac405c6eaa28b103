"""``show``: all that is known of one event, as the dashboard's page has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.event_output import attempt_paragraphs, follow
from pacifica.dispatcher._cli.options import as_task_id, database_option, json_option
from pacifica.dispatcher._cli.output import console, print_document, print_json, status_name, status_text, styled
from pacifica.dispatcher._cli.table import Table, existing_table
from pacifica.dispatcher._operate.contents import contents
from pacifica.dispatcher._operate.timeline import (
    TimelineEntry, document, entries, saved, skip_reason, stage_facts, uploads,
)
from pacifica.dispatcher._operate.words import duration, error_text, moment, printable, size
from pacifica.dispatcher._queue.filters import Filter

if TYPE_CHECKING:
    from rich.text import Text

    from pacifica.dispatcher._queue.records import Running

_ATTRIBUTES = (
    ('Type', 'eventType'), ('Type version', 'eventTypeVersion'), ('Source', 'source'), ('Event id', 'eventID'),
    ('Event time', 'eventTime'), ('Schema', 'schemaURL'), ('Content type', 'contentType'),
    ('Transaction', 'transactionID'), ('Made from', 'parentTransactionID'),
    ('Project', 'project'), ('Instrument', 'instrument'), ('Submitter', 'submitter'), ('Files', 'fileCount'),
    ('Bytes', 'fileBytes'),
    ('Application', 'taskApplicationName'), ('Task', 'taskName'),
    ('Attempts', 'attempts'), ('Route', 'route'), ('Accepted', 'created'), ('Updated', 'updated'),
    ('Ended', 'finalized'),
)
_WIDTH = 14
_MOST_RELATED = 20


@click.command('show', short_help='Show all that is known of one event.')
@click.argument('task_id', metavar='ID', type=as_task_id)
@database_option
@json_option
@click.option('--traceback', is_flag=True, help='Show the whole traceback of its error.')
@click.option('--lines', type=click.IntRange(min=0), default=20, show_default=True, metavar='N',
              help='How many lines of the event, and of its output, are shown.')
@click.option('--full', is_flag=True, help='Show the whole event, and all of the output that is kept.')
@click.option('--event', 'as_event', is_flag=True, help='Print the event alone, as JSON that "send" and "check" take.')
@click.option('--attempt', type=click.IntRange(min=1), default=None, metavar='N',
              help='Show the output of this attempt.  [default: the latest that has any]')
@click.option('--follow', 'following', is_flag=True,
              help='Print what the event\'s handler prints and logs, as it comes, until the event has ended.')
def show_command(
    database: Any, task_id: UUID, as_json: bool, traceback: bool, lines: int, full: bool, as_event: bool,
    attempt: int | None, following: bool,
) -> None:
    """Show one event by its task ID: its attributes, timeline, error, uploads, output, data and images; the event.

    --json prints the object that GET /get/ID answers. Times are UTC. The exit status is 1 if there is no such event, or
    no output of the attempt that is asked for. Ctrl-C ends --follow.
    """
    if following and (as_json or as_event or attempt is not None):
        raise click.UsageError('--follow shows every attempt as it comes, without --json, --event and --attempt')
    most = None if full else lines
    with existing_table(database) as table:
        if following:
            follow(table.records, task_id)
            return
        record = table.records.get(task_id)
        if record is None:
            raise click.ClickException(f'there is no event {task_id}')
        if as_event:
            print_document(record['eventData'])
            return
        if as_json:
            print_json(record)
            return
        runs, running = table.records.outputs(task_id) or (), table.records.running(task_id)
        sections = list(_beside(table, task_id, record, most))
    out = console()
    output = list(attempt_paragraphs(runs, attempt, most))
    for text in (*_paragraphs(record, traceback, running), *output, *sections, *_event(record, most)):
        out.print(text, soft_wrap=True)


def _paragraphs(record: Mapping[str, Any], traceback: bool, running: Running | None) -> Iterator[str | Text]:
    yield _named('Task id', record['taskID'])
    skipped = f', skipped: {printable(skip_reason(record))}' if record['skipped'] else ''
    yield styled(f'{"Status":<{_WIDTH}}', status_text(record['taskStatus']), skipped)
    for name, key in _ATTRIBUTES:
        if record[key] is not None:
            yield _named(name, record[key])
    if running is not None:
        yield _named('Runs', f'since {moment(running.since)}, for {duration(running.seconds)}, by {running.worker}, '
                     + ('whose lease holds' if running.lease > 0 else 'whose lease is over'))
    yield from _error(record, traceback)
    yield _heading('Timeline (UTC)')
    for entry in entries(record, None if running is None else moment(running.since)):
        yield from _entry(entry)
    yield from _result(record)


def _event(record: Mapping[str, Any], lines: int | None) -> Iterator[str | Text]:
    yield _heading('Event')
    told = document(record['eventData']).splitlines()
    yield from (f'  {printable(line)}' for line in told[:lines])
    if lines is not None and len(told) > lines:
        yield styled((f'  … {len(told) - lines:,} more lines: --full', 'dim'))


def _named(name: str, value: object) -> str:
    return f'{name:<{_WIDTH}}{printable(value)}'


def _heading(title: str) -> Text:
    return styled((f'\n{title}', 'bold'))


def _error(record: Mapping[str, Any], traceback: bool) -> Iterator[str | Text]:
    if record['exceptionType'] is None:
        return
    first, *others = error_text(record['exceptionType'], record['exceptionValue']).splitlines()
    yield _named('Error', first)
    for line in others:
        yield _named('', line)
    told = (record['exceptionTraceback'] or '').splitlines()
    if told and not traceback:
        yield styled((f'{"":<{_WIDTH}}its traceback has {len(told)} lines: --traceback', 'dim'))
    elif told:
        yield _heading('Traceback')
        yield from (f'  {printable(line)}' for line in told)


def _entry(entry: TimelineEntry) -> Iterator[str | Text]:
    """Say what happened to the event; where it is now, its status says."""
    by = f' by {printable(entry.by)}' if entry.by is not None else ''
    at = f'  {printable(entry.at)}  '
    if entry.kind == 'received':
        yield f'{at}accepted'
    elif entry.kind == 'act':
        told = f', with {printable(entry.parameters)}' if entry.parameters else ''
        yield styled(at, (f'{printable(entry.action)}{by}{told}', 'magenta'))
    elif entry.kind == 'attempt':
        took = '' if entry.seconds is None else f' after {duration(entry.seconds)}'
        yield styled(at, f'{entry.title.lower()}{by} → ', status_text(entry.status), took)
        for name, value in (('handler', entry.handler), ('parameters', entry.parameters)):
            if value is not None:
                yield f'      {name}: {printable(value)}'
        yield from (f'      {stage_text(stage)}' for stage in entry.stages)
        if entry.error is not None:
            first, *others = entry.error.splitlines() or ['']
            yield styled((f'      {printable(first)}{" …" if others else ""}', 'red'))


def stage_text(stage: Mapping[str, Any]) -> str:
    """Return what a part of an attempt was, and how long it took."""
    facts = stage_facts(stage) + (['failed'] if stage.get('failed') else [])
    return f'{printable(stage["name"])}: {", ".join(facts)}'


def _result(record: Mapping[str, Any]) -> Iterator[str | Text]:
    """What the handler has saved: uploads in words, the rest as JSON."""
    if made := uploads(record):
        yield _heading('Uploads')
        for upload in made:
            confirmed = 'not confirmed yet' if upload.state is None else 'confirmed'
            known = 'no job was begun' if upload.job_id is None else f'job {upload.job_id}, {confirmed}'
            yield f'  {printable(upload.service)}: {printable(known)}'
    if text := saved(record):
        yield _heading('Saved by the handler')
        yield from (f'  {printable(line)}' for line in text.splitlines())


def _beside(table: Table, task_id: UUID, record: Mapping[str, Any], most: int | None) -> Iterator[str | Text]:
    """Read and yield the relatives, the images, and the first *most* files and key-values."""
    for title, wanted, id_ in (
            ('Made from', Filter(transaction_id=record['parentTransactionID']), record['parentTransactionID']),
            ('Results', Filter(parent_transaction=record['transactionID']), record['transactionID'])):
        yield from _section(title, [
            f'{row["taskID"]}  transaction {printable(row["transactionID"])}, {status_name(row["taskStatus"])}'
            for row in (() if id_ is None else table.search.page(wanted, limit=_MOST_RELATED).rows)])
    yield from _section('Images', [
        f'{image.number}  {printable(image.name)}, {image.media}, {size(image.size)}'
        for image in table.previews.of(task_id)])
    about = contents(record['eventData'])
    yield from _section('Files', [
        ', '.join(filter(None, (printable(file.path), size(file.size), printable(file.media))))
        for file in about.files[:most]], about.count)
    yield from _section('Key-values', [
        f'{printable(key)}  {printable(value)}' for key, value in about.key_values[:most]], about.key_value_count)


def _section(title: str, lines: Sequence[str], count: int = 0) -> Iterator[str | Text]:
    """Yield a title and its lines, if there are any, and how many of *count* are left out."""
    if not lines and not count:
        return
    yield _heading(title)
    yield from (f'  {line}' for line in lines)
    if (left := count - len(lines)) > 0:
        yield styled((f'  … {left:,} more', 'dim'))
