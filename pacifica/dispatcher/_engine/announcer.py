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
from pacifica.dispatcher.exceptions import DispatcherError

__all__ = ['Announcer']

_LOG = logging.getLogger(__name__)
_FEW_MESSAGES = 100
_ROWS = 1000


class Announcer:
    """Announces waiting events while the broker holds few messages.

    :param store: the queue's.
    :param publish: sends the message of a task; raises what the broker's client raises.
    :param backlog: returns how many messages the broker holds; ``None`` if it does not answer.
    :param again: seconds after which a message that nobody acted on counts as lost.
    :param interval: seconds between turns.
    """

    def __init__(
        self,
        store: Store,
        publish: Callable[[UUID], None],
        backlog: Callable[[], int | None],
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

        While the broker holds many messages nothing is sent: events wait because workers are busy, not because a
        message was lost.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        backlog = self._backlog()
        if backlog is None or backlog >= _FEW_MESSAGES:
            return 0
        sent = 0
        for task_id in self._store.announce(self._again, _ROWS):
            try:
                self._publish(task_id)
            except Exception as exc:  # a broker's client has errors of many libraries; it is announced again later
                _LOG.warning('announcer.broker_unavailable', extra={'task_id': str(task_id), 'error': str(exc)})
                break
            sent += 1
        return sent

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name='pacifica-dispatcher-announcer', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.run_once()
            except DispatcherError:
                _LOG.exception('announcer.database_unavailable')
