"""Finds what was never delivered: asks Metadata for transactions, and stores the events of those that a route wants."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import Any

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.turns import Periodic
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._transfers.metadata import VISIBLE_WITHIN, Metadata, UnreadableTransactionError
from pacifica.dispatcher.exceptions import (
    ConfigurationError, DispatcherError, InvalidEventError, RouteNotFoundRouterError,
)
from pacifica.dispatcher.router import Router

_LOG = logging.getLogger(__name__)
_REQUESTS = 4  # at the same time
_LEASE_SECONDS = 30.0
_POLL_SECONDS = 5.0
_STOP_SECONDS = 5.0
_NAMED = 20
#: Of a transaction as young as this, the delivery may be on its way.
_DELIVERY_SECONDS = 10.0


@dataclass
class Reconciled:
    """What was found, by transaction."""

    looked_at: int = 0
    unwanted: set[int] = field(default_factory=set)  # those that were not here and no route wants
    missing: dict[int, str | None] = field(default_factory=dict)  # task ids; None if the event was not stored
    unreadable: dict[int, str] = field(default_factory=dict)  # why Metadata can't show it, or it can't be stored
    recent: int = 0  # how many are too young to be missing: their delivery may be on its way


class Reconciler:
    """Compares what Metadata knows with what is in a queue.

    :param missed: called for each event that was stored.
    :raises ConfigurationError: if the queue doesn't recognise repeated events.
    """

    def __init__(self, store: Store, router: Router, metadata: Metadata, missed: Callable[[], None]) -> None:
        if not store.deduplicate:
            raise ConfigurationError('reconcile needs a queue that knows which events it had: deduplicate=True')
        self.store, self.metadata, self._router, self._missed = store, metadata, router, missed

    def run(
        self, since: datetime, until: datetime = datetime.max, *, dry_run: bool = False,
        unwanted: Iterable[int] = (), progress: Callable[[Reconciled], None] = lambda found: None,
        between: Callable[[], None] = lambda: None,
    ) -> Reconciled:
        """Store the event of each transaction that changed after *since* that is not here and that a route wants.

        :param since: UTC without a zone, by the archive's clock, as is *until*; what changed later waits for next time.
        :param unwanted: transactions of which it is known that no route wants them.
        :param progress: called after each page of transactions.
        :param between: called before each few requests; what it raises ends this.
        :raises TransferError: if Metadata doesn't answer.
        :raises DatabaseUnavailableError: if the database doesn't answer.
        """
        found = Reconciled(unwanted=set(unwanted))
        listed: set[int] = set()
        with ThreadPool(_REQUESTS) as pool:  # of daemons: a request that hangs doesn't keep the process from ending
            for page in self.metadata.pages(since):
                between()
                old = [transaction for transaction, updated in page.items() if updated <= until]
                for transaction, asked in self._ask(pool, self._absent(old, found.unwanted), between):
                    self._take(transaction, asked, found, dry_run)
                listed.update(page)
                found.looked_at += len(page)
                found.recent += len(page) - len(old)
                progress(found)
        found.unwanted &= listed
        return found

    def _ask(
        self, pool: ThreadPool, transactions: Sequence[int], between: Callable[[], None],
    ) -> Iterator[tuple[int, AsyncResult[dict[str, Any]]]]:
        for begin in range(0, len(transactions), _REQUESTS):  # each may have 100,000 files: few are in memory at a time
            some = transactions[begin:begin + _REQUESTS]
            between()
            yield from [(each, pool.apply_async(self.metadata.event_of, (each,))) for each in some]

    def _take(
        self, transaction: int, asked: AsyncResult[dict[str, Any]], found: Reconciled, dry_run: bool,
    ) -> None:
        try:
            event = asked.get()
            if self._wants(event):
                received = _events.from_dict(event)
                found.missing[transaction] = None if dry_run else str(self.store.accept([received])[0])
                if not dry_run:
                    self._missed()
            else:
                found.unwanted.add(transaction)
        except (UnreadableTransactionError, InvalidEventError) as exc:  # also one larger than the database takes
            found.unreadable[transaction] = str(exc)

    def _absent(self, transactions: Sequence[int], unwanted: set[int]) -> list[int]:
        """Return those of the *transactions* whose events never came, and that may be wanted."""
        events = {Metadata.source_of(transaction): transaction for transaction in transactions}
        known = Records(self.store.connections).known(list(events)) if events else set()
        return [each for event, each in events.items() if event not in known and each not in unwanted]

    def _wants(self, event: Mapping[str, Any]) -> bool:
        try:
            self._router.match_first_or_raise(event)
        except RouteNotFoundRouterError:
            return False
        except Exception:  # a path of the user's own: the event is stored, and ends with this error where people look
            return True
        return True


class _StoppedError(Exception):
    """The service stops, or another has taken the turn over."""


class PeriodicReconciler(Periodic):
    """Stores what was never delivered, while its service runs.

    From when on to look is kept in the database, and moves on only after all events before it are stored.

    :param interval: seconds between two looks, of all services of the queue together.
    :param since: from when on the very first one looks, UTC without a zone; by default from the start of this service.
    """

    def __init__(self, reconciler: Reconciler, interval: float, since: datetime | None = None) -> None:
        # A request that is under way when it stops is not waited for.
        super().__init__('reconciler', min(interval, _POLL_SECONDS), _STOP_SECONDS)
        self._store, self._reconciler = reconciler.store, reconciler
        self._between, self._first = interval, since
        self._token = secrets.token_hex(16)
        self._began = time.monotonic()
        self._unwanted: set[int] = set()
        self._renewed = 0.0
        self._unreadable: set[int] = set()
        self._fault = ''

    def run_once(self, early: float = 0.0) -> Reconciled | None:
        """Look, if it is this service's turn; return what was found, ``None`` if it is not.

        :param early: seconds before it is due at which the turn may be taken.
        :raises TransferError: if Metadata doesn't answer; the next look asks for the same transactions.
        :raises DatabaseUnavailableError: if the database doesn't answer.
        :raises QueueFullError: if ``max_backlog`` events are waiting; likewise.
        """
        turn = self._store.claim_reconciliation(self._token, _LEASE_SECONDS, early)
        if turn is None:
            return None
        self._renewed = time.monotonic()
        next_since, again = None, min(self._between, _DELIVERY_SECONDS)
        try:
            now = self._reconciler.metadata.now()
            since = turn.since or self._first or now - timedelta(seconds=time.monotonic() - self._began)
            found = self._reconciler.run(
                since, now - timedelta(seconds=_DELIVERY_SECONDS), unwanted=self._unwanted, between=self._go_on)
            self._unwanted = found.unwanted
            next_since = max(since, now - VISIBLE_WITHIN)
            again = again if found.recent else self._between
        finally:
            self._store.finish_reconciliation(self._token, again, next_since)
        self._log(found)
        return found

    def _go_on(self) -> None:
        """Keep the turn; raise :class:`_StoppedError` if there is to be no more."""
        if self._stopping.is_set():
            raise _StoppedError
        if time.monotonic() >= self._renewed + _LEASE_SECONDS / 3:
            self._renewed = time.monotonic()
            if not self._store.renew_reconciliation(self._token, _LEASE_SECONDS):
                raise _StoppedError

    def _log(self, found: Reconciled) -> None:
        if found.missing:
            _LOG.warning('events.reconciled', extra={
                'count': len(found.missing), 'transactions': ', '.join(map(str, list(found.missing)[:_NAMED]))})
        for transaction in found.unreadable.keys() - self._unreadable:
            _LOG.warning('transaction.unreadable', extra={
                'transaction': transaction, 'error': found.unreadable[transaction]})
        self._unreadable = set(found.unreadable)

    def _loop(self) -> None:
        self._turn(self._between)  # a start is when most was missed, also one just after another service's look
        super()._loop()

    def _turn(self, early: float = 0.0) -> None:
        try:
            looked = self.run_once(early)
        except _StoppedError:
            return
        except Exception as exc:  # whatever it is, the next look may do better, and nobody else would look
            if not self._fault:  # once, however long it lasts
                _LOG.warning('reconciler.failed', extra={'error': str(exc)},
                             exc_info=not isinstance(exc, DispatcherError))
            self._fault = str(exc) or repr(exc)
            return
        if self._fault and looked is not None:
            _LOG.info('reconciler.recovered')
            self._fault = ''
