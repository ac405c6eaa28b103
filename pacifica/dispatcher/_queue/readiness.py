"""Whether the database can be used now: what ``/health/ready`` answers.

Asked by the front door, perhaps every second, by anybody; never raises, and takes no longer than it may.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import peewee

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.schema import select_nothing
from pacifica.dispatcher.exceptions import DispatcherError

_LOG = logging.getLogger(__name__)


class Readiness:
    """Checks the database: call it.

    :param connections: the store's.
    :param seconds: how long the database may take to answer.
    """

    def __init__(self, connections: Connections, seconds: float = 2.0) -> None:
        self._connections = connections
        self._seconds = seconds
        self._lock = threading.RLock()  # a check of a database in memory runs under it
        self._check: _ReadinessCheck | None = None
        self._told = ''

    def __call__(self) -> dict[str, bool]:
        """Return for ``'database'`` (it answers and takes changes) and ``'schema'`` (all is there) whether it is so.

        All who ask at the same time share one check, so that a database that hangs holds one thread, not one a probe.
        One that is known to be away, or to have no room, is not asked.
        """
        fault = self._connections.availability.fault
        if fault is not None:
            return {'database': False, 'schema': fault.readable}
        with self._lock:
            check = self._check
            if check is None or not check.is_alive():  # a forked child has none of its parent's threads
                check = self._check = _ReadinessCheck(self._connections, self._tell)
                if self._connected_to_memory():
                    check.run()  # in-memory SQLite is seen by this thread alone
                    return check.passed
                check.start()
        check.join(max(0.0, check.began + self._seconds - time.monotonic()))
        if check.is_alive():
            self._tell('health.database_silent', seconds=self._seconds)
            return {'database': False, 'schema': False}
        return check.passed

    def _tell(self, message: str, **extra: object) -> None:
        """Log what is wrong, once for as long as nothing else is; no message says that all is well."""
        with self._lock:
            if message and message != self._told:
                _LOG.warning(message, extra=extra)
            self._told = message

    def _connected_to_memory(self) -> bool:
        try:
            return not self._connections.shared
        except DispatcherError:  # not initialized yet: the check says so
            return False


class _ReadinessCheck(threading.Thread):
    """One look at the database, in a thread that may be left behind if it never answers."""

    def __init__(self, connections: Connections, tell: Callable[..., None]) -> None:
        super().__init__(name='pacifica-dispatcher-ready', daemon=True)
        self.passed = {'database': False, 'schema': False}
        self.began = time.monotonic()
        self._connections = connections
        self._tell = tell

    def run(self) -> None:
        """Find out what passes."""
        try:
            self._connections.read(lambda session: session.execute('SELECT 1').fetchone())
        except DispatcherError as exc:
            self._tell('health.database_unavailable', error=str(exc))
            return
        except peewee.PeeweeException as exc:  # it answers, but would not let the tables be made or upgraded
            self._tell('health.schema_unusable', error=str(exc))
            self.passed['database'] = True
            return
        self.passed['database'] = True
        try:
            self._connections.read(select_nothing)
        except (DispatcherError, peewee.PeeweeException) as exc:  # databases differ in how they say what is missing
            self._tell('health.schema_unusable', error=str(exc))
            return
        self.passed['schema'] = True
        self._tell('')
