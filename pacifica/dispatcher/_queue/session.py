"""One of the store's database objects: statements, transactions, and the clock that decisions are made by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import peewee

from pacifica.dispatcher._queue.dialect import Dialect
from pacifica.dispatcher._queue.fork_gate import ForkGate

TRANSIENT = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)
"""Transient faults: the database is away, locked, deadlocked or restarted, or the connection was lost."""

T = TypeVar('T')

_CLOCK_LIFETIME = 60.0  # seconds
_TURN_PATIENCE = 1.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.01  # seconds


class Session:
    """One of the store's database objects, and the SQL dialect it speaks.

    :param clock: replaces the database's clock, for tests.
    :param on_connect: statements that run on each new connection after the dialect's.
    :param patient: whether the database may take as long as it likes.
    :param gate: what no thread is inside of while the process forks.
    """

    def __init__(
        self, database: peewee.Database, dialect: Dialect, clock: Callable[[], float] | None = None,
        on_connect: Sequence[str] = (), patient: bool = True, gate: ForkGate | None = None,
    ) -> None:
        self.database: Any = database  # peewee's stubs leave much of Database out
        self.dialect = dialect
        self.statement_limit: int | None = None
        self._gate = gate or ForkGate()
        self._patient = patient
        self._on_connect = (*dialect.on_connect, *on_connect)
        self._in_use = threading.Lock()  # drivers crash if a connection is closed while another thread uses it
        self._clock = clock
        self._clock_read = float('-inf')
        self._clock_offset = 0.0

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute *statement*, in which ``?`` stands for a parameter, and return the cursor."""
        if self.database.is_closed():
            self.connect()
        if self.dialect.placeholder != '?':
            statement = statement.replace('?', self.dialect.placeholder)
        return self.database.execute_sql(statement, parameters)

    def connect(self) -> None:
        """Open this thread's connection, or leave it closed if that or its settings fail."""
        self.database.connect()
        try:
            self._set_up()
        except peewee.PeeweeException:
            self.disconnect()
            raise

    def _set_up(self) -> None:
        if self.dialect.clock is not None:  # a server's, and so our own: one in memory is the application's
            # peewee's ReconnectMixin leaves a transaction alone. In one that it doesn't know of it would go on with a
            # new connection: what came before would be gone, and the COMMIT answered.
            self.database.push_transaction(self)
        if not self._patient:
            self.dialect.limit_silence(self.database.connection())
        for statement in self._on_connect:
            self.database.execute_sql(statement)
        if self.dialect.statement_limit:
            self.statement_limit = int(self.database.execute_sql(self.dialect.statement_limit).fetchone()[0])

    def close(self, wait: bool = True) -> None:
        """Close this thread's connection; while a transaction is under way on it, *wait*, or else leave it open."""
        if self._in_use.acquire(blocking=wait):
            try:
                self.disconnect()
            finally:
                self._in_use.release()

    def exclusively(self, work: Callable[[Session], T]) -> T:
        """Run *work*, which makes its own transaction, while nobody else uses this session and no fork goes on."""
        with self._gate, self._in_use:
            return work(self)

    def disconnect(self) -> None:
        """Close this thread's connection, whatever state it is in; the next statement opens a new one."""
        if self.database.is_closed():
            return
        connection = self.database.connection()
        self.database.dispose()
        with suppress(Exception):  # a broken one may fail in any way of its driver's; it is gone all the same
            connection.close()

    def transaction(self, work: Callable[[Session], T]) -> T:
        """Run *work* in a transaction that may write, and return its result once that is committed."""
        with self._gate, self._in_use:
            try:
                self._begin()
            except TRANSIENT:
                if self.dialect.clock is not None:
                    self.disconnect()  # a server's: not to be trusted any more
                raise
            try:
                result = work(self)
                self.execute('COMMIT')
            except TRANSIENT:
                self.abort()
                raise
            except BaseException:
                self.rollback()
                raise
            return result

    def _begin(self) -> None:
        """Begin a transaction that may write; while another process is in one, ask again and again for a second.

        SQLite itself would ask after 1, 3, 8 and 18 ms, and the file would lie idle: a transaction takes less than one.
        """
        began = time.monotonic()
        while True:
            try:
                self.execute(self.dialect.begin)
                return
            except TRANSIENT as exc:
                waited = time.monotonic() - began
                if waited > _TURN_PATIENCE or self.dialect.fault_of(exc) != 'busy':
                    raise
            time.sleep(min(max(waited / 8, _FIRST_PAUSE), _LONGEST_PAUSE))

    def rollback(self) -> None:
        """Leave the transaction; a connection that can't even do that is closed."""
        try:
            self.execute('ROLLBACK')
        except peewee.PeeweeException:
            self.disconnect()

    def abort(self) -> None:
        """Leave whatever a transient fault left behind; a server's connection is not to be trusted after one."""
        if self.dialect.clock is None:
            self.rollback()
        else:
            self.disconnect()

    def now(self) -> float:
        """Return the time in seconds since 1970 by the database's clock; without one of its own, by the host's.

        A server's clock is asked once a minute and carried on with the host's monotonic clock in between, so that a
        host whose wall clock is wrong, or is set, decides as all the others do.
        """
        if self._clock is not None:
            return self._clock()
        if self.dialect.clock is None:
            return time.time()
        monotonic = time.monotonic()
        if monotonic > self._clock_read + _CLOCK_LIFETIME:
            seconds = float(self.execute(self.dialect.clock).fetchone()[0])
            self._clock_read = time.monotonic()
            self._clock_offset = seconds - self._clock_read
        return self._clock_offset + time.monotonic()
