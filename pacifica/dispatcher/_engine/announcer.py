"""Sends the messages that were lost: the broker's half of the janitor.

Owned by an engine whose workers wait for messages. The row is the truth and the message only a word that there is
one, so whatever a broker loses is found here: events that are due, with no message on its way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from uuid import UUID

from pacifica.dispatcher._queue.store import Store

__all__ = ['Announcer']

_LOG = logging.getLogger(__name__)
_FEW_MESSAGES = 100
_ROWS = 1000
_ROWS_WHILE_BUSY = 100
_STOP_SECONDS = 5.0


class Announcer:
    """Announces waiting events of which the broker has no message.

    :param store: the queue's.
    :param publish: sends the message of a task; raises what the broker's client raises.
    :param backlog: returns how many messages the broker holds; raises what the broker's client raises.
    :param again: seconds after which a message that nobody acted on counts as lost.
    :param interval: seconds between turns.
    """

    def __init__(
        self,
        store: Store,
        publish: Callable[[UUID], object],
        backlog: Callable[[], int],
        *,
        again: float = 10.0,
        interval: float = 1.0,
    ) -> None:
        self._store = store
        self._publish = publish
        self._backlog = backlog
        self._again = again
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def run_once(self) -> int:
        """Publish what waits without a message; return how many messages were sent.

        While the broker holds many messages, events wait because workers are busy. Then no more is sent than messages
        are missing, one for each event, the longest waiting first: a lost message is found all the same, and the
        broker never holds many more messages than there are events.

        :raises DatabaseUnavailableError: if the database does not answer.
        :raises Exception: what the broker's client raises; what was not sent is announced again later.
        """
        messages = self._backlog()
        limit = _ROWS
        if messages >= _FEW_MESSAGES:
            limit = min(self._store.count_due(messages + _ROWS_WHILE_BUSY) - messages, _ROWS_WHILE_BUSY)
        if limit <= 0:
            return 0
        task_ids = self._store.announce(self._again, limit)
        for task_id in task_ids:
            self._publish(task_id)
        return len(task_ids)

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name='pacifica-dispatcher-announcer', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, but don't wait long for one that waits for a broker."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.run_once()
            except Exception as exc:  # the database's or, of any library, the broker's; what is lost waits for a turn
                _LOG.warning('announcer.turn_failed', extra={'error': str(exc)})
