"""``run``: finds the one event, stored or in a file, and its route; :mod:`.foreground` runs it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
    from pacifica.dispatcher._clients.event_files import FileEvent


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
    routes, record = list(reference.router), _record(event, database)
    application = name or record.get('taskApplicationName') or reference.application
    if record:
        checked = check_stored(routes, record['taskID'], record['eventData'], application)
    else:
        checked = check_event(routes, _in_file(event), application)
    if checked.winner is None:
        show_event(checked, routes)
        sys.exit(EXIT_FAILED)
    route = routes[checked.winner - 1]
    require_declared(parameters, route.parameters)
    own = {**(record.get('parameters') or {}), **parameters}
    task_id = UUID(record['taskID']) if record else uuid4()
    ForegroundRun(checked, route, application, task_id, own, dry_run, keep)()


def _in_file(name: str) -> FileEvent:
    from pacifica.dispatcher._clients.event_files import read_events

    events = read_events([name])
    if len(events) != 1:
        raise UsageFault(f'{name} has {len(events)} events, and one at a time is run: put that into a file')
    return events[0]


def _record(event: str, database: Any) -> Mapping[str, Any]:
    """Return the record of a stored event; an empty one for an event in a file."""
    try:
        task_id = UUID(event)
    except ValueError:
        if event != '-' and not Path(event).is_file():
            raise UsageFault(f'{event!r} is no task id, which is a UUID, and no file') from None
        return {}
    with existing_table(database) as table:
        record = table.records.get(task_id)
    if record is None:
        raise UsageFault(f'there is no event {task_id}')
    return record
