"""What the queue speaks in: whose events, an event that a worker has claimed, and how an attempt at it ended."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from pacifica.dispatcher import _events
from pacifica.dispatcher._queue.status import FINAL, Status
from pacifica.dispatcher.hooks import FinishedTask
from pacifica.dispatcher.task_context import Stage

OUTGOING_ATTEMPTS = 8
"""How often an outgoing event is sent at most, workers that died meanwhile included."""

_TRACEBACK_FRAMES = 60
_MESSAGE_CHARACTERS = 16_000
_TRACEBACK_CHARACTERS = 64_000


class QueueName(NamedTuple):
    """Whose events these are: several applications may keep theirs in one table."""

    application: str
    task: str


class Place(NamedTuple):
    """An event's place in line: what its limit counts, ``None`` without one, and its priority: higher is sooner."""

    lane: str | None = None
    priority: int = 0


class Places(Protocol):
    """What the routes say of limits and priorities, as they are now."""

    limited: bool
    """Whether any lane has a limit."""

    prioritized: bool
    """Whether any priority is not 0."""

    def of(self, event_json: str) -> Place:
        """Return the place of an event."""

    def room(self, lane: str, running: int) -> bool:
        """Return whether one more of a lane may run beside so many."""


@dataclass(frozen=True)
class ClaimedEvent:
    """An event that a worker has claimed, and the token that proves it; times by the database's clock.

    ``destination`` says where it is to be sent, if it is an outgoing event; ``waiting_since`` since when it
    has waited for services; ``cancelled_by`` who cancelled an attempt that then ended otherwise; ``place`` where it
    stood in line; ``postponed`` how many attempts its handler has ended by asking for another; ``parameters`` is its
    own, as JSON; ``began`` is the monotonic time here.
    """

    uuid: Any  # as the driver reads the column
    task_id: UUID
    token: str
    attempt: int
    event_data: str
    result: str | None
    history: str | None
    owner: str
    claimed_at: float
    created: Any  # as the driver reads the column; see record.seconds
    destination: str | None = None
    waiting_since: float | None = None
    cancelled_by: str | None = None
    place: Place = Place()
    postponed: int = 0
    parameters: str | None = None
    lease: float = 15.0  # seconds, from when it was claimed or last renewed
    began: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> tuple[str, Any]:
        """What tells this claim from every other."""
        return self.token, self.uuid

    @cached_property
    def identity(self) -> _events.Identity:
        """Which event it is, for logs and traces."""
        return _events.identify(self.event_data)

    @property
    def waited(self) -> float:
        """The seconds for which it has waited for services."""
        return 0.0 if self.waiting_since is None else self.claimed_at - self.waiting_since


class Outage(NamedTuple):
    """A service that is known to be away, why, and since when by the database's clock."""

    service: str
    fault: str
    since: float


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event that is to be stored so that it is sent, and the name of its destination."""

    event: _events.ReceivedEvent
    destination: str


class RunOutput(NamedTuple):
    """What a run has printed and logged, and how far it says it is; the documents are described in :mod:`.output`.

    ``head`` is ``None`` if it is as it was when it was written last; ``omitted`` is how many bytes between it and
    ``tail`` are not kept.
    """

    head: str | None
    tail: str
    omitted: int
    progress: float | None
    progress_text: str


class MadeBy(NamedTuple):
    """What ran an attempt, as its history has it: the handler's code, see :mod:`.history`, and the parameters."""

    code: Mapping[str, Any]
    parameters: Mapping[str, Any]


class Preview(NamedTuple):
    """An image that a handler has made to be looked at: its path or name, its media type, its bytes.

    ``route`` and ``instrument`` are what it is found by, as text.
    """

    name: str
    media: str
    content: bytes
    route: str = ''
    instrument: str = ''


