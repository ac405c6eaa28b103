"""Finds what was never delivered: asks Metadata for transactions, and stores the events of those that a route wants.

Called by the queue. Knows the archive by its client, and the queue's store; whoever calls it says from when on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.event_key import event_key
from pacifica.dispatcher._queue.query import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._transfers.metadata import Metadata
from pacifica.dispatcher.exceptions import ConfigurationError, RouteNotFoundRouterError
from pacifica.dispatcher.router import Router

__all__ = ['Reconciled', 'reconcile']

_AT_ONCE = 4  # requests


@dataclass
class Reconciled:
    """What was found.

    :param looked_at: how many transactions there are.
    :param unwanted: how many of those that were not here no route wants.
    :param missing: the task ids of the events that were not here, by transaction; ``None`` if they were not stored.
    """

    looked_at: int = 0
    unwanted: int = 0
    missing: dict[int, str | None] = field(default_factory=dict)


def reconcile(
    store: Store, router: Router, metadata: Metadata, since: datetime, *, dry_run: bool = False,
    progress: Callable[[Reconciled], None] = lambda found: None,
) -> Reconciled:
    """Store the event of each transaction since *since*, UTC, that is not here and that a route wants.

    :param dry_run: store nothing.
    :param progress: called after each page.
    :raises ConfigurationError: if the queue doesn't tell repeated events.
    :raises TransferError: if Metadata doesn't answer.
    :raises DatabaseUnavailableError: if the database doesn't answer.
    """
    if not store.deduplicates:
        raise ConfigurationError('reconcile needs a queue that knows which events it had: deduplicate=True')
    found = Reconciled()
    with ThreadPoolExecutor(_AT_ONCE, 'pacifica-dispatcher-reconcile') as pool:
        for page in metadata.pages(since):
            absent = _absent(store, page)
            for begin in range(0, len(absent), _AT_ONCE):  # each may have 100,000 files: few are in memory at a time
                some = absent[begin:begin + _AT_ONCE]
                for transaction, event in zip(some, pool.map(metadata.event_of, some)):
                    if not _wants(router, event):
                        found.unwanted += 1
                        continue
                    received = _events.from_dict(event)
                    found.missing[transaction] = None if dry_run else str(store.accept([received])[0])
            found.looked_at += len(page)
            progress(found)
    return found


def _absent(store: Store, transactions: Sequence[int]) -> list[int]:
    """Return those of the *transactions* whose events never came."""
    keys = {event_key(*Metadata.source_of(transaction)): transaction for transaction in transactions}
    known = Records(store.connections).known(list(keys)) if keys else set()
    return [transaction for key, transaction in keys.items() if key not in known]


def _wants(router: Router, event: Mapping[str, Any]) -> bool:
    try:
        router.match_first_or_raise(event)
    except RouteNotFoundRouterError:
        return False
    return True
