"""A claimed event → how it ended, and whether it is tried again.

The first of two walls around user code: whatever a handler raises comes out as an ``Outcome``. No SQL, no threads.
"""

from __future__ import annotations

import contextvars
import errno
import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.capture import captured
from pacifica.dispatcher._engine.extensions import Carrier, Extensions
from pacifica.dispatcher._engine.output import Output
from pacifica.dispatcher._engine.places import field_of, routes_of
from pacifica.dispatcher._lineage import Lineage, made_by, step
from pacifica.dispatcher._parameters import overlaid
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import ClaimedEvent, MadeBy, Outcome, Preview
from pacifica.dispatcher.exceptions import (
    CancelledError, ConfigurationError, DatabaseUnavailableError, RetryLater, RouteNotFoundRouterError, TransferError,
)
from pacifica.dispatcher.router import Route, Router
from pacifica.dispatcher.task_context import Services, Stage, TaskContext, task_context, write_to_own

_LOG = logging.getLogger(__name__)
_FIRST_WAIT, _LONGEST_WAIT = 10.0, 300.0  # seconds
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def _unlimited(route: Route) -> datetime | None:
    if route.timeout is not None or route.memory_limit is not None:
        raise ConfigurationError(
            f'the route {route.name!r} has a limit, and a handler in a thread can\'t be stopped or bounded: run '
            'handlers in processes')
    return None


@dataclass
class Watch:
    """Who watches an attempt: see :class:`~pacifica.dispatcher.task_context.TaskContext`, which has the same names.

    ``limit`` sees to it that the limits of the route are kept, and returns when its handler is killed.
    """

    cancelled: Callable[[], str | None] = lambda: None
    tell: Callable[[str, Any], None] = lambda what, value: None
    limit: Callable[[Route], datetime | None] = _unlimited
    output: Callable[[str, bytes], None] = write_to_own
    report: Callable[[float | None, str], None] = lambda fraction, text: None


@dataclass
class _Known:
    """What is known of an attempt, whatever it raises."""

    stages: list[Stage] = field(default_factory=list)
    saved: str | None = None  # by the handler, as JSON
    made_by: MadeBy | None = None

    def save(self, result: str) -> None:
        self.saved = result


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is followed by another: after :class:`RetryLater`, and transient faults of transfers.

    With patience neither a service's fault nor :class:`RetryLater` is one of the ``max_attempts``.
    """

    retry_for: tuple[type[BaseException], ...] = ()  # what is retried besides
    max_attempts: int = 3  # lost workers included
    base: float = 5.0  # seconds before the second attempt, before jitter
    factor: float = 4.0  # by which the wait grows with each attempt
    longest: float = 3600.0  # seconds
    patience: float = 0.0  # seconds that an event waits in all for services, its attempts not counted; 0 counts them

    def wait(self, error: BaseException, waited: float) -> float | None:
        """Return the seconds to wait for the service whose fault *error* is; ``None`` if it is no service's.

        For one that is away that is all the patience there is: somebody says when it is back. Any other wait doubles.

        :param waited: seconds that the event has waited so far.
        """
        if not (self.patience and _is_of_service(error)):
            return None
        left = max(0.0, self.patience - waited)
        if isinstance(error, TransferError) and error.away:
            return left
        return min(min(max(waited, _FIRST_WAIT), _LONGEST_WAIT) * random.uniform(0.5, 1.0), left)

    def postponement(self, error: RetryLater, waited: float) -> float | None:
        """Return the seconds to wait because the handler wants it; ``None`` if the patience is over.

        A handler that wants it again and again, without any wait, gets a tenth of what it has waited so far.
        """
        if waited >= self.patience:
            return None
        wanted = self.base * random.uniform(0.5, 1.0) if error.seconds is None else max(0.0, error.seconds)
        return min(max(wanted, min(waited / 10, _LONGEST_WAIT)), self.patience - waited)

    def delay(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before the attempt after *attempt*, or ``None`` if *error* is final."""
        if attempt >= self.max_attempts or isinstance(error, CancelledError):
            return None
        if isinstance(error, RetryLater) and error.seconds is not None:
            return max(0.0, error.seconds)
        transient = isinstance(error, RetryLater) or (isinstance(error, TransferError) and error.transient)
        if not transient and not isinstance(error, self.retry_for):
            return None
        # Jitter over the upper half, so that what failed together is not tried together.
        return float(min(self.base * self.factor ** (attempt - 1), self.longest) * random.uniform(0.5, 1.0))


