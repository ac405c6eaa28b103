"""``run``: finds the one event, stored or in a file, and its route; :mod:`.foreground` runs it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import click

from pacifica.dispatcher._cli.check import check_event, check_stored, show_event
from pacifica.dispatcher._cli.foreground import ForegroundRun
from pacifica.dispatcher._cli.options import database_option, set_option
from pacifica.dispatcher._cli.output import EXIT_FAILED, UsageFault
from pacifica.dispatcher._cli.references import ROUTER, RouterReference, router_reference
from pacifica.dispatcher._cli.table import existing_table
from pacifica.dispatcher._parameters import require_declared

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.check import CheckedEvent
    from pacifica.dispatcher.router import Route


@click.command('run', short_help='Run one event here and now.')
@click.argument('reference', metavar=ROUTER, callback=router_reference)
@click.argument('event', metavar='ID|EVENT_FILE')
@database_option
@click.option('--name', metavar='NAME', default=None, envvar=['PACIFICA_DISPATCHER_NAME'],
              help='The application that runs it, as uploads name it.  [default: that of the stored event, or MODULE]')
@set_option
@click.option('--dry-run', is_flag=True, help='Upload nothing: make the bundle, and say where it is.')
@click.option('--keep', metavar='DIR', type=click.Path(file_okay=False, path_type=Path), default=None,
              help='Keep the directory with the files and the results in DIR, and the bundle of --dry-run.')
def run_command(
    reference: RouterReference, event: str, database: Any, name: str | None, parameters: Mapping[str, Any],
    dry_run: bool, keep: Path | None,
) -> None:
    """Run one event by ROUTER of MODULE, in the foreground: a stored one by its task ID, or the one of an EVENT_FILE.

    It runs in this process and thread, so that a debugger works, print() is seen and Ctrl-C ends it. The database is
    only read, nothing is stored, and the limits of the route are not kept. Without --dry-run its result is uploaded, as
    a worker does it. A stored event has the parameters that were set for it, and those of --set in their place.

    The exit status is 0 if the handler returned, 1 if it failed or the event has no route.
    """
    routes = list(reference.router)
    given = _read(event, database)
    application = name or given.application or reference.application
    checked = given.check(routes, application)
    if checked.winner is None:
        show_event(checked, routes)
        sys.exit(EXIT_FAILED)
    route = routes[checked.winner - 1]
    require_declared(parameters, route.parameters)
    own = {**given.parameters, **parameters}
    ForegroundRun(checked, route, application, given.task_id, own, dry_run, keep)()


@dataclass
class _Given:
    """The event that is to run; ``stored`` is its record, if it has one."""

    name: str
    text: str
    stored: Mapping[str, Any] | None = None

    @property
    def application(self) -> str | None:
        return None if self.stored is None else str(self.stored['taskApplicationName'])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Those that were set for it."""
        return (self.stored or {}).get('parameters') or {}

    @property
    def task_id(self) -> UUID:
        return uuid4() if self.stored is None else UUID(self.stored['taskID'])

    def check(self, routes: Sequence[Route], application: str) -> CheckedEvent:
        from pacifica.dispatcher._clients.event_files import read_events

        if self.stored is not None:
            return check_stored(routes, self.name, self.text, application)
        events = read_events([self.name])
        if len(events) != 1:
            raise UsageFault(f'{self.name} has {len(events)} events, and one at a time is run: put that into a file')
        return check_event(routes, events[0], application)


def _read(event: str, database: Any) -> _Given:
    try:
        task_id = UUID(event)
    except ValueError:
        if event != '-' and not Path(event).is_file():
            raise UsageFault(f'{event!r} is no task id, which is a UUID, and no file') from None
        return _Given(event, '')
    with existing_table(database) as table:
        record = table.records.get(task_id)
    if record is None:
        raise UsageFault(f'there is no event {task_id}')
    return _Given(str(task_id), record['eventData'], record)
