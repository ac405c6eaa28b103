"""What a person may do with events: the dashboard's and the command line's way to the transitions.

Events of every queue in the table, by their task ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from pacifica.dispatcher._queue.reading import read
from pacifica.dispatcher._queue.search import Filter, Search
from pacifica.dispatcher._queue.transitions import Cancel, CountDue, Prune, QueueName, Retry
from pacifica.dispatcher._queue.writer import Writer

__all__ = ['Operator']

_BATCH = 200


class Operator:
    """Runs events again, has them not run, or deletes them.

    :param writer: the way into the database.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._search = Search(writer.connections)

    def retry(self, task_ids: Sequence[UUID], *, by: str | None = None, afresh: bool = False) -> list[bool]:
        """Run events again that have ended, at once and with all their attempts; return which had.

        :param by: who wants that, for the events' timelines.
        :param afresh: forget what their handlers have saved, uploads among it: everything is done again. Else an
            upload that is done is not done twice.
        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        return self._writer.run(*(Retry(task_id, by, afresh) for task_id in task_ids))

    def cancel(self, task_ids: Sequence[UUID], *, by: str | None = None) -> list[bool]:
        """Have waiting events not run; return which were waiting. They end in ``500``, as ``CancelledError``.

        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        return self._writer.run(*(Cancel(task_id, by) for task_id in task_ids))

    def prune(self, older_than: float, queue: QueueName | None = None, *, limit: int = 1000) -> int:
        """Delete at most *limit* events that ended more than *older_than* seconds ago; return how many were.

        :param queue: whose events; by default those of every queue in the table.
        :raises DatabaseUnavailableError: if the database did not take the change.
        """
        return int(self._writer.run(Prune(queue, older_than, limit))[0])

    def count_prunable(self, older_than: float, queue: QueueName | None = None) -> int:
        """Return how many events :meth:`prune` would delete if it were called often enough.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return read(self._writer.connections, lambda session: Prune.count(session, queue, older_than))

    def count_due(self, queues: Sequence[QueueName], most: int) -> int:
        """Return how many events are due in that of *queues* in which there are most, or *most* if there are more.

        :raises DatabaseUnavailableError: if the database does not answer.
        """
        return max(self._writer.run(*(CountDue(queue, most) for queue in queues)), default=0)

    def matching(self, wanted: Filter) -> Iterator[list[UUID]]:
        """Yield the task ids of all events that *wanted* describes, newest first, in batches."""
        before = None
        while True:
            page = self._search.page(wanted, limit=_BATCH, before=before)
            if page.rows:
                yield [UUID(row['taskID']) for row in page.rows]
            if page.older is None:
                return
            before = page.older
