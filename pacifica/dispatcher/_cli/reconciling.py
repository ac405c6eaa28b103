"""What ``reconcile`` does, and what it says."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import click

from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.output import print_json, progress
from pacifica.dispatcher._cli.parameters import RouterReference
from pacifica.dispatcher._cli.serving import open_queue
from pacifica.dispatcher._engine.reconciler import Reconciled
from pacifica.dispatcher.exceptions import TransferError

__all__ = ['run']

_NAMED = 20


def run(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None, metadata_url: str, since: str,
    dry_run: bool, as_json: bool,
) -> None:
    """Reconcile once, and print what was found.

    :param since: UTC, ``YYYY-MM-DD HH:MM:SS.ffffff``.
    :raises UsageFault: if Metadata does not answer.
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
        click.echo(f'left out: {said}', err=True)
    if found.missing:
        named = ', '.join(map(str, list(found.missing)[:_NAMED]))
        more = len(found.missing) - _NAMED
        done = 'would be stored' if dry_run else 'stored'
        click.echo(f'{done}: the events of {named}{f" and {more} more" if more > 0 else ""}')
