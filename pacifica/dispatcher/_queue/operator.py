"""What a person may do with events of any queue in the table: the dashboard's and the command line's way to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue import transitions
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.wakeups import Wakeups
from pacifica.dispatcher._queue.writer import Writer


class Operator:
    """Runs events again, has them not run, or deletes them.

    :param writer: the way into the database.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._wakeups = Wakeups(writer.connections)

    def retry(
        self, task_ids: Sequence[UUID], *, by: str | None = None, afresh: bool = False,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[bool]:
        """Run events again that have ended, now and with all their attempts; return which had.

        :param by: who wants that, for the events' timelines.
        :param afresh: forget what their handlers have saved, uploads among it, and parameters of their own: everything
            is done again, as if they were new. Else an upload that is done is not done twice.
        :param parameters: to be used from now on, with those that were set before in their place; what handlers have
            saved with others is forgotten.
        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        retried = self._writer.run(*(
            partial(transitions.retry, task_id=task_id, by=by, afresh=afresh, parameters=parameters)
            for task_id in task_ids))
        if any(retried):
            self._wakeups.send(to_all=True)
        return retried

    def cancel(self, task_ids: Sequence[UUID], *, by: str | None = None) -> list[bool]:
        """Have waiting events not run, and running ones end; return which were either.

        They end in ``500``, as ``CancelledError``: those that wait now, those that run when their worker has seen it.
        A handler in a process gets SIGTERM, and is killed five seconds later; one in a thread goes on to its next
        stage. An attempt that ends before that ends as it does.

        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        return self._writer.run(*(partial(transitions.cancel, task_id=task_id, by=by) for task_id in task_ids))

    def prune(self, older_than: float, queue: QueueName | None = None, *, limit: int = 1000) -> int:
        """Delete at most *limit* events that ended more than *older_than* seconds ago; return how many were.

        :param queue: whose events; by default those of every queue in the table.
        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        return int(self._writer.run(
            partial(transitions.prune, queue=queue, older_than=older_than, limit=limit))[0])

    def vacuum(self) -> None:
        """Make a SQLite file as small as what is in it; nobody else can write meanwhile.

        :raises peewee.OperationalError: if others use the file all the time, or the disk has no room for it once more.
        """
        def work(session: Session) -> None:
            session.execute('PRAGMA busy_timeout = 1000')  # or it would not wait for others: no transaction begins it
            session.execute('VACUUM')
            session.execute('PRAGMA wal_checkpoint(TRUNCATE)')

        self._writer.connections.writer.exclusively(work)

    def count_prunable(self, older_than: float, queue: QueueName | None = None) -> int:
        """Return how many events :meth:`prune` would delete if it were called often enough.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return self._writer.connections.read(
            lambda session: transitions.count_prunable(session, queue, older_than))

    def count_due(self, queues: Sequence[QueueName], most: int) -> int:
        """Return how many events are due in the fullest of *queues*, *most* at most.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return max(self._writer.run(*(
            partial(transitions.count_due, queue=queue, most=most) for queue in queues)), default=0)
