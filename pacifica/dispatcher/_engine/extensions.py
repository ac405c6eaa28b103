"""The one seam around a run: an ordered list of extensions that see an attempt start, its stages and its end.

They are called in the thread that runs the event. One that fails is logged and costs nobody anything else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from pacifica.dispatcher._queue.transitions import Rescued
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, Outgoing, ended
from pacifica.dispatcher.exceptions import CancelledError
from pacifica.dispatcher.hooks import Callback, FinishedTask

_LOG = logging.getLogger(__name__)
_EVENT_LOG = logging.getLogger('pacifica.dispatcher.events')
_ERROR_CHARACTERS = 200
_QUIET_SECONDS = 60.0  # after a fault of tracing was logged: each event has it

Carrier = Mapping[str, str]
Run = Callable[[], 'Outcome | None']


class Extension:
    """Sees the runs of a queue's events. Override what it wants to see; what it does not override costs nothing."""

    def attempt(self, claimed: ClaimedEvent, /) -> AbstractContextManager[Callable[[Outcome], None]]:
        """Return a context manager for an attempt to run in; what it gives is called with how the attempt ended."""
        return nullcontext(lambda outcome: None)

    def stage(self, name: str, /) -> AbstractContextManager[object]:
        """Return a context manager for a part of an attempt to run in; the extension goes to the handler's process."""
        return nullcontext()

    def carrier(self) -> Carrier:
        """Return what :meth:`resumed` needs to go on with a trace in the handler's process."""
        return {}

    def resumed(self, carrier: Carrier, /) -> AbstractContextManager[object]:
        """Return a context manager for the handler's process, in which it goes on with an attempt of another."""
        return nullcontext()

    def outgoing(self, task: FinishedTask, /) -> Sequence[Outgoing]:
        """Return events to store in the transaction that ends *task*, so that they are sent. Must not fail."""
        return ()

    def finished(self, claimed: ClaimedEvent, outcome: Outcome, /) -> None:
        """See the end of an attempt, after its commit; it is final unless the outcome's status is ``202``."""

    def task_ended(self, task: FinishedTask, /) -> None:
        """See the end of an event after its commit: in an attempt, or as its last worker died. Not of outgoing ones."""

    def lease_lost(self, claimed: ClaimedEvent, /) -> None:
        """See the end of an attempt that came after the end of its lease: its outcome was not written."""

    def rescued(self, again: int, ended: int, /) -> None:
        """See how many events of dead workers were taken over: some run again, some have ended."""

    def missed(self) -> None:
        """See that an event that was never delivered was found in Metadata and stored."""


