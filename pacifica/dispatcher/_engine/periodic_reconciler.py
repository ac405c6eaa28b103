"""Reconciles again and again: at the start of a service, and once an interval for all services of a queue together.

Made by the event queue; started and stopped as the worker beside it. One turn is :meth:`PeriodicReconciler.run_once`.
From when on Metadata is asked is kept in the database, and moves on only after all before it is stored.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from datetime import datetime, timedelta

from pacifica.dispatcher._engine.reconciler import Reconciled, Reconciler
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._transfers.metadata import VISIBLE_WITHIN, Metadata
from pacifica.dispatcher.exceptions import DispatcherError

__all__ = ['PeriodicReconciler']

_LOG = logging.getLogger(__name__)
_LEASE_SECONDS = 30.0
_POLL_SECONDS = 5.0
_STOP_SECONDS = 5.0
_NAMED = 20
#: Of a transaction as young as this, the delivery may be on its way.
_DELIVERY_SECONDS = 10.0


class _StoppedError(Exception):
    """The service stops, or another has taken the turn over."""


class PeriodicReconciler:
    """Stores what was never delivered, while its service runs.

    :param store: the queue's.
    :param reconciler: what compares.
    :param metadata: the service, whose clock counts.
    :param interval: seconds between two looks, of all services of the queue together.
    :param since: from when on the very first one looks, UTC without a zone; by default from the start of this service.
    """

    def __init__(
        self, store: Store, reconciler: Reconciler, metadata: Metadata, interval: float, since: datetime | None = None,
    ) -> None:
        self._store, self._reconciler, self._metadata = store, reconciler, metadata
        self._interval, self._first = interval, since
        self._token = secrets.token_hex(16)
        self._began = time.monotonic()
        self._unwanted: set[int] = set()
        self._renewed = 0.0
        self._unreadable: set[int] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

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
        next_since, again = None, min(self._interval, _DELIVERY_SECONDS)
        try:
            now = self._metadata.now()
            since = turn.since or self._first or now - timedelta(seconds=time.monotonic() - self._began)
            found = self._reconciler.run(
                since, now - timedelta(seconds=_DELIVERY_SECONDS), unwanted=self._unwanted, between=self._go_on)
            self._unwanted = found.unwanted
            next_since = max(since, now - VISIBLE_WITHIN)
            again = again if found.recent else self._interval
        finally:
            self._store.finish_reconciliation(self._token, again, next_since)
        self._log(found)
        return found

    def _go_on(self) -> None:
        """Keep the turn.

        :raises _StoppedError: if there is to be no more.
        """
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

    def start(self) -> None:
        """Start the thread; the first look is at once."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name='pacifica-dispatcher-reconciler', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a request that is under way is not waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    def _loop(self) -> None:
        early = max(0.0, self._interval - _DELIVERY_SECONDS)  # at the start, unless another has looked just now
        fault = ''
        while not self._stopping.is_set():
            try:
                looked = self.run_once(early)
                if fault and looked is not None:
                    _LOG.info('reconciler.recovered')
                    fault = ''
            except _StoppedError:
                pass
            except Exception as exc:  # whatever it is, the next look may do better, and nobody else would look
                if not fault:  # once, however long it lasts
                    _LOG.warning('reconciler.failed', extra={'error': str(exc)},
                                 exc_info=not isinstance(exc, DispatcherError))
                fault = str(exc) or repr(exc)
            early = 0.0
            self._stopping.wait(min(self._interval, _POLL_SECONDS))
