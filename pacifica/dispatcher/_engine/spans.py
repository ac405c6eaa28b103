"""What the engine tells of attempts while they run, to whoever traces them; it knows no tracing library."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held

__all__ = ['Carrier', 'Spans', 'traced']

_LOG = logging.getLogger(__name__)

Carrier = Mapping[str, str]
"""What a trace needs to go on in another process."""


class Spans(Protocol):
    """Traces attempts. Must survive pickling."""

    def attempt(self, held: Held, /) -> AbstractContextManager[Callable[[Outcome], None]]:
        """Return the span of an attempt, the current one inside the block, which calls what it gets with its end."""

    def stage(self, name: str, /) -> AbstractContextManager[object]:
        """Return the span of a part of an attempt."""

    def carrier(self) -> Carrier:
        """Return the current span for another process."""

    def resumed(self, carrier: Carrier, /) -> AbstractContextManager[object]:
        """Make another process's span the current one inside the block."""


def traced(spans: Spans, held: Held, run: Callable[[], Outcome | None]) -> Outcome | None:
    """Return what *run* does, in the span of an attempt; whatever that span fails in is logged and costs nothing else.

    :raises Exception: what *run* raises.
    """
    outcomes: list[Outcome | None] = []
    running = False
    try:
        with spans.attempt(held) as ended:
            running = True
            outcomes.append(run())
            if outcomes[0] is not None:
                ended(outcomes[0])
    except Exception:  # an application's span processors may raise anything
        if running and not outcomes:
            raise
        _LOG.exception('tracing.failed', extra={'task_id': str(held.task_id), 'attempt': held.attempt})
    return outcomes[0] if outcomes else run()