class Outcome(NamedTuple):
    """How an attempt ended. Use the named constructors.

    ``delay`` is the seconds until the event is due again, if it goes back to waiting; ``stages`` is what the attempt
    spent its time on, as far as its handler said so; ``result`` what the handler has saved last, as JSON; ``seconds``
    how long the attempt was, ``None`` if nobody knows; ``skipped`` whether no handler ran, because the event is its
    route's own result; ``waits`` whether the attempt isn't counted, because of a service, and ``awaits`` which service,
    if it is known to be away; ``postpones`` whether the handler wants another, which doesn't count against the most;
    ``output`` what of its output is not written yet; ``made_by`` what ran it, if that came to a handler.
    """

    status: Status
    exc_type: str | None = None
    exc_value: str | None = None
    exc_traceback: str = ''
    route: str | None = None
    delay: float | None = None
    stages: tuple[Stage, ...] = ()
    result: str | None = None
    seconds: float | None = None
    skipped: bool = False
    waits: bool = False
    awaits: str | None = None
    postpones: bool = False
    output: RunOutput | None = None
    made_by: MadeBy | None = None

    @classmethod
    def succeeded(cls, route: str | None = None) -> Outcome:
        """The handler returned."""
        return cls(Status.OK, route=route)

    @classmethod
    def passed_over(cls, reason: str, route: str) -> Outcome:
        """The event is the route's own result, as *reason* says: handling it would begin a loop."""
        result = msgspec.json.encode({'skipped': reason}).decode()
        return cls(Status.OK, route=route, result=result, skipped=True)

    @classmethod
    def no_route(cls, error: BaseException) -> Outcome:
        """No route matches, the *error*; it needs no traceback."""
        return cls(Status.UNPROCESSABLE, exc_type=type(error).__name__, exc_value=_message(error))

    @classmethod
    def failed(cls, error: BaseException, route: str | None = None) -> Outcome:
        """The attempt raised *error*, and that is final."""
        return cls(Status.FAILED, type(error).__name__, _message(error), _format(error), route)

    @classmethod
    def retry(cls, error: BaseException, delay: float, route: str | None = None) -> Outcome:
        """The attempt raised *error*; the event waits *delay* seconds and then runs again."""
        return cls.failed(error, route)._replace(status=Status.ACCEPTED, delay=delay)

    @classmethod
    def postponed(cls, error: BaseException, delay: float, route: str | None = None) -> Outcome:
        """The handler raised *error* because it wants the event again in *delay* seconds."""
        return cls.retry(error, delay, route)._replace(postpones=True)

    @classmethod
    def wait(cls, error: BaseException, delay: float, route: str | None = None, service: str | None = None) -> Outcome:
        """The attempt raised *error* because of a service; it isn't counted, and the event waits *delay* seconds.

        :param service: is known to be away: the event waits no longer than that.
        """
        return cls.retry(error, delay, route)._replace(waits=True, awaits=service)


def ended(claimed: ClaimedEvent, outcome: Outcome) -> FinishedTask | None:
    """Return the event that has ended; ``None`` if it runs again, or is an outgoing one."""
    if outcome.status not in FINAL or claimed.destination is not None:
        return None
    result = outcome.result or claimed.result
    return FinishedTask(
        task_id=claimed.task_id, status=outcome.status.value, event_json=claimed.event_data, attempts=claimed.attempt,
        route=outcome.route, exc_type=outcome.exc_type, exc_value=outcome.exc_value,
        result=None if result is None else json.loads(result), seconds=time.monotonic() - claimed.began,
    )


def _message(error: BaseException) -> str:
    """Return the text of *error*, bounded; a stranger's ``__str__`` may itself fail."""
    try:
        text = str(error)
    except BaseException as exc:  # noqa: B036  # the error's own __str__ is user code
        text = f'<the text of this {type(error).__name__} can\'t be shown: {type(exc).__name__}>'
    return _cut(text, _MESSAGE_CHARACTERS)


def _format(error: BaseException) -> str:
    """Return the traceback of *error* and its causes, bounded: the outermost and innermost frames are kept."""
    try:
        text = ''.join(traceback.TracebackException.from_exception(error, limit=-_TRACEBACK_FRAMES).format())
    except BaseException:  # noqa: B036  # formatting calls the error's own methods, which are user code
        text = ''.join(traceback.format_tb(error.__traceback__, limit=-_TRACEBACK_FRAMES))
    return _cut(text, _TRACEBACK_CHARACTERS)


def _cut(text: str, limit: int) -> str:
    """Return *text* if it has at most *limit* characters, else its two ends around a mark that says what is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f'{text[:half]}\n… [{len(text) - 2 * half} characters cut] …\n{text[-half:]}'
