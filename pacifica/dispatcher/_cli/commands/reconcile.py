"""``reconcile``: store the events that were never delivered."""

from __future__ import annotations

from typing import Any

import click

from pacifica.dispatcher._cli.client import http_url
from pacifica.dispatcher._cli.output import json_option
from pacifica.dispatcher._cli.parameters import RouterReference, router_options
from pacifica.dispatcher._cli.times import moment

__all__ = ['command']


@click.command('reconcile', short_help='Store the events that were never delivered.')
@router_options
@click.option('--metadata', 'metadata_url', required=True, metavar='URL', callback=http_url, envvar='METADATA_URL',
              show_envvar=True, help='Where Pacifica Metadata is, e.g. http://HOST:8121.')
@click.option('--since', required=True, metavar='TIME', callback=moment,
              help='From when on: ISO 8601, UTC if it names no zone, or how long ago, such as 2h or 3d. No longer ago '
                   'than ended events are kept.')
@click.option('--dry-run', is_flag=True, help='Store nothing; say what would be.')
@json_option
def command(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None, metadata_url: str, since: str,
    dry_run: bool, as_json: bool,
) -> None:
    """Ask Pacifica Metadata which transactions there are, and store the events of those that were never delivered.

    What Pacifica Notifications could not deliver is lost to it, but Metadata still knows the transaction. Stored are
    those that a route of ROUTER in MODULE wants, with the id that their events have: one that is delivered late is that
    event again, and running this again stores nothing new. A "serve" or "work" runs them. Policy is not asked: events
    of projects that the subscription's user may not see are stored too, if a route wants them.
    """
    from pacifica.dispatcher._cli.reconciling import run

    run(reference, database, name, task_name, metadata_url, since, dry_run, as_json)
