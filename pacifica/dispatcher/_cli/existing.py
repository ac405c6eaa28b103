"""The table of events as it is: for commands that look at it or change events, and must not make or upgrade it.

A mistyped database is left as it was found: a table made there would be empty for ever, and say that all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._cli.errors import UsageFault, one_line

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.operator import Operator
    from pacifica.dispatcher._queue.overview import Overview
    from pacifica.dispatcher._queue.query import Records
    from pacifica.dispatcher._queue.search import Search
    from pacifica.dispatcher._queue.writer import Writer

__all__ = ['Table', 'existing_table']


class Table:
    """What may be asked of the table, and done with the events in it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @cached_property
    def records(self) -> Records:
        """Single events."""
        from pacifica.dispatcher._queue.query import Records

        return Records(self._writer.connections)

    @cached_property
    def search(self) -> Search:
        """Lists of events."""
        from pacifica.dispatcher._queue.search import Search

        return Search(self._writer.connections)

    @cached_property
    def overview(self) -> Overview:
        """All of it at a glance."""
        from pacifica.dispatcher._queue.overview import Overview

        return Overview(self._writer.connections)

    @cached_property
    def operator(self) -> Operator:
        """What changes events."""
        from pacifica.dispatcher._queue.operator import Operator

        return Operator(self._writer)


@contextmanager
def existing_table(database: Any) -> Iterator[Table]:
    """The table in *database*, inside the ``with`` block.

    :raises UsageFault: if there is none or it is of an earlier version, or if the database can't be used, then or
        inside the block.
    """
    import peewee

    from pacifica.dispatcher._cli.tables import open_fault
    from pacifica.dispatcher._queue.connections import Connections
    from pacifica.dispatcher._queue.writer import Writer

    connections = Connections(database, lambda _session: 'current')  # which it is: nothing is made
    try:
        _require(database)
        yield Table(Writer(connections))
    except peewee.PeeweeException as exc:
        raise open_fault(database, exc) from exc
    finally:
        connections.close()


def _require(database: Any) -> None:
    """Check that the table is there, with connections as peewee makes them, which change nothing in the database."""
    import peewee

    from pacifica.dispatcher._queue.record import TABLE, WORKERS, Record

    name = one_line(database.database)
    absent = UsageFault(
        f'there are no events in database {name!r}: is it the right one (--database, or DATABASE_URL)? If it is, '
        '"pacifica-dispatcher migrate" makes the table')
    if isinstance(database, peewee.SqliteDatabase) and not name.startswith('file:') and not Path(name).exists():
        raise absent  # connecting would make the file
    try:
        tables = database.get_tables()
        if TABLE not in tables:
            raise absent
        columns = {column.name for column in database.get_columns(TABLE)}
        indexes = {index.name for index in database.get_indexes(TABLE)}
    finally:
        database.close()
    wanted = {field.column_name for field in Record._meta.sorted_fields}
    if not wanted <= columns or f'{TABLE}_event_key' not in indexes or WORKERS not in tables:
        raise UsageFault(
            f'the table of events in database {name!r} is of an earlier version: run "pacifica-dispatcher migrate", '
            'or start a worker or receiver of this version, to upgrade it')
