"""``replay``: run stored events again, from the beginning."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.acting import How, act_options
from pacifica.dispatcher._cli.filters import filter_options
from pacifica.dispatcher._cli.parameters import RouterReference, database_option, router_reference

if TYPE_CHECKING:
    from pacifica.dispatcher._queue.search import Filter
    from pacifica.dispatcher.router import Route

__all__ = ['command']


def _route(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Route | None:
    """Return a route whose path is *value*; what its parser prints of mistakes is in the error too."""
    import io
    from contextlib import redirect_stderr

    from pacifica.dispatcher.event_handlers import NoopEventHandler
    from pacifica.dispatcher.exceptions import ConfigurationError
    from pacifica.dispatcher.router import Route

    if value is None:
        return None
    try:
        with redirect_stderr(io.StringIO()):
            return Route.parse(value, NoopEventHandler())
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc)) from exc


def _router(ctx: click.Context, param: click.Parameter, value: str | None) -> RouterReference | None:
    return None if value is None else router_reference(ctx, param, value)


@click.command('replay', short_help='Run stored events again from the beginning.')
@database_option
@filter_options()
@click.option('--jsonpath', metavar='EXPR', callback=_route, default=None,
              help='Only events that this JSONPath matches, as a route\'s would.')
@click.option('--all', 'everything', is_flag=True, help='Every event that has ended.')
@click.option('--rate', type=click.FloatRange(min=0), default=0, show_default=True, metavar='N',
              help='How many events a second at most; 0 for any number.')
@click.option('--max-waiting', type=click.IntRange(min=0), default=100, show_default=True, metavar='N',
              help='Go on only while fewer events than that are due, so that new ones are not kept waiting; 0 for any '
                   'number.')
@click.option('--route', 'reference', metavar='MODULE:ROUTER', callback=_router, default=None,
              help='With --dry-run: show which route of this router would take each event, and how many each.')
@act_options
def command(
    database: Any, wanted: Filter, jsonpath: Route | None, everything: bool, rate: float, max_waiting: int,
    reference: RouterReference | None, how: How,
) -> None:
    """Run stored events again as if they were new: all that have ended and fit every option given, in any status.

    Unlike "retry" it forgets what their handlers have saved, so that what was uploaded is uploaded once more, and runs
    "200 OK" too. The oldest come first. A replayed event is due behind all that waits, and before what comes later:
    --max-waiting keeps few of them waiting at a time, as fast as the workers take them, however many they are.

    Before more than one is run it asks. The exit status is 0 if every event is run again, 1 if some are not, since
    somebody else has run them meanwhile, or if nothing matches. Events that have not ended are left out.
    """
    from pacifica.dispatcher._cli.existing import existing_table
    from pacifica.dispatcher._cli.replaying import Pace, Selection, preview, replay

    if everything == Selection(wanted, jsonpath).is_restricted:
        raise click.UsageError('say which events: by the options of "list", by --jsonpath, or --all')
    if reference is not None and not how.dry_run:
        raise click.UsageError('--route shows what would be done: say --dry-run too')
    with existing_table(database) as table:
        selection = Selection(wanted, jsonpath)
        if how.dry_run:
            sys.exit(preview(table, selection, reference.router if reference else None, how.as_json))
        sys.exit(replay(table, selection, Pace(rate, max_waiting), how))
