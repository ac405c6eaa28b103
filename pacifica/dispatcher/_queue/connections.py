"""The store's own connections: one that writes, and as many to read with as are in use at the same time.

The application's connections are left alone: it may open, close and use its database object as it likes. Connections
are made at first use, anew after an error and anew after ``fork``.

A child that is forked inherits no lock and, on SQLite, no connection: SQLite keeps in the process's memory what the
process has locked, so a child forked during a statement would find the database locked for ever
(https://www.sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakSet

import peewee

from pacifica.dispatcher._queue.availability import Availability
from pacifica.dispatcher._queue.dialect import Dialect, dialect_of
from pacifica.dispatcher._queue.fork_gate import ForkGate
from pacifica.dispatcher._queue.session import TRANSIENT, Session
from pacifica.dispatcher._queue.sqlite import is_in_memory, is_sqlite, make_private, sqlite_path
from pacifica.dispatcher.exceptions import ConfigurationError, DatabaseUnavailableError

T = TypeVar('T')

_INHERITED: list[Any] = []  # closing a parent's connection in a forked child would close it for the parent
_FORK_PATIENCE = 5.0  # seconds that a fork waits for what other threads ask the database
_PREPARE_PATIENCE = 60.0  # seconds that SQLite's file is waited for while it is locked
_BETWEEN_TRIES = 0.05  # seconds
_AT_ONCE = 1.0  # seconds: what fails sooner is asked again
_ALL: WeakSet[Connections] = WeakSet()
_FORKING: list[Connections] = []  # those that wait for the fork that goes on
_ONE_FORK = threading.Lock()


class Connections:
    """The store's sessions for one database of the application's.

    :param database: what ``create_peewee_model`` was given; may still be a proxy or deferred until first use.
    :param prepare: called once a process with the writing session before anything else uses it; says what it did.
    :param clock: replaces the database's clock, for tests.
    :param try_writing: writes in a transaction what leaves nothing behind, to see whether a database is back.
    """

    def __init__(
        self,
        database: peewee.Database,
        prepare: Callable[[Session], str],
        clock: Callable[[], float] | None = None,
        try_writing: Callable[[Session], object] = id,
    ) -> None:
        self.availability = Availability(self._attempt)
        self._database = database
        self._prepare = prepare
        self._clock = clock
        self._try_writing = try_writing
        self._prepared = ''
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._writer: Session | None = None
        self._readers: list[Session] = []  # those that nobody uses just now
        self._watching: list[Session] = []
        self._owner: int | None = None
        self._gate = ForkGate()
        _ALL.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the settings of the database; connections are made there."""
        database = self._resolve()
        settings = dict(database.connect_params)
        if is_sqlite(database):
            settings.update(pragmas=database._pragmas, timeout=database.timeout)
        return _restore, (type(database), database.database, settings, self._prepare, self._try_writing)

    @property
    def writer(self) -> Session:
        """The session that writes; its callers take turns (see :mod:`._queue.writer`)."""
        return self._writer if self._writer and self._pid == os.getpid() and not self._owner else self._open()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with, the caller's alone inside the ``with`` block."""
        writer = self.writer
        with self._gate:
            try:
                session = self._readers.pop()
            except IndexError:
                session = writer if self._owner else self._session(self.dialect.on_connect_to_read)
            try:
                yield session
            finally:
                if not self._owner:
                    self._readers.append(session)

    @contextmanager
    def watching(self) -> Iterator[Session]:
        """A session of its own for a thread that waits for what others change; closed after the ``with`` block.

        It is to be used :meth:`~Session.exclusively` where a forked child may inherit no connection.
        """
        with self._lock:
            self._open()
            session = self._session()
            self._watching.append(session)
        try:
            yield session
        finally:
            with self._lock, self._gate:
                self._watching.remove(session)
                session.close()

    def read(self, query: Callable[[Session], T]) -> T:
        """Return the result of *query*, run once more on a new connection if the old one turns out to be gone.

        :raises DatabaseUnavailableError: if the database is known to be away, or does not answer then either.
        """
        self.availability.require()
        began = time.monotonic()
        try:
            with self.reading() as session:
                try:
                    result = _query(session, query)
                except TRANSIENT:
                    if time.monotonic() > began + _AT_ONCE:  # it was silent, and would be again
                        raise
                    result = _query(session, query)
        except TRANSIENT as exc:
            if self.dialect.fault_of(exc) == 'busy':
                raise DatabaseUnavailableError(f'the database did not answer: {exc}') from exc
            raise self.availability.unanswered(exc, began) from exc
        self.availability.answered()
        return result

    @property
    def dialect(self) -> Dialect:
        """What differs for this kind of database."""
        return dialect_of(self._resolve())

    @property
    def sqlite_file(self) -> Path | None:
        """Where the database is, if it is SQLite's and in a file."""
        return sqlite_path(self._resolve())

    @property
    def shared(self) -> bool:
        """Whether more than one thread can see the database."""
        return not is_in_memory(self._resolve())

    def require_shared(self) -> None:
        """Refuse a database that only one thread can see.

        :raises ConfigurationError: for an in-memory SQLite database.
        """
        if not self.shared:
            raise ConfigurationError(
                'an in-memory SQLite database is seen by one thread only, so it can be neither served nor worked on '
                'by threads: use a file, for example sqlite:///events.db'
            )

    def prepare(self) -> str:
        """Be ready for the first statement; return what was done to the schema when this process first did so.

        Called again it looks again, for an application that has dropped the table.
        """
        with self._lock:
            was_open = self._writer is not None and self._pid == os.getpid()
            writer = self._open()
            if was_open:
                done = writer.exclusively(self._prepare_patiently)
                self._prepared = self._prepared if done == 'current' else done
            return self._prepared

    def close(self) -> None:
        """Close every connection that nobody uses just now; look no more whether a database that is away is back."""
        self.availability.forget()
        with self._lock:
            if self._writer is None or self._pid != os.getpid():
                return
            with self._gate:
                self._writer.close()
                while self._readers:
                    self._readers.pop().close()

    def before_fork(self) -> None:
        """Let no thread use a connection and, where a child may inherit none, close them."""
        writer = self._writer
        if writer is not None and (self._owner or writer.dialect.inheritable):
            return
        self._gate.shut(_FORK_PATIENCE)
        if writer is not None and self._pid == os.getpid():
            for session in (writer, *self._watching, *self._readers):
                session.close(wait=False)

    def after_fork_in_parent(self) -> None:
        """Let the threads go on."""
        self._gate.open()

    def after_fork_in_child(self) -> None:
        """Be without what a thread that the child does not have may have kept."""
        self._lock, self._gate = threading.RLock(), ForkGate()

    def _resolve(self) -> Any:
        database = self._database.obj if isinstance(self._database, peewee.Proxy) else self._database
        if database is None or database.deferred:
            raise ConfigurationError('the database is not initialized yet: call its init() or initialize() first')
        return database

    def _open(self) -> Session:
        with self._lock:
            if self._pid != os.getpid():
                _INHERITED.append((self._writer, self._readers, self._watching))
                self._writer, self._readers, self._watching, self._owner = None, [], [], None
                self._pid = os.getpid()
            if self._owner not in (None, threading.get_ident()):
                self.require_shared()
            if self._writer is None:
                with self._gate:
                    writer = self._session(self.dialect.on_connect_to_write)
                    self._prepared = self._prepare_patiently(writer)
                self._writer = writer
            return self._writer

    def _prepare_patiently(self, writer: Session) -> str:
        """Wait as long as it takes: for a server that builds an index, or another process that changes the tables."""
        if not writer.dialect.limits:
            return self._prepare_in_turn(writer)
        session = self._session(patient=True)
        try:
            return self._prepare(session)
        finally:
            session.disconnect()

    def _prepare_in_turn(self, writer: Session) -> str:
        """Prepare, again while the file is locked: SQLite itself does not wait where it changes the journal's mode."""
        deadline = time.monotonic() + _PREPARE_PATIENCE
        while True:
            try:
                return self._prepare(writer)
            except TRANSIENT as exc:
                if self.dialect.fault_of(exc) != 'busy' or time.monotonic() > deadline:
                    raise
                time.sleep(_BETWEEN_TRIES)

    def _attempt(self) -> None:
        """Try to write; raise if the database does not take it."""
        try:
            self.writer.transaction(self._try_writing)
        except TRANSIENT as exc:
            fault = self.dialect.fault_of(exc)
            if fault != 'busy':
                self.availability.failed(exc, readable=fault != 'away')
            raise
        except peewee.PeeweeException:  # it answers, if not as it should: those who come will see
            return

    def _session(self, on_connect: Sequence[str] = (), patient: bool = False) -> Session:
        database = self._resolve()
        dialect = dialect_of(database)
        if is_in_memory(database):
            self._owner = threading.get_ident()
            return Session(database, dialect, self._clock, gate=self._gate)
        make_private(sqlite_path(database))
        limits = {} if patient else dialect.limits
        return Session(_clone(database, dialect, limits), dialect, self._clock, on_connect, patient, self._gate)


