"""Counts what the engines do; called for every attempt, so label values are looked up once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from prometheus_client import Counter, Histogram

from pacifica.dispatcher._engine.extensions import Extension
from pacifica.dispatcher._metrics import definitions
from pacifica.dispatcher._queue.record import seconds
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, QueueName


class CountingObserver(Extension):
    """Counts for one queue. Handlers in processes of their own are counted by their worker."""

    def __init__(self, queue: QueueName) -> None:
        self._queue = queue
        self._event_seconds = definitions.EVENT_SECONDS.labels(*queue)
        self._leases_lost = definitions.LEASES_LOST.labels(*queue)
        self._rescued_again = definitions.RESCUED.labels(*queue, 'run_again')
        self._rescued_ended = definitions.RESCUED.labels(*queue, 'ended')
        self._missed = definitions.MISSED.labels(*queue)
        _finished(queue, '')  # so that it is there, at 0

    def finished(self, claimed: ClaimedEvent, outcome: Outcome) -> None:
        route = outcome.route or ''
        took = time.monotonic() - claimed.began if outcome.seconds is None else outcome.seconds
        _duration(self._queue, route, 'total').observe(took)
        for stage in outcome.stages:
            name = stage.name if stage.name in definitions.STAGES else 'other'
            _duration(self._queue, route, name).observe(stage.seconds)
            if not stage.failed and name in ('download', 'upload'):
                definitions.TRANSFERRED_FILES.labels(*self._queue, name).inc(stage.files or 0)
                definitions.TRANSFERRED_BYTES.labels(*self._queue, name).inc(stage.bytes or 0)
        if outcome.status in FINAL:
            _finished(self._queue, route)[outcome.status].inc()
            if outcome.skipped:
                definitions.EVENTS_SKIPPED.labels(*self._queue, route).inc()
            # Both times are the database's; how long the attempt took is the host's, which needs no clock to agree.
            self._event_seconds.observe(max(0.0, claimed.claimed_at - seconds(claimed.created)) + took)
        else:
            definitions.RETRIES.labels(*self._queue, route).inc()

    def lease_lost(self, claimed: ClaimedEvent) -> None:
        self._leases_lost.inc()

    def rescued(self, again: int, ended: int) -> None:
        """Count the events of dead workers; those that have ended did so without a route that is known here."""
        self._rescued_again.inc(again)
        if ended:
            self._rescued_ended.inc(ended)
            _finished(self._queue, '')[Status.FAILED].inc(ended)

    def missed(self) -> None:
        self._missed.inc()


def subscription_observer(name: str) -> Callable[[bool, bool], None]:
    """Return what is to be told at each look at a subscription: whether it is enabled, and whether it was just lost.

    :param name: the subscription's, as its operator calls it.
    """
    is_enabled, disabled = definitions.SUBSCRIPTION_ENABLED.labels(name), definitions.SUBSCRIPTION_DISABLED.labels(name)

    def observe(enabled: bool, lost: bool) -> None:
        is_enabled.set(enabled)
        disabled.inc(lost)

    return observe


def code(status: Status) -> str:
    return status.value.partition(' ')[0]


@lru_cache(maxsize=1024)
def _duration(queue: QueueName, route: str, stage: str) -> Histogram:
    return definitions.ATTEMPT_SECONDS.labels(*queue, route, stage)


@lru_cache(maxsize=1024)
def _finished(queue: QueueName, route: str) -> Mapping[Status, Counter]:
    return {status: definitions.EVENTS_FINISHED.labels(*queue, route, code(status)) for status in FINAL}
