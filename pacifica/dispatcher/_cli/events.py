"""``list``: which events there are, a page at a time, which alone is in memory; ``show``: all that is known of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from pacifica.dispatcher._cli.event_output import attempt_paragraphs, follow
from pacifica.dispatcher._cli.event_sections import event_sections
from pacifica.dispatcher._cli.options import as_task_id, database_option, filter_options, json_option
from pacifica.dispatcher._cli.output import (
    Column, UsageFault, console, notice, on_terminal, print_document, print_json, print_table, status_name, status_text,
    styled,
)
from pacifica.dispatcher._cli.table import existing_table
from pacifica.dispatcher._operate.actions import batches, events, is_empty
from pacifica.dispatcher._operate.listing import age, files, took
from pacifica.dispatcher._operate.timeline import (
    TimelineEntry, document, entries, saved, skip_reason, stage_facts, uploads,
)
from pacifica.dispatcher._operate.words import duration, error_text, moment, printable

if TYPE_CHECKING:
    from rich.text import Text

    from pacifica.dispatcher._queue.records import Running
    from pacifica.dispatcher._queue.search import Filter

_SHOWN = (
    Column('AGE', whole=True), Column('STATUS', whole=True), Column('TASK ID', whole=True), Column('TRANSACTION'),
    Column('PROJECT'), Column('INSTRUMENT'), Column('SUBMITTER'), Column('FILES'), Column('ROUTE'), Column('TOOK'),
    Column('ERROR'),
)
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


@click.command('list', short_help='List events, newest first.')
@database_option
@filter_options()
@click.option('--limit', type=click.IntRange(min=0), default=50, show_default=True, metavar='N',
              help='How many events at most; 0 for all.')
@click.option('--all', 'everything', is_flag=True, help='All that fit, as --limit 0.')
@click.option('--after', type=as_task_id, metavar='ID', default=None,
              help='Only events that come after this one: the last of the page before.')
@json_option
def list_command(
    database: Any, wanted: Filter, limit: int, everything: bool, after: UUID | None, as_json: bool,
) -> None:
    """List events, newest first: those that fit every option given.

    In a pipe it prints a line for each event, its values parted by tabs: task id, status, time of acceptance (UTC),
    type, transaction, attempts, source, event id, error, project, instrument, submitter, files, bytes, route, time of
    the end. --json prints a JSON object in each line, with the keys of GET /get/ID. Neither is cut to any width. On a
    terminal, columns in which no event has anything are left out. Characters that can't be printed are written as in
    JSON (\\u001b).
    """
    with existing_table(database) as table:
        before = None if after is None else table.search.cursor(after)
        if after is not None and before is None:
            raise UsageFault(f'there is no event {after} to begin after; perhaps it was pruned')
        unfiltered, last = is_empty(wanted), None
        found = events(table.search, replace(wanted, routed=True) if unfiltered else wanted, before=before)
        for page in batches(found if everything or not limit else islice(found, limit)):
            for row in page if as_json else ():
                print_json(row)
            if not as_json:
                print_events(page)
            last = page[-1]
        if last is None:
            notice('no event matches')
        if unfiltered and on_terminal():
            notice('events that no route matched are left out: --status unrouted')
        if last is not None and on_terminal() and next(found, None) is not None:
            notice(f'there are more: --after {last["taskID"]}, or --all')


def print_events(rows: Sequence[Mapping[str, Any]], routes: Sequence[str] = ()) -> None:
    """Print a page of events, each with the one of *routes* that it would take, if these are given."""
    values = _for_terminal if on_terminal() else _for_pipe
    columns = [*_SHOWN, Column('WOULD RUN')] if routes else _SHOWN
    lines = [[*values(row), *routes[number:number + 1]] for number, row in enumerate(rows)]
    if on_terminal():
        told = [number for number, column in enumerate(columns) if column.whole or any(line[number] for line in lines)]
        columns, lines = [columns[number] for number in told], [[line[number] for number in told] for line in lines]
    print_table(columns, lines)


def _for_terminal(row: Mapping[str, Any]) -> list[object]:
    return [
        age(row['created']), 'skipped' if row['skipped'] else status_name(row['taskStatus']), row['taskID'],
        row['transactionID'], row['project'], row['instrument'], row['submitter'], files(row), row['route'], took(row),
        _short_error(row),
    ]


def _for_pipe(row: Mapping[str, Any]) -> list[object]:
    return [
        row['taskID'], row['taskStatus'], row['created'], row['eventType'], row['transactionID'], row['attempts'],
        row['source'], row['eventID'], _short_error(row), row['project'], row['instrument'], row['submitter'],
        row['fileCount'], row['fileBytes'], row['route'], row['finalized'],
    ]


def _short_error(row: Mapping[str, Any]) -> str | None:
    return None if row['exceptionType'] is None else error_text(row['exceptionType'], row['exceptionValue'])


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
        sections = list(event_sections(table, task_id, record, most))
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
    yield from _document(record['eventData'], lines)


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


def _document(text: str, lines: int | None) -> Iterator[str | Text]:
    told = document(text).splitlines()
    yield from (f'  {printable(line)}' for line in told[:lines])
    if lines is not None and len(told) > lines:
        yield styled((f'  … {len(told) - lines:,} more lines: --full', 'dim'))