@dataclass(eq=False)
class Executor:
    """Runs the events of *application*, as the lineage of uploads calls it, through its router."""

    #: What people see of how handlers run.
    engine: ClassVar[str] = 'threads'

    #: Whether what handlers print is to be captured in this process.
    in_threads: ClassVar[bool] = True

    router: Router
    application: str
    policy: RetryPolicy
    store: Store
    extensions: Extensions
    services: Services
    _cancelled: dict[tuple[str, Any], str] = field(default_factory=dict, init=False)
    _outputs: dict[tuple[str, Any], Output] = field(default_factory=dict, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Go to another process without what runs in this one."""
        return {**vars(self), '_cancelled': {}, '_outputs': {}}

    def start(self) -> None:
        """Look at the code of the handlers while it is what was loaded; events run in the thread that asks."""
        for route in routes_of(self.router):
            route.code  # noqa: B018  # looking it up keeps it

    def stop(self) -> bool:
        """End what runs, if that is possible, and return whether it is: a thread can't be stopped from outside."""
        return False

    def cancel(self, claimed: ClaimedEvent, reason: str) -> None:
        """Have the attempt end at its next stage, or as soon as the handler asks; may be called again."""
        self._cancelled[claimed.key] = reason

    def execute(self, claimed: ClaimedEvent) -> Outcome | None:
        """Decode, route and handle the event; return how that ended, ``None`` if it was stopped from outside."""
        if claimed.cancelled_by is not None:  # while it ran before, and that attempt ended otherwise
            return Outcome.failed(CancelledError(cancelled_by(claimed.cancelled_by)))
        output = self._outputs[claimed.key] = Output()
        try:
            outcome = self.extensions.attempt(claimed, lambda: self._attempt(claimed, output))
        finally:
            self._cancelled.pop(claimed.key, None)
            del self._outputs[claimed.key]
        return None if outcome is None else outcome._replace(output=output.take(ended=True))

    def output(self, claimed: ClaimedEvent) -> Output | None:
        """Return what the attempt prints; ``None`` if it does not run."""
        return self._outputs.get(claimed.key)

    def _attempt(self, claimed: ClaimedEvent, output: Output) -> Outcome | None:
        with captured(output):
            return self._timed(claimed, Watch(
                lambda: self._cancelled.get(claimed.key), output.tell, output=output.add, report=output.report))

    def resume(self, claimed: ClaimedEvent, carrier: Carrier, watch: Watch) -> Outcome:
        """Do so in another process than the one in which the attempt began, whose trace *carrier* carries over."""
        with self.extensions.resumed(carrier):
            return self._timed(claimed, watch)

    def _timed(self, claimed: ClaimedEvent, watch: Watch) -> Outcome:
        began, process = time.monotonic(), os.getpid()
        known = _Known()
        outcome = self._run(claimed, watch, known)
        if os.getpid() != process:  # the handler forked, and came back here in the copy as well
            _LOG.error('handler.copy_ended', extra={'task_id': str(claimed.task_id), 'pid': os.getpid()})
            os._exit(1)
        return outcome._replace(
            stages=tuple(known.stages), result=known.saved or outcome.result, made_by=known.made_by,
            seconds=time.monotonic() - began)

    def _run(self, claimed: ClaimedEvent, watch: Watch, known: _Known) -> Outcome:
        name: str | None = None
        try:
            event_data = _events.loads(claimed.event_data)
            route = self.router.match_first_or_raise(event_data)
            name = route.name
            watch.tell('route', name)
            lineage, own = Lineage.of(event_data), step(self.application, name)
            if reason := lineage.loop(own, allowed=route.loops == 'allow'):
                return Outcome.passed_over(reason, name)
            parameters = overlaid(route.parameters, msgspec.json.decode(claimed.parameters or '{}'))
            known.made_by = MadeBy(route.code.as_json(), parameters)
            watch.tell('made_by', known.made_by)
            task = TaskContext(
                task_id=claimed.task_id,
                attempt=claimed.attempt,
                result={} if claimed.result is None else msgspec.json.decode(claimed.result),
                save=lambda result: known.save(self.store.save_result(claimed, result)),
                stages=known.stages,
                around_stage=self.extensions.stage,
                event_id=event_data.get('id' if 'specversion' in event_data else 'eventID'),
                route=name,
                handler=route.code.name,
                parameters=overlaid(parameters, {}),
                provenance={**lineage.key_values(own), **made_by(route.code, parameters)},
                services=self.services,
                run_id=claimed.token,
                held=lambda: self.store.hold(claimed),
                cancelled=watch.cancelled,
                tell=watch.tell,
                deadline=watch.limit(route),
                output=watch.output,
                report=watch.report,
                keep_preview=lambda image, media, content: self.store.keep_preview(
                    claimed, Preview(image, media, content, route.name, field_of('instrument', event_data))),
            )
            # A context of its own: what a handler sets in a context variable is gone for the next event.
            contextvars.copy_context().run(_handle, task, route, event_data)
        except RouteNotFoundRouterError as exc:
            if name is None:
                return Outcome.no_route(exc)
            return self._failed(exc, claimed, name)  # a handler's own router had no route: the handler failed
        except BaseException as exc:  # noqa: B036  # SystemExit too: a handler may end its event, never its worker
            return self._failed(exc, claimed, name)
        return Outcome.succeeded(name)

    def _failed(self, error: BaseException, claimed: ClaimedEvent, route: str | None) -> Outcome:
        wait = self.policy.wait(error, claimed.waited)
        if wait is not None:
            service = error.service if isinstance(error, TransferError) and error.away else None
            return Outcome.wait(error, wait, route, service) if wait else Outcome.failed(error, route)
        if isinstance(error, RetryLater) and self.policy.patience:
            seconds = self.policy.postponement(error, claimed.waited)
            return Outcome.failed(error, route) if seconds is None else Outcome.postponed(error, seconds, route)
        delay = self.policy.delay(error, claimed.attempt - claimed.postponed)
        return Outcome.failed(error, route) if delay is None else Outcome.retry(error, delay, route)


def cancelled_by(name: str) -> str:
    """Return why an event that ran has ended; *name* is empty if nobody knows who wanted that."""
    return f'cancelled{f" by {name}" if name else ""} while it ran'


def _is_of_service(error: BaseException) -> bool:
    """Return whether *error* is the fault of a service, of the queue's database, or of a disk that is full."""
    if isinstance(error, DatabaseUnavailableError):
        return True
    if isinstance(error, TransferError):
        return error.service is not None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
            return True
        cause = cause.__cause__
    return False


def _handle(task: TaskContext, route: Route, event_data: Mapping[str, Any]) -> None:
    with task_context(task):
        route(event_data)