def _query(session: Session, query: Callable[[Session], T]) -> T:
    try:
        return query(session)
    except TRANSIENT:
        session.abort()
        raise


def _restore(
    kind: Any, name: str, settings: dict[str, Any], prepare: Callable[[Session], str],
    try_writing: Callable[[Session], object],
) -> Connections:
    return Connections(kind(name, **settings), prepare, try_writing=try_writing)


def _clone(database: peewee.Database, dialect: Dialect, limits: dict[str, Any]) -> peewee.Database:
    """Return *database* with a connection of its own, which any thread may use, though one at a time.

    A copy keeps every setting of every database class, which no constructor call can; only the connection state,
    which peewee itself makes of this class, is replaced.
    """
    clone: Any = copy.copy(database)
    clone._state = peewee._ConnectionState()
    clone._lock = threading.Lock()
    clone.connect_params = {**limits, **database.connect_params, **dialect.connect_params}
    return cast(peewee.Database, clone)


def _before_fork() -> None:
    _ONE_FORK.acquire()
    _FORKING.extend(_ALL)
    for connections in _FORKING:
        connections.before_fork()


def _after_fork(go_on: Callable[[Connections], None]) -> None:
    while _FORKING:
        go_on(_FORKING.pop())
    _ONE_FORK.release()


if hasattr(os, 'register_at_fork'):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_before_fork, after_in_parent=partial(_after_fork, Connections.after_fork_in_parent),
        after_in_child=partial(_after_fork, Connections.after_fork_in_child))
