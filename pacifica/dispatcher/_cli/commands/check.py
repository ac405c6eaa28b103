"""``check``: a router's routes, and where events go and why."""

from __future__ import annotations

import sys

import click

from pacifica.dispatcher._cli.parameters import RouterReference, router_reference

__all__ = ['command']


@click.command('check', short_help='Show where events go, and why.')
@click.argument('reference', metavar='MODULE:ROUTER', callback=router_reference)
@click.argument('files', metavar='[EVENT_FILE]...', nargs=-1,
                type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option('--name', metavar='NAME', default=None,
              help='The application that would receive them, which skips its routes\' own results.  [default: MODULE]')
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON object.')
def command(reference: RouterReference, files: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Show the routes of ROUTER in MODULE, and which of them each event goes to, and why.

    An EVENT_FILE holds one event, a JSON array of events, or an event a line; "-" is stdin. Nothing is sent, and no
    handler runs: an event is validated as the receiver does it, and shown with what each route says to it.

    The exit status is 0 if every event has a route, 1 if one has none or would be refused.
    """
    from pacifica.dispatcher._cli.checking import run
    from pacifica.dispatcher._cli.event_files import read_events

    sys.exit(run(reference, read_events(files), as_json, name or reference.module))
