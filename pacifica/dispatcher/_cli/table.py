"""The table of events: opened as it is, made or upgraded by ``migrate``, emptied of what is old by ``prune``."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pacifica.dispatcher._cli.options import by_option, database_option, duration, json_option
from pacifica.dispatcher._cli.output import UsageFault, notice, print_json, progress
from pacifica.dispatcher._operate.words import one_line, size

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.operator import Operator
    from pacifica.dispatcher._queue.overview import Overview
    from pacifica.dispatcher._queue.previews import Previews
    from pacifica.dispatcher._queue.records import Records
    from pacifica.dispatcher._queue.search import Search
    from pacifica.dispatcher._queue.values import QueueName
    from pacifica.dispatcher.receiver import ReceiveTaskModelBase

_SAID = {
    'created': 'made the table',
    'upgraded': 'upgraded the table of the 0.2 series; every row was kept',
    'current': 'the table is up to date',
}
_LOG = logging.getLogger(__name__)


class Table(NamedTuple):
    records: Records
    search: Search
    overview: Overview
    operator: Operator
    previews: Previews


@contextmanager
def existing_table(database: Any) -> Iterator[Table]:
    """The table in *database*, inside the ``with`` block, for commands that must not make or upgrade it.

    A mistyped database is left as it was found: a table made there would be empty for ever, and say that all is well.
    """
    import peewee

    from pacifica.dispatcher._queue.connections import Connections
    from pacifica.dispatcher._queue.operator import Operator
    from pacifica.dispatcher._queue.overview import Overview
    from pacifica.dispatcher._queue.previews import Previews
    from pacifica.dispatcher._queue.records import Records
    from pacifica.dispatcher._queue.search import Search
    from pacifica.dispatcher._queue.writer import Writer

    connections = Connections(database, lambda _session: 'current')  # which it is: nothing is made
    try:
        _require(database)
        yield Table(
            Records(connections), Search(connections), Overview(connections), Operator(Writer(connections)),
            Previews(connections))
    except peewee.PeeweeException as exc:
        raise _open_fault(database, exc) from exc
    finally:
        connections.close()


def _require(database: Any) -> None:
    """Check that the table is there and whole, with a connection as peewee makes it, which changes nothing."""
    from pacifica.dispatcher._queue.dialect import dialect_of
    from pacifica.dispatcher._queue.schema import state_of_schema
    from pacifica.dispatcher._queue.session import Session
    from pacifica.dispatcher._queue.sqlite import sqlite_path

    name, file, state = one_line(database.database), sqlite_path(database), 'absent'
    if file is None or file.exists():  # else connecting would make the file
        try:
            database.connect()  # by peewee, not by the session, which would turn a file to WAL
            state = state_of_schema(Session(database, dialect_of(database)))
        finally:
            database.close()
    if state == 'absent':
        raise UsageFault(
            f'there are no events in database {name!r}: is it the right one (--database, or DATABASE_URL)? If it is, '
            '"pacifica-dispatcher migrate" makes the table')
    if state != 'current':
        raise UsageFault(
            f'the table of events in database {name!r} is of an earlier version: run "pacifica-dispatcher migrate", '
            'or start a worker or receiver of this version, to upgrade it')


def open_table(database: Any) -> tuple[type[ReceiveTaskModelBase], str]:
    """Return the model of the table in *database*, and what was done to have it: see ``ReceiveTaskModel.migrate``."""
    import peewee

    from pacifica.dispatcher.receiver import create_peewee_model

    model = create_peewee_model(database)
    try:
        return model, model.migrate()
    except peewee.PeeweeException as exc:
        raise _open_fault(database, exc) from exc


def _open_fault(database: Any, exc: Exception) -> UsageFault:
    import peewee

    if isinstance(exc, peewee.ImproperlyConfigured):
        return UsageFault(f'this database needs a driver: {driver_of(database)} ({one_line(exc)})')
    return UsageFault(f'database {database.database!r} can\'t be used: {one_line(exc)}')


def driver_of(database: Any) -> str:
    import peewee

    extra = 'mysql' if isinstance(database, peewee.MySQLDatabase) else 'postgresql'
    return f'pip install "pacifica-dispatcher[{extra}]"'


@click.command('migrate')
@database_option
def migrate_command(database: Any) -> None:
    """Make the table of events, or upgrade one of the 0.2 series in place.

    Workers and receivers do the same when they start; this is for doing it at a time of your choice. Stop workers of
    the 0.2 series first. It may be run again, and by several at once.
    """
    model, done = open_table(database)
    click.echo(_SAID[done])
    model.close_connections()


@click.command('prune', short_help='Delete events that ended long ago.')
@database_option
@click.option('--older-than', callback=duration, required=True, metavar='TIME',
              help='How long ago they must have ended, for example 30d; units are s, m, h, d and w.')
@click.option('--name', metavar='NAME', default=None,
              help='Only events of this application, as of "serve".  [default: of all]')
@click.option('--task-name', metavar='NAME', default=None, help='Only events of this task.  [default: NAME.receive]')
@click.option('--vacuum', is_flag=True,
              help='Then give the room of what was deleted back, of a SQLite file; nobody else writes meanwhile.')
@click.option('--dry-run', is_flag=True, help='Only say how many there are.')
@by_option('for the log')
@json_option
def prune_command(
    database: Any, older_than: float, name: str | None, task_name: str | None, vacuum: bool, dry_run: bool, by: str,
    as_json: bool,
) -> None:
    """Delete events that ended long ago, and say how many.

    Events that wait or are being processed are never deleted. Each thousand is a transaction of its own, so that
    workers go on meanwhile, and what was deleted before an interruption stays deleted. An event that was deleted is
    forgotten: it is a new one if it comes again. Does not ask, since it is meant for cron.

    No timeline is left to say who deleted them, so that is logged, to stderr.

    A SQLite file keeps its size, and has room for new events; --vacuum makes it smaller. That writes all that is left
    anew, for which the disk needs as much room again.
    """
    from pacifica.dispatcher._queue.sqlite import sqlite_path
    from pacifica.dispatcher._queue.values import QueueName

    if task_name is not None and name is None:
        raise click.UsageError('--task-name needs --name, the application whose task it is')
    file = sqlite_path(database)
    if vacuum and file is None:
        raise UsageFault('--vacuum is for SQLite files: a server gives room back, or uses it again, by itself')
    queue = None if name is None else QueueName(name, task_name or f'{name}.receive')
    with existing_table(database) as table:
        found = table.operator.count_prunable(older_than, queue)
        deleted = 0
        if not dry_run:
            try:
                with progress('deleting', found) as advance:
                    while batch := table.operator.prune(older_than, queue):
                        deleted += batch
                        advance(batch)
            finally:
                _log_pruned(deleted, older_than, queue, by)
            if vacuum:
                table.operator.vacuum()
    if as_json:
        print_json({'found': found, 'deleted': deleted})
    else:
        click.echo(f'{found:,} events would be deleted' if dry_run else f'{deleted:,} events were deleted')
        if file is not None and deleted and not vacuum:
            notice(f'{file} keeps its size, {size(file.stat().st_size)}: --vacuum makes it smaller')


def _log_pruned(deleted: int, older_than: float, queue: QueueName | None, by: str) -> None:
    """Write an entry as services log it: how many events were deleted, if any were, by whom and where."""
    from pacifica.dispatcher._cli.serving import configure_log

    if deleted:
        configure_log()
        _LOG.info('events.pruned', extra={
            'deleted': deleted, 'older_than': older_than, 'application': queue.application if queue else 'any',
            'by': by, 'host': socket.gethostname()})
