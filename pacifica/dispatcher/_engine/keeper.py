"""Keeps the leases of what a worker has claimed, ends what was cancelled, and takes over the events of dead workers."""

from __future__ import annotations

import logging
import time
from typing import Any

from pacifica.dispatcher._engine.executor import Executor, cancelled_by
from pacifica.dispatcher._engine.liveness import is_dead, machine, process_here
from pacifica.dispatcher._engine.turns import Periodic
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from pacifica.dispatcher._queue.values import ClaimedEvent
from pacifica.dispatcher.exceptions import DatabaseUnavailableError, DispatcherError

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_STRAIGHTEN_PAUSE = 49.0  # times what the last look at the line took: it reads all that waits for limits
_MOST_STRAIGHTEN_PAUSE = 60.0  # seconds: it may have waited for a slow database instead
_PRUNE_ROWS = 1000
_PRUNE_BATCHES = 20


class LeaseKeeper(Periodic):
    """Renews each lease three times before it would end, in a thread that depends on no handler.

    Between these turns it looks once a second for what was cancelled, what handlers have printed, and workers of this
    machine that have died.
    """

    def __init__(
        self, store: Store, executor: Executor, lease: float, retention: float | None, keep_unrouted: float | None,
    ) -> None:
        super().__init__('keeper', min(_LOOK_SECONDS, lease / 4))
        self._store = store
        self._executor = executor
        self._extensions = executor.extensions
        self._max_attempts = executor.policy.max_attempts
        self._lease = lease
        self._retention = retention
        self._keep_unrouted = keep_unrouted
        self._held: dict[tuple[str, Any], ClaimedEvent] = {}
        self._heartbeat: Heartbeat | None = None
        self._rescue_from = 0.0
        self._straighten_from = 0.0
        self._machine = machine()
        self._due = 0.0

    def hold(self, claimed: ClaimedEvent) -> None:
        """Keep the lease of *claimed* from now on."""
        self._held[claimed.key] = claimed

    def drop(self, claimed: ClaimedEvent) -> None:
        """Keep its lease no more."""
        self._held.pop(claimed.key, None)

    def drop_all(self) -> list[ClaimedEvent]:
        """Keep no lease any more; return whose were kept."""
        left = list(self._held.values())
        self._held.clear()
        return left

    def present(self, worker_id: str, owner: str, engine: str, concurrency: int) -> None:
        """Send a heartbeat with each turn, if that isn't done yet: where the worker runs, its kind and size."""
        if self._heartbeat is None:
            self._heartbeat = Heartbeat(
                worker_id, self._store.name, owner, engine, concurrency, self._lease, process_here())

    def run_once(self) -> None:
        """Renew the leases that are kept, rescue events whose lease is over, have services that are away asked, prune.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        began = time.monotonic()
        self._due = began + self._lease / 4
        held = list(self._held.values())
        if held:
            for one, kept in zip(held, self._store.renew(held, self._lease)):
                if not kept:
                    self.drop(one)
        if self._heartbeat is not None:
            self._store.beat(self._heartbeat)
        if time.monotonic() >= self._rescue_from:
            self._extensions.rescued(self._store.rescue(self._max_attempts, began, self._extensions.outgoing))
        self._store.probe_outages()
        self._straighten_line()
        if self._retention is not None:
            self._prune(self._retention)
        if self._keep_unrouted is not None:
            self._prune(self._keep_unrouted, unrouted=True)
        self._look()

    def _straighten_line(self) -> None:
        """Let in what no claim would find, for a fiftieth of the time or once a minute, however much waits."""
        began = time.monotonic()
        if began >= self._straighten_from:
            self._store.straighten_line()
            ended = time.monotonic()
            self._straighten_from = ended + min(_STRAIGHTEN_PAUSE * (ended - began), _MOST_STRAIGHTEN_PAUSE)

    def _look(self) -> None:
        """End what was cancelled, write what was printed, and take over from workers of this machine that have died."""
        for claimed, by in self._store.cancelled(list(self._held.values())):
            self._executor.cancel(claimed, cancelled_by(by))
        self._keep_outputs()
        if self._heartbeat is None or self._machine is None:
            return
        for worker_id, process in self._store.workers_on(self._machine):
            if is_dead(process):
                rescued = self._store.rescue(
                    self._max_attempts, outgoing=self._extensions.outgoing, worker_id=worker_id)
                self._extensions.rescued(rescued)
                if not rescued.again + rescued.ended:  # one statement takes some, the next look the rest
                    self._store.note_death(worker_id)

    def _keep_outputs(self) -> None:
        for claimed in list(self._held.values()):
            output = self._executor.output(claimed)
            if output is not None and (run := output.take()) is not None and self._store.keep_output(claimed, run):
                output.written()

    def _prune(self, retention: float, *, unrouted: bool = False) -> None:
        deleted = 0
        for _ in range(_PRUNE_BATCHES):  # bounded, so that leases are renewed in time
            batch = self._store.prune(retention, _PRUNE_ROWS, unrouted=unrouted)
            deleted += batch
            if batch < _PRUNE_ROWS:
                break
        if deleted:
            _LOG.info('events.pruned', extra={
                'deleted': deleted, 'older_than': retention, 'application': self._store.name.application,
                'by': 'keep_unrouted' if unrouted else 'retention'})

    def stop(self) -> None:
        """Stop the thread, and deregister the worker."""
        super().stop()
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            try:
                self._store.deregister(heartbeat.worker_id)
            except DatabaseUnavailableError as exc:
                _LOG.warning('keeper.farewell_failed', extra={'error': str(exc)})  # it is shown as lost for a day

    def _turn(self) -> None:
        due = time.monotonic() >= self._due
        try:
            if due:
                self.run_once()
            else:
                self._look()
        except DispatcherError as exc:
            # Nobody could renew a lease meanwhile: whoever is alive gets the time to do so first.
            self._rescue_from = time.monotonic() + self._lease
            if due and not isinstance(exc, KnownFaultError):  # a look comes again in a second
                _LOG.exception('keeper.database_unavailable')
