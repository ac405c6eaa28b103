"""``reconcile``: stores the events that were never delivered."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.options import http_url, json_option, moment, router_options
from pacifica.dispatcher._cli.output import UsageFault, notice, print_json, progress
from pacifica.dispatcher._cli.references import RouterReference
from pacifica.dispatcher._cli.serving import open_queue
from pacifica.dispatcher.exceptions import TransferError

if TYPE_CHECKING:
    from pacifica.dispatcher._engine.reconciler import Reconciled

_NAMED = 20  # transactions that were missing


@click.command('reconcile', short_help='Store the events that were never delivered.')
@router_options
@click.option('--metadata', 'metadata_url', required=True, metavar='URL', callback=http_url, envvar='METADATA_URL',
              show_envvar=True, help='Where Pacifica Metadata is, e.g. http://HOST:8121.')
@click.option('--since', required=True, metavar='TIME', callback=moment,
              help='From when on: ISO 8601, UTC if it names no zone, or how long ago, such as 2h or 3d. No longer ago '
                   'than ended events are kept.')
@click.option('--dry-run', is_flag=True, help='Store nothing; say what would be.')
@json_option
def reconcile_command(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None, metadata_url: str, since: str,
    dry_run: bool, as_json: bool,
) -> None:
    """Ask Pacifica Metadata which transactions there are, and store the events of those that were never delivered.

    What Pacifica Notifications could not deliver is lost to it, but Metadata still knows the transaction. Stored are
    those that a route of ROUTER in MODULE wants, with the id that their events have: one that is delivered late is that
    event again, and running this again stores nothing new. A "serve" or "work" runs them. Policy is not asked: events
    of projects that the subscription's user may not see are stored too, if a route wants them.
    """
    model, queue = open_queue(reference, database, name, task_name)
    seen = 0

    def move(found: Reconciled) -> None:
        nonlocal seen
        advance(found.looked_at - seen)
        seen = found.looked_at

    try:
        with progress('transactions', None) as advance:
            found = queue.reconcile(
                metadata_url, datetime.fromisoformat(since).replace(tzinfo=timezone.utc), dry_run=dry_run,
                progress=move)
    except TransferError as exc:
        raise UsageFault(f'{exc}; what was stored by then stays: run it again when Metadata answers') from exc
    finally:
        model.close_connections()
    if as_json:
        print_json({'lookedAt': found.looked_at, 'unwanted': len(found.unwanted), 'dryRun': dry_run, 'missing': [
            {'transactionID': str(transaction), 'taskID': task_id} for transaction, task_id in found.missing.items()]})
    else:
        _say(found, since, dry_run)


def _say(found: Reconciled, since: str, dry_run: bool) -> None:
    click.echo(f'{found.looked_at} transactions since {since[:19]} UTC, {len(found.missing)} of which were missing'
               + (f'; {len(found.unwanted)} more that no route wants' if found.unwanted else ''))
    for said in found.unreadable.values():
        notice(f'left out: {said}')
    if found.missing:
        named = ', '.join(map(str, list(found.missing)[:_NAMED]))
        more = len(found.missing) - _NAMED
        done = 'would be stored' if dry_run else 'stored'
        click.echo(f'{done}: the events of {named}{f" and {more} more" if more > 0 else ""}')
