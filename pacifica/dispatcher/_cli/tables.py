"""Opens the table of events for a command, or says in one line why that can't be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._cli.errors import UsageFault, one_line

if TYPE_CHECKING:
    from pacifica.dispatcher.receiver import ReceiveTaskModelBase

__all__ = ['driver_of', 'open_fault', 'open_table']


def open_table(database: Any) -> tuple[type[ReceiveTaskModelBase], str]:
    """Return the model of the table in *database*, and what was done to have it: see ``ReceiveTaskModel.migrate``.

    :raises UsageFault: if the database can't be used.
    """
    import peewee

    from pacifica.dispatcher.receiver import create_peewee_model

    model = create_peewee_model(database)
    try:
        return model, model.migrate()
    except peewee.PeeweeException as exc:
        raise open_fault(database, exc) from exc


def open_fault(database: Any, exc: Exception) -> UsageFault:
    """Return what to say of an error that peewee raised for *database*."""
    import peewee

    if isinstance(exc, peewee.ImproperlyConfigured):
        return UsageFault(f'this database needs a driver: {driver_of(database)} ({one_line(exc)})')
    return UsageFault(f'database {database.database!r} can\'t be used: {one_line(exc)}')


def driver_of(database: Any) -> str:
    """Return the command that installs the driver for *database*."""
    import peewee

    extra = 'mysql' if isinstance(database, peewee.MySQLDatabase) else 'postgresql'
    return f'pip install "pacifica-dispatcher[{extra}]"'