class Extensions:
    """The extensions of a queue, called in order."""

    def __init__(self, *extensions: Extension) -> None:
        self._extensions = extensions
        self._called: dict[str, list[Any]] = {
            name: [getattr(each, name) for each in extensions if getattr(type(each), name) is not method]
            for name, method in vars(Extension).items() if not name.startswith('_')
        }
        self._quiet_until = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to the process of a handler with those alone that see stages."""
        return Extensions, tuple(each for each in self._extensions if type(each).stage is not Extension.stage)

    def attempt(self, claimed: ClaimedEvent, run: Run) -> Outcome | None:
        """Return what *run* does, in the context managers of all."""
        with self._around('attempt', claimed) as ends:
            outcome = run()
            if outcome is not None:
                for end in ends:
                    with self._harmless():
                        end(outcome)
        return outcome

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Run a part of an attempt."""
        return self._around('stage', name)

    def carrier(self) -> Carrier:
        """Return what :meth:`resumed` needs in the handler's process."""
        return {key: value for carrier in self._called['carrier'] for key, value in carrier().items()}

    def resumed(self, carrier: Carrier) -> AbstractContextManager[object]:
        """Go on with an attempt of another process."""
        return self._around('resumed', carrier)

    @contextmanager
    def _around(self, what: str, argument: Any) -> Iterator[list[Any]]:
        """Run the ``with`` block in the context managers of all that do not fail, and yield what these give."""
        with ExitStack() as stack:
            given = []
            for around in self._called[what]:
                with self._harmless():
                    context = around(argument)
                    given.append(context.__enter__())
                    stack.push(partial(self._leave, context))
            yield given

    def _leave(self, context: AbstractContextManager[Any], *raised: Any) -> None:
        """Leave *context* with what was *raised* inside, which is raised further, whatever it does."""
        with self._harmless(raised[1]):
            context.__exit__(*raised)

    @contextmanager
    def _harmless(self, raised: BaseException | None = None) -> Iterator[None]:
        """Log what is raised inside the ``with`` block, but not each time, unless it is *raised* that comes back."""
        try:
            yield
        except CancelledError as exc:  # which comes anywhere in a handler's process
            if exc is not raised:
                raise
        except Exception as exc:  # an application's span processors may raise anything
            if exc is not raised and time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + _QUIET_SECONDS
                _LOG.exception('tracing.failed')

    def ended(self, claimed: ClaimedEvent, outcome: Outcome) -> FinishedTask | None:
        """Return the event that has ended, ``None`` if it runs again, is an outgoing one, or nobody wants to see it."""
        return ended(claimed, outcome) if self._called['outgoing'] or self._called['task_ended'] else None

    def outgoing(self, task: FinishedTask) -> list[Outgoing]:
        """Return the events to store in the transaction that ends *task*."""
        return [made for each in self._called['outgoing'] for made in each(task)]

    def finished(self, claimed: ClaimedEvent, outcome: Outcome, task: FinishedTask | None) -> None:
        """Show the end of an attempt, and of its event if that has ended too."""
        self._show('finished', claimed, outcome)
        if task is not None:
            self._show('task_ended', task)

    def lease_lost(self, claimed: ClaimedEvent) -> None:
        """Show and log that the outcome of an attempt was not written."""
        _LOG.warning('worker.lease_lost', extra={'task_id': str(claimed.task_id), 'attempt': claimed.attempt})
        self._show('lease_lost', claimed)

    def rescued(self, rescued: Rescued) -> None:
        """Show and log that events of dead workers were taken over, if any were."""
        again, ended, tasks = rescued
        if again or ended:
            _LOG.warning('janitor.rescued', extra={'run_again': again, 'ended': ended})
            self._show('rescued', again, ended)
        if tasks:  # in a thread of its own: leases must be renewed, however long a callback takes
            threading.Thread(
                target=self._show_ends, args=(tasks,), name='pacifica-dispatcher-rescued', daemon=True).start()

    def missed(self) -> None:
        """Show that an event that was never delivered was stored."""
        self._show('missed')

    def _show_ends(self, tasks: Sequence[FinishedTask]) -> None:
        for task in tasks:
            self._show('task_ended', task)

    def _show(self, what: str, *arguments: Any) -> None:
        for see in self._called[what]:
            try:
                see(*arguments)
            except Exception:  # a user's callback may raise anything, and the event has ended
                _LOG.exception('observer.failed', extra={'observer': type(see.__self__).__name__, 'about': what})


class EventLog(Extension):
    """Logs ``event.finished`` for each attempt, at the level INFO; costs next to nothing where that isn't kept."""

    def finished(self, claimed: ClaimedEvent, outcome: Outcome) -> None:
        """Log how an attempt ended: its status is ``202`` if the event will run again; of many waits the first."""
        if not _EVENT_LOG.isEnabledFor(logging.INFO) or (outcome.waits and claimed.waiting_since is not None):
            return
        extra: dict[str, Any] = {
            'task_id': str(claimed.task_id), 'event_id': claimed.identity.event_id,
            'route': outcome.route, 'attempt': claimed.attempt, 'status': str(outcome.status),
        }
        if outcome.made_by is not None:
            extra['handler'] = outcome.made_by.code['name']
        if outcome.skipped:
            extra['skipped'] = True
        if outcome.seconds is not None:
            extra['seconds'] = round(outcome.seconds, 6)
        if outcome.exc_type is not None:
            extra['error'] = f'{outcome.exc_type}: {(outcome.exc_value or "")[:_ERROR_CHARACTERS]}'
        if outcome.delay is not None:
            extra['retry_in'] = round(outcome.delay, 3)
        _EVENT_LOG.info('event.finished', extra=extra)


class Callbacks(Extension):
    """Calls the user's ``on_finished``, or ``on_failed`` if *only_failed*, with each event that has ended."""

    def __init__(self, function: Callback, *, only_failed: bool = False) -> None:
        self._function = function
        self._only_failed = only_failed

    def task_ended(self, task: FinishedTask) -> None:
        """Call the function."""
        if self._only_failed and not task.failed:
            return
        try:
            self._function(task)
        except SystemExit as exc:  # would end the thread that handles events, and nothing would say so
            raise RuntimeError(f'a callback may not end the process: SystemExit({exc.code!r})') from exc
