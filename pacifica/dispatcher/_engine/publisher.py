"""Sends the messages of events that were just stored, without letting anybody wait for a broker.

Used by an engine whose workers wait for messages. A message that could not be sent is forgotten: the event is stored,
and the announcer, which looks for such events, sends it later.

A message costs sender, broker and worker more than its event costs the database. Where several wait to be sent, a
worker that was told of one event may have taken others meanwhile; of those no message is sent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

__all__ = ['Publisher']

_LOG = logging.getLogger(__name__)
_AT_ONCE = 20  # so few that what is known of them is still true when the last one's turn comes


class Publisher:
    """Publishes in a thread of its own, or at once.

    :param publish: sends the message of a task; raises what the broker's client raises.
    :param waiting: returns those of several tasks that still wait for a worker; the others need no message.
    :param pause: seconds without attempts after one that failed: each may take as long as the broker's time-out.
    :param most: how many messages wait for the broker at most; those of further events are left to the announcer.
    """

    def __init__(
        self,
        publish: Callable[..., Any],
        waiting: Callable[[Sequence[UUID]], Collection[UUID]],
        *,
        pause: float = 5.0,
        most: int = 10_000,
    ) -> None:
        self._publish = publish
        self._still_waiting = waiting
        self._pause = pause
        self._most = most
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[UUID] = SimpleQueue()
        self._pid = 0

    def put(self, task_ids: Sequence[UUID]) -> None:
        """Have the messages of the tasks sent soon; never waits."""
        if self._pid != os.getpid():
            self._start()
        for task_id in task_ids:
            if self._waiting.qsize() < self._most:
                self._waiting.put(task_id)

    def send(self, task_id: UUID, **options: Any) -> Any:
        """Send the message now; return what ``publish`` does, or ``None`` if the broker is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._publish(task_id, **options)
        except Exception as exc:  # a broker's client has errors of many libraries
            self._away_until = time.monotonic() + self._pause
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
        try:
            while len(task_ids) < _AT_ONCE:
                task_ids.append(self._waiting.get_nowait())
        except Empty:
            pass
        if len(task_ids) == 1:
            return task_ids
        try:
            wanted = self._still_waiting(task_ids)
        except Exception as exc:  # whatever the database says: a message too many does no harm, one too few does
            _LOG.warning('publisher.database_unavailable', extra={'error': str(exc)})
            return task_ids
        return [task_id for task_id in task_ids if task_id in wanted]
