"""Sends the messages of events that were just stored, without letting anybody wait for a broker.

Used by an engine whose workers wait for messages. A message that could not be sent is forgotten: the event is stored,
and the announcer, which looks for such events, sends it later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any
from uuid import UUID

__all__ = ['Publisher']

_LOG = logging.getLogger(__name__)


class Publisher:
    """Publishes in a thread of its own, or at once.

    :param publish: sends the message of a task; raises what the broker's client raises.
    :param pause: seconds without attempts after one that failed: each may take as long as the broker's time-out.
    :param most: how many messages wait for the broker at most; those of further events are left to the announcer.
    """

    def __init__(self, publish: Callable[..., Any], *, pause: float = 5.0, most: int = 10_000) -> None:
        self._publish = publish
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
            self.send(self._waiting.get())
