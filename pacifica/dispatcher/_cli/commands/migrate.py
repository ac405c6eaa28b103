"""``migrate``: make the table, or upgrade one of the 0.2 series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.parameters import database_option

if TYPE_CHECKING:
    import peewee

__all__ = ['command']

_SAID = {
    'created': 'made the table',
    'upgraded': 'upgraded the table of the 0.2 series; every row was kept',
    'current': 'the table is up to date',
}


@click.command('migrate')
@database_option
def command(database: peewee.Database) -> None:
    """Make the table of events, or upgrade one of the 0.2 series in place.

    Workers and receivers do the same when they start; this is for doing it at a time of your choice. Stop workers of
    the 0.2 series first. It may be run again, and by several at once.
    """
    from pacifica.dispatcher._cli.tables import open_table

    model, done = open_table(database)
    click.echo(_SAID[done])
    model.close_connections()
