"""Sends messages about stored events, without letting anybody wait for a broker.

The row is the truth: a message only says that there is one, costs more than its event costs the database, and makes a
worker go on with whatever is due. So while the broker holds messages that no worker has taken, further ones wait here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from pacifica.dispatcher._engine.turns import Periodic
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.store import Store

_LOG = logging.getLogger(__name__)
_ENOUGH = 20  # messages in the broker that no worker has taken: all workers have as much to do as they take
_ROOM_PAUSE = 0.01  # seconds at first between two questions to the broker, doubled
_ROOM_PAUSE_MOST = 0.25
_FEW_MESSAGES = 100
_ROWS = 1000
_ROWS_WHILE_BUSY = 100
_STOP_SECONDS = 5.0
_AWAY_SECONDS = 5.0  # without attempts after one that failed: each may take as long as the broker's time-out
_MOST_WAITING = 10_000  # messages; those of further events are left to the announcer


class Publisher:
    """Publishes messages of events that were just stored, in a thread of its own or immediately.

    One that could not be sent is forgotten.

    :param publish: sends the message of a task; raises what the broker's client raises.
    :param waiting: returns those of several tasks that still wait for a worker; the others need no message.
    :param backlog: returns how many messages the broker holds; raises what the broker's client raises.
    """

    def __init__(
        self, publish: Callable[..., Any], waiting: Callable[[Sequence[UUID]], Collection[UUID]],
        backlog: Callable[[], int],
    ) -> None:
        self._publish = publish
        self._still_waiting = waiting
        self._backlog = backlog
        self._unasked = 0  # messages sent since the broker was last asked
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[UUID] = SimpleQueue()
        self._pid = 0

    def put(self, task_ids: Sequence[UUID]) -> None:
        """Have the messages of the tasks sent soon; never waits."""
        if self._pid != os.getpid():
            self._start()
        for task_id in task_ids:
            if self._waiting.qsize() < _MOST_WAITING:
                self._waiting.put(task_id)

    def send(self, task_id: UUID, **options: Any) -> Any:
        """Send the message now; return what ``publish`` does, or ``None`` if the broker is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._publish(task_id, **options)
        except Exception as exc:  # a broker's client has errors of many libraries
            self._away_until = time.monotonic() + _AWAY_SECONDS
            _LOG.warning('publisher.broker_unavailable', extra={'task_id': str(task_id), 'error': str(exc)})
            return None

    def _start(self) -> None:
        """Start the thread; a forked child has none of its parent's, and sends nothing of what waits there."""
        with self._lock:
            if self._pid != os.getpid():
                self._waiting = SimpleQueue()
                threading.Thread(target=self._loop, name='pacifica-dispatcher-publisher', daemon=True).start()
                self._pid = os.getpid()

    def _loop(self) -> None:
        while True:
            for task_id in self._next():
                self.send(task_id)

    def _next(self) -> Sequence[UUID]:
        """Wait for tasks; return those whose messages are to be sent now. One that comes alone is sent unasked."""
        task_ids = [self._waiting.get()]
        if self._unasked >= _ENOUGH:
            self._await_room()
        with suppress(Empty):
            while len(task_ids) < _ENOUGH:
                task_ids.append(self._waiting.get_nowait())
        if len(task_ids) > 1:
            task_ids = self._wanted(task_ids)
        self._unasked += len(task_ids)
        return task_ids

    def _await_room(self) -> None:
        """Wait while the broker holds enough messages; not for one that is away, which sending finds out."""
        pause = _ROOM_PAUSE
        while time.monotonic() >= self._away_until:
            try:
                if self._backlog() < _ENOUGH:
                    break
            except Exception as exc:  # a broker's client has errors of many libraries
                _LOG.warning('publisher.broker_unavailable', extra={'error': str(exc)})
                break
            time.sleep(pause)
            pause = min(pause * 2, _ROOM_PAUSE_MOST)
        self._unasked = 0

    def _wanted(self, task_ids: list[UUID]) -> list[UUID]:
        try:
            waiting = self._still_waiting(task_ids)
        except KnownFaultError:
            return task_ids
        except Exception as exc:  # whatever the database says: a message too many does no harm, one too few does
            _LOG.warning('publisher.database_unavailable', extra={'error': str(exc)})
            return task_ids
        return [task_id for task_id in task_ids if task_id in waiting]


class Announcer(Periodic):
    """Announces events that are due of which the broker has no message, once a second.

    :param publish: as *backlog* the same as for :class:`Publisher`.
    :param again: seconds after which a message that nobody acted on counts as lost.
    """

    def __init__(
        self, store: Store, publish: Callable[[UUID], object], backlog: Callable[[], int], *, again: float,
    ) -> None:
        super().__init__('announcer', 1.0, _STOP_SECONDS)  # a turn may wait long for a broker
        self._store = store
        self._publish = publish
        self._backlog = backlog
        self._again = again

    def run_once(self) -> int:
        """Publish what waits without a message; return how many messages were sent.

        :raises DatabaseUnavailableError: if the database does not answer.
        :raises Exception: what the broker's client raises; what was not sent is announced again later.
        """
        messages = self._backlog()
        limit = _ROWS
        if messages >= _FEW_MESSAGES:
            # Events wait because workers are busy. No more is sent than messages are missing, one for each event: a
            # lost one is found all the same, and the broker never holds many more messages than there are events.
            limit = min(self._store.count_due(messages + _ROWS_WHILE_BUSY) - messages, _ROWS_WHILE_BUSY)
        if limit <= 0:
            return 0
        task_ids = self._store.announce(self._again, limit)
        for task_id in task_ids:
            self._publish(task_id)
        return len(task_ids)

    def _turn(self) -> None:
        try:
            self.run_once()
        except KnownFaultError:
            pass
        except Exception as exc:  # the database's or, of any library, the broker's; what is lost waits for a turn
            _LOG.warning('announcer.turn_failed', extra={'error': str(exc)})
