"""A claimed event → how it ended.

Called by every engine with an event it holds. Knows routing and user code, and is the first of two walls around it:
whatever a handler raises comes out as an :class:`~pacifica.dispatcher._queue.outcome.Outcome`. No SQL, no threads.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.retry import RetryPolicy
from pacifica.dispatcher._engine.spans import Carrier, Spans, traced
from pacifica.dispatcher._lineage import Lineage, step
from pacifica.dispatcher._queue.outcome import Outcome
from pacifica.dispatcher._queue.transitions import Held
from pacifica.dispatcher.exceptions import RouteNotFoundRouterError
from pacifica.dispatcher.router import Route, Router
from pacifica.dispatcher.task_context import Stage, TaskContext, task_context

__all__ = ['Executor']

SaveResult = Callable[[Held, Mapping[str, Any]], str]


@dataclass(frozen=True)
class _Told:
    """What a handler says of its attempt as it runs: the parts of it, and results (JSON), of which the last counts."""

    stages: list[Stage] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


class Executor:
    """Runs events through a router.

    :param router: the routes.
    :param application: the name of the application whose router it is, as the lineage of uploads says it.
    :param policy: which failures are retried.
    :param save_result: keeps what a handler wants kept, durably, and returns it as JSON; the store's.
    :param spans: traces attempts; ``None`` for no traces.
    """

    #: What people are told of how handlers run.
    engine = 'threads'

    def __init__(
        self, router: Router, application: str, policy: RetryPolicy, save_result: SaveResult,
        spans: Spans | None = None,
    ) -> None:
        self.router = router
        self._application = application
        self.policy = policy
        self.spans = spans
        self._save_result = save_result

    def start(self) -> None:
        """Nothing to do: events run in the thread that asks."""

    def stop(self) -> None:
        """Nothing to do: a thread can't be stopped from outside."""

    def execute(self, held: Held) -> Outcome | None:
        """Decode, route and handle the event; return how that ended, whatever it was."""
        if self.spans is None:
            return self._timed(held)
        return traced(self.spans, held, lambda: self._timed(held))

    def resume(self, held: Held, carrier: Carrier | None) -> Outcome:
        """Do so in another process than the one that traces the attempt, whose span *carrier* carries over."""
        if self.spans is None or carrier is None:
            return self._timed(held)
        with self.spans.resumed(carrier):
            return self._timed(held)

    def _timed(self, held: Held) -> Outcome:
        began = time.monotonic()
        told = _Told()
        outcome = self._run(held, told)
        return replace(
            outcome, stages=tuple(told.stages), result=told.results[-1] if told.results else outcome.result,
            seconds=time.monotonic() - began)

    def _run(self, held: Held, told: _Told) -> Outcome:
        name: str | None = None
        try:
            event_data = _events.loads(held.event_data)
            route = self.router.match_first_or_raise(event_data)
            name = route.name
            lineage, own = Lineage.of(event_data), step(self._application, name)
            if reason := lineage.loop(own, allowed=route.loops == 'allow'):
                return Outcome.passed_over(reason, name)
            # A context of its own: what a handler sets in a context variable is gone for the next event.
            contextvars.copy_context().run(self._handle, route, lineage.key_values(own), event_data, held, told)
        except RouteNotFoundRouterError as exc:
            if name is None:
                return Outcome.no_route(exc)
            return self._failed(exc, held, name)  # a handler's own router had no route: the handler failed
        except BaseException as exc:  # noqa: B036  # SystemExit too: a handler may end its event, never its worker
            return self._failed(exc, held, name)
        return Outcome.succeeded(name)

    def _handle(
        self, route: Route, provenance: Mapping[str, Any], event_data: Mapping[str, Any], held: Held, told: _Told,
    ) -> None:
        task = TaskContext(
            task_id=held.task_id,
            attempt=held.attempt,
            result={} if held.result is None else msgspec.json.decode(held.result),
            save=lambda result: told.results.append(self._save_result(held, result)),
            stages=told.stages,
            event_id=event_data.get('id' if 'specversion' in event_data else 'eventID'),
            route=route.name,
            provenance=provenance,
        )
        if self.spans is not None:
            task.around_stage = self.spans.stage
        with task_context(task):
            route(event_data)

    def _failed(self, error: BaseException, held: Held, route: str | None) -> Outcome:
        delay = self.policy.delay(error, held.attempt)
        return Outcome.failed(error, route) if delay is None else Outcome.retry(error, delay, route)
