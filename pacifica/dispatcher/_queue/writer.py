"""One transaction for all that wants to write at this moment.

A commit to disk costs the same for one row as for twenty. Callers hand in operations; the first to arrive while no
transaction is running leads: it takes all that are waiting, runs them in one transaction, commits, and wakes the other
callers. What arrives meanwhile goes into the next transaction, led by the first of them. Nobody waits for company.

Knows transactions and their faults; knows nothing of what the operations do.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, Union

from pacifica.dispatcher._queue.availability import PATIENCE
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.session import TRANSIENT, Session
from pacifica.dispatcher.exceptions import DatabaseUnavailableError


class BatchOperation(Protocol):
    """What costs less if it is run together with others of its kind."""

    @staticmethod
    def run(session: Session, operations: Sequence[Any]) -> Sequence[Any]:
        """Run *operations*, all of this class, inside the transaction; return their results in order."""


Operation = Union[BatchOperation, Callable[[Session], Any]]
"""What runs inside the transaction, and again in another if that fails: a batch operation, or a function."""


class _Pending:
    __slots__ = ('error', 'finished', 'operations', 'results', 'wake')

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.results: list[Any] = []
        self.error: Exception | None = None
        self.finished = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Writer:
    """Runs operations in shared transactions; one for each set of connections, whose writing session it alone uses.

    :param connections: where the writing session comes from.
    :param patience: seconds for which a transaction is tried again after a transient fault, unless it is known that
        the database is away, or that there is no room in it.
    """

    def __init__(self, connections: Connections, patience: float = PATIENCE) -> None:
        self.connections = connections
        self._patience = patience
        self._reset()

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without those who wait in this one."""
        return Writer, (self.connections, self._patience)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: list[_Pending] = []
        self._led = False
        self._pid = os.getpid()

    def run(self, *operations: Operation, waits: bool = False) -> list[Any]:
        """Run *operations* in one transaction, functions first; return their results once it is committed.

        :param waits: whether to wait for a database that is known to be away for as long as for one that is not, and,
            without room in it, before an error is raised: for who will try again.
        :raises DatabaseUnavailableError: if the database did not take the transaction in time.
        """
        self.connections.availability.require(self._patience if waits else 0.0)
        if self._pid != os.getpid():  # forked: the parent's callers don't exist here
            self._reset()
        mine = _Pending(operations)
        with self._mutex:
            self._waiting.append(mine)
            lead, self._led = not self._led, True
        if not lead:
            try:
                mine.wake.acquire()
            except BaseException:  # a signal handler raised: whoever waits behind must not wait for ever
                self._withdraw(mine)
                raise
            lead = not mine.finished
        if lead:
            self._lead()
        if mine.error is not None:
            if waits:
                self.connections.availability.rest(self._patience)
            raise mine.error
        return mine.results

    def _lead(self) -> None:
        with self._mutex:
            batch, self._waiting = self._waiting, []
        try:
            self._commit(batch)
        except BaseException as exc:  # a signal handler raised in the leader: the others get an answer all the same
            for pending in batch:
                pending.error = DatabaseUnavailableError(f'interrupted by {type(exc).__name__}; nothing is certain')
            raise
        finally:
            self._hand_over(batch)

    def _hand_over(self, batch: Sequence[_Pending]) -> None:
        with self._mutex:
            for pending in batch:
                pending.finished = True
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].wake.release()
        for pending in batch[1:]:  # the first is the leader, who waits for nobody
            pending.wake.release()

    def _withdraw(self, mine: _Pending) -> None:
        with self._mutex:
            chosen = mine.wake.acquire(blocking=False) and not mine.finished
            if not chosen and mine in self._waiting:
                self._waiting.remove(mine)
        if chosen:
            self._lead()

    def _commit(self, batch: Sequence[_Pending]) -> None:
        try:
            self._transact(batch)
        except Exception as exc:  # handed to the callers, each of whom raises it
            if len(batch) == 1 or isinstance(exc, DatabaseUnavailableError):
                for pending in batch:
                    pending.error = exc
            else:  # one of them is at fault: the others must not suffer for it
                for pending in batch:
                    self._commit([pending])

    def _transact(self, batch: Sequence[_Pending]) -> None:
        availability = self.connections.availability
        availability.require()  # those who waited behind a transaction that failed have waited enough
        deadline = time.monotonic() + (self._patience if availability.fault is None else 0.0)
        pause = 0.005
        while True:
            try:
                self.connections.writer.transaction(partial(_run, batch))
                break
            except TRANSIENT as exc:
                fault = self.connections.dialect.fault_of(exc)
                if time.monotonic() + pause > deadline or fault == 'full':
                    if fault != 'busy':
                        raise availability.failed(exc, readable=fault != 'away') from exc
                    raise DatabaseUnavailableError(
                        f'the database did not take the change within {self._patience:g} seconds: {exc}'
                    ) from exc
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 0.5)
        availability.wrote()


def _run(batch: Sequence[_Pending], session: Session) -> None:
    """Run the operations of *batch*: the functions in order, then those that batch, each kind together."""
    groups: dict[type[Any], list[tuple[_Pending, int]]] = {}
    for pending in batch:
        pending.results = [None] * len(pending.operations)
        for index, operation in enumerate(pending.operations):
            if callable(operation):
                pending.results[index] = operation(session)
            else:
                groups.setdefault(type(operation), []).append((pending, index))
    for kind, members in groups.items():
        results = kind.run(session, [pending.operations[index] for pending, index in members])
        for (pending, index), result in zip(members, results, strict=True):
            pending.results[index] = result
