"""Keeps the leases of what a worker holds, and takes over what dead workers held: the janitor of every worker.

Owned by a worker. One turn is :meth:`Keeper.run_once`; the thread around it depends on no handler.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence

from pacifica.dispatcher._engine.observers import Observers
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Farewell, Heartbeat, Held
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, DispatcherError
from pacifica.dispatcher.hooks import FinishedTask

__all__ = ['Keeper']

_LOG = logging.getLogger(__name__)
_PRUNE_ROWS = 1000
_PRUNE_BATCHES = 20


class Keeper:
    """Renews each lease three times before it would end.

    :param store: the queue's.
    :param observers: who is told of rescued events.
    :param max_attempts: after how many attempts the event of a dead worker ends.
    :param lease: seconds a claim holds.
    :param retention: seconds after which events that have ended are deleted; ``None`` keeps them.
    :param keep_unrouted: seconds after which those that no route matched are; ``None`` keeps them as others.
    """

    def __init__(
        self, store: Store, observers: Observers, max_attempts: int, lease: float, retention: float | None = None,
        keep_unrouted: float | None = None,
    ) -> None:
        self._store = store
        self._observers = observers
        self._max_attempts = max_attempts
        self._lease = lease
        self._retention = retention
        self._keep_unrouted = keep_unrouted
        self._held: dict[str, Held] = {}
        self._presence: Heartbeat | None = None
        self._rescue_from = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, held: Held) -> None:
        """Keep the lease of *held* from now on."""
        self._held[held.token + str(held.uuid)] = held

    def drop(self, held: Held) -> None:
        """Keep it no more."""
        self._held.pop(held.token + str(held.uuid), None)

    def present(self, owner: str, engine: str, concurrency: int) -> None:
        """Tell from the next turn on that a worker is there, for people to see: where, of which kind, how large.

        Called again it changes nothing.
        """
        if self._presence is None:
            self._presence = Heartbeat(secrets.token_hex(16), self._store.name, owner, engine, concurrency, self._lease)

    def run_once(self) -> None:
        """Renew the leases that are held, then rescue events whose lease is over.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        began = time.monotonic()
        held = list(self._held.values())
        if held:
            for one, kept in zip(held, self._store.renew(held, self._lease)):
                if not kept:
                    self.drop(one)
        if self._presence is not None:
            self._store.note(self._presence)
        if time.monotonic() >= self._rescue_from:
            self._rescue(began)
        if self._retention is not None:
            self._prune(self._retention)
        if self._keep_unrouted is not None:
            self._prune(self._keep_unrouted, unrouted=True)

    def _say_farewell(self, presence: Heartbeat) -> None:
        self._presence = None
        try:
            self._store.note(Farewell(presence.worker_id))
        except DatabaseUnavailableError as exc:
            _LOG.warning('keeper.farewell_failed', extra={'error': str(exc)})  # it is shown as lost for a day

    def _rescue(self, asked: float) -> None:
        again, ended, tasks = self._store.rescue(self._max_attempts, asked)
        if again or ended:
            self._observers.rescued(again, ended)
        if tasks:  # told in a thread of its own: leases must be renewed, however long a callback takes
            threading.Thread(
                target=self._tell, args=(tasks,), name='pacifica-dispatcher-rescued', daemon=True).start()

    def _tell(self, tasks: Sequence[FinishedTask]) -> None:
        for task in tasks:
            self._observers.task_ended(task)

    def _prune(self, retention: float, *, unrouted: bool = False) -> None:
        for _ in range(_PRUNE_BATCHES):  # bounded, so that leases are renewed in time
            if self._store.prune(retention, _PRUNE_ROWS, unrouted=unrouted) < _PRUNE_ROWS:
                return

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name='pacifica-dispatcher-keeper', daemon=True)
        self._thread.start()

    def stop(self) -> list[Held]:
        """Stop the thread; return what is still held, and keep it no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._presence is not None:
            self._say_farewell(self._presence)
        left = list(self._held.values())
        self._held.clear()
        return left

    def _loop(self) -> None:
        while not self._stopping.wait(self._lease / 4):
            try:
                self.run_once()
            except DispatcherError:
                # Nobody could renew a lease meanwhile: whoever is alive gets the time to do so first.
                self._rescue_from = time.monotonic() + self._lease
                _LOG.exception('keeper.database_unavailable')
