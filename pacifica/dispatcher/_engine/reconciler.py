"""Finds what was never delivered: asks Metadata for transactions, and stores the events of those that a route wants.

Called by the queue, once or by :mod:`.periodic_reconciler`. Knows the archive by its client, and the queue's store;
whoever calls it says from when on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.pool import ThreadPool
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.event_key import event_key
from pacifica.dispatcher._queue.query import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._transfers.metadata import Metadata, UnreadableTransactionError
from pacifica.dispatcher.exceptions import ConfigurationError, InvalidEventError, RouteNotFoundRouterError
from pacifica.dispatcher.router import Router

__all__ = ['Reconciled', 'Reconciler']

_AT_ONCE = 4  # requests


@dataclass
class Reconciled:
    """What was found.

    :param looked_at: how many transactions there are.
    :param unwanted: those that were not here and no route wants.
    :param missing: the task ids of the events that were not here, by transaction; ``None`` if they were not stored.
    :param unreadable: the transactions that Metadata lists but doesn't tell, or whose events can't be stored, and why.
    :param recent: how many are too young to be missing: their delivery may be on its way.
    """

    looked_at: int = 0
    unwanted: set[int] = field(default_factory=set)
    missing: dict[int, str | None] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    recent: int = 0


class Reconciler:
    """Compares what Metadata knows with what is in a queue.

    :param store: the queue's.
    :param router: says which events are wanted.
    :param metadata: the service.
    :raises ConfigurationError: if the queue doesn't tell repeated events.
    """

    def __init__(self, store: Store, router: Router, metadata: Metadata) -> None:
        if not store.deduplicates:
            raise ConfigurationError('reconcile needs a queue that knows which events it had: deduplicate=True')
        self._store, self._router, self._metadata = store, router, metadata

    def run(
        self, since: datetime, until: datetime = datetime.max, *, dry_run: bool = False,
        unwanted: Iterable[int] = (), progress: Callable[[Reconciled], None] = lambda found: None,
        between: Callable[[], None] = lambda: None,
    ) -> Reconciled:
        """Store the event of each transaction that changed after *since* that is not here and that a route wants.

        :param since: UTC without a zone, by the archive's clock.
        :param until: those that changed later are left for the next time.
        :param dry_run: store nothing.
        :param unwanted: transactions of which it is known that no route wants them.
        :param progress: called after each page of transactions.
        :param between: called before each few requests; what it raises ends this.
        :raises TransferError: if Metadata doesn't answer.
        :raises DatabaseUnavailableError: if the database doesn't answer.
        """
        found = Reconciled(unwanted=set(unwanted))
        listed: set[int] = set()
        with ThreadPool(_AT_ONCE) as pool:  # of daemons: a request that hangs doesn't keep the process from ending
            for page in self._metadata.pages(since):
                between()
                old = [transaction for transaction, updated in page.items() if updated <= until]
                for transaction, event in self._events(pool, self._absent(old, found.unwanted), between):
                    self._take(transaction, event, found, dry_run)
                listed.update(page)
                found.looked_at += len(page)
                found.recent += len(page) - len(old)
                progress(found)
        found.unwanted &= listed
        return found

    def _events(
        self, pool: ThreadPool, transactions: Sequence[int], between: Callable[[], None],
    ) -> Iterator[tuple[int, dict[str, Any] | UnreadableTransactionError]]:
        for begin in range(0, len(transactions), _AT_ONCE):  # each may have 100,000 files: few are in memory at a time
            some = transactions[begin:begin + _AT_ONCE]
            between()
            yield from zip(some, pool.map(self._event_of, some))

    def _event_of(self, transaction: int) -> dict[str, Any] | UnreadableTransactionError:
        try:
            return self._metadata.event_of(transaction)
        except UnreadableTransactionError as exc:
            return exc

    def _take(
        self, transaction: int, event: dict[str, Any] | UnreadableTransactionError, found: Reconciled, dry_run: bool,
    ) -> None:
        if isinstance(event, UnreadableTransactionError):
            found.unreadable[transaction] = str(event)
        elif not self._wants(event):
            found.unwanted.add(transaction)
        else:
            try:
                received = _events.from_dict(event)
                found.missing[transaction] = None if dry_run else str(self._store.accept([received])[0])
            except InvalidEventError as exc:  # also one that is larger than the database takes
                found.unreadable[transaction] = str(exc)

    def _absent(self, transactions: Sequence[int], unwanted: set[int]) -> list[int]:
        """Return those of the *transactions* whose events never came, and that may be wanted."""
        keys = {event_key(*Metadata.source_of(transaction)): transaction for transaction in transactions}
        known = Records(self._store.connections).known(list(keys)) if keys else set()
        return [transaction for key, transaction in keys.items() if key not in known and transaction not in unwanted]

    def _wants(self, event: Mapping[str, Any]) -> bool:
        try:
            self._router.match_first_or_raise(event)
        except RouteNotFoundRouterError:
            return False
        except Exception:  # a path of the user's own: the event is stored, and ends with this error where people look
            return True
        return True
