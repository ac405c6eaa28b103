"""How workers learn that other processes have made events due, without asking again and again.

PostgreSQL passes messages on (``NOTIFY``, ``LISTEN``); SQLite says whether other connections have changed anything, and
Linux when it is time to ask; MariaDB and MySQL have neither, and are asked for events that are due. Nothing depends on
a wake-up: one that is lost costs a poll.
"""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import peewee

from pacifica.dispatcher._queue import transitions
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.record import event_key
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.sqlite import Writes
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_EVERY_QUEUE = 'pacifica_dispatcher'
_AT_ONCE = 0.01  # seconds after a message within which its sender sends no other
_QUICKEST = 0.003  # seconds between two looks at SQLite's counter
# The fewest and the most seconds between two looks, and in between which part of the time since something:
# at SQLite's counter since an event was found or, where it is told, since the file was written to, a little before the
# commit;
_UNTOLD, _TOLD = (_QUICKEST, 0.04, 1 / 100), (_QUICKEST, 1.0, 1)
# for events that are due since the answer was another. What stays due can't be claimed: its lane is full.
_NONE_DUE, _STILL_DUE = (0.02, 1.0, 1 / 500), (0.02, 1.0, 1 / 10)


class Wakeups:
    """Sends and receives wake-ups of one queue.

    :param queue: whose; ``None`` for who wakes the workers of all queues, and receives nothing.
    """

    def __init__(self, connections: Connections, queue: QueueName | None = None) -> None:
        self._connections = connections
        self._queue = queue
        # A channel's name has 63 bytes at most.
        self._channel = _EVERY_QUEUE if queue is None else f'{_EVERY_QUEUE}_{event_key(*queue)[:40]}'
        self._token = secrets.token_hex(8)
        self._sent: dict[str, float] = {}

    def send(self, *, to_all: bool = False) -> None:
        """Wake workers of other processes, if a message is needed for that; of every queue's with *to_all*.

        Call it after the commit: a transaction with ``NOTIFY`` would keep all others of its kind from committing until
        it is on disk.
        """
        statement = self._connections.dialect.notify
        if not statement:
            return
        channel, now = _EVERY_QUEUE if to_all else self._channel, time.monotonic()
        if now < self._sent.get(channel, float('-inf')) + _AT_ONCE:
            return  # who got the last one looks again later
        self._sent[channel] = now
        with suppress(DatabaseUnavailableError, peewee.PeeweeException):
            self._connections.read(lambda session: session.execute(statement, (channel, self._sender())))

    def receive(self, stopping: socket.socket, idle: Callable[[], bool]) -> Iterator[None]:
        """Yield when events of the queue may have become due, until *stopping* can be read, and first when it listens.

        :param idle: says whether anybody waits for events.
        :raises DatabaseUnavailableError: if it hears nothing any more.
        """
        dialect, availability = self._connections.dialect, self._connections.availability
        availability.require()
        try:
            with self._connections.watching() as session, selectors.DefaultSelector() as selector:
                selector.register(stopping, selectors.EVENT_READ)
                if dialect.listen:
                    yield from self._messages(session, selector, stopping)
                elif dialect.change_counter:
                    yield from self._changes(session, selector, stopping, idle)
                else:
                    yield from self._due(session, selector, idle)
        except peewee.PeeweeException as exc:
            known = availability.fault is not None
            raise (KnownFaultError if known else DatabaseUnavailableError)(f'nothing is heard of it: {exc}') from exc

    def _sender(self) -> str:
        return f'{self._token}.{os.getpid()}'  # a forked child has the same token

    def _messages(
        self, session: Session, selector: selectors.BaseSelector, stopping: socket.socket,
    ) -> Iterator[None]:
        """Yield at each message that isn't this object's own, and once more when its sender would send the next."""
        for channel in (self._channel, _EVERY_QUEUE):
            session.execute(session.dialect.listen.format(channel=channel))
        connection = session.database.connection()
        selector.register(connection, selectors.EVENT_READ)
        yield
        again = float('inf')
        while True:
            ready = selector.select(None if again == float('inf') else max(0.0, again - time.monotonic()))
            if any(key.fileobj is stopping for key, _ in ready):
                return
            if time.monotonic() >= again:
                again = float('inf')
                yield
            if ready and any(sender != self._sender() for sender in _received(connection)):
                again = time.monotonic() + _AT_ONCE
                yield

    def _changes(
        self, session: Session, selector: selectors.BaseSelector, stopping: socket.socket, idle: Callable[[], bool],
    ) -> Iterator[None]:
        """Yield when an event is due after a change; look more often soon after that."""
        version = self._version(session)
        with closing(Writes(self._connections.sqlite_file)) as writes:
            if writes.fileno() >= 0:
                selector.register(writes, selectors.EVENT_READ)
            since = time.monotonic()
            yield
            while True:
                ready = selector.select(_pause(since, *(_TOLD if writes.told else _UNTOLD)))
                if any(key.fileobj is stopping for key, _ in ready):
                    return
                if ready:
                    since = time.monotonic()
                    time.sleep(_QUICKEST)
                    writes.forget()
                else:
                    writes.watch()
                if idle():
                    before, version = version, self._version(session)
                    if version != before and session.exclusively(self._is_due):
                        since = time.monotonic()
                        yield

    def _due(self, session: Session, selector: selectors.BaseSelector, idle: Callable[[], bool]) -> Iterator[None]:
        """Yield when an event is due; ask more often soon after that."""
        since, due = time.monotonic(), False
        yield
        while not selector.select(_pause(since, *(_STILL_DUE if due else _NONE_DUE))):
            if idle():
                before, due = due, self._is_due(session)
                if due != before:
                    since = time.monotonic()
                if due:
                    yield

    def _version(self, session: Session) -> tuple[Any, int]:
        """Return what differs once another connection has changed the database, or this one is another."""
        def read(session: Session) -> tuple[Any, int]:
            count = session.execute(session.dialect.change_counter).fetchone()[0]
            return session.database.connection(), count

        return session.exclusively(read)

    def _is_due(self, session: Session) -> bool:
        return self._queue is not None and transitions.count_due(session, self._queue, 1) > 0


def _pause(since: float, fewest: float, most: float, part: float) -> float:
    return min(max((time.monotonic() - since) * part, fewest), most)


def _received(connection: Any) -> list[str]:
    """Return the payloads of the messages that have come to a psycopg or psycopg2 *connection*."""
    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # the stubs leave it out
        if not hasattr(connection, 'pgconn'):
            connection.poll()
            payloads = [message.payload for message in connection.notifies]
            connection.notifies.clear()
            return payloads
        connection.pgconn.consume_input()
        return [message.extra.decode() for message in iter(connection.pgconn.notifies, None)]
