"""What a running handler may know of the task that runs it.

Set by the engine around every handler call, in a context variable: threads, ``asyncio`` tasks and
``contextvars.copy_context()`` all see their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

__all__ = ['TaskContext', 'current_task']


def _keep_in_memory(result: Mapping[str, Any]) -> None:
    """Do nothing more: without a queue the result lives in the context alone."""


@dataclass
class TaskContext:
    """One attempt at one accepted event.

    :param task_id: the id that ``POST /receive`` answered.
    :param attempt: 1 for the first run, counted up by each run after a retry or a lost worker.
    :param result: what was saved with :meth:`save_result`, by this attempt or an earlier one.
    :param save: stores the result durably with the event; given by the engine.
    """

    task_id: UUID
    attempt: int = 1
    result: dict[str, Any] = field(default_factory=dict)
    save: Callable[[Mapping[str, Any]], None] = _keep_in_memory

    def save_result(self, **items: Any) -> None:
        """Store *items* (JSON values) with the event, committed when this returns.

        A later attempt finds them in :attr:`result`; ``/get`` shows them.

        :raises LeaseLostError: if this worker no longer holds the event.
        """
        merged = {**self.result, **items}
        self.save(merged)
        self.result = merged


_CURRENT: ContextVar[TaskContext | None] = ContextVar('pacifica.dispatcher.task', default=None)


def current_task() -> TaskContext | None:
    """Return the task that the caller runs in, or ``None`` outside of one (a unit test, a script)."""
    return _CURRENT.get()


@contextmanager
def task_context(task: TaskContext) -> Iterator[TaskContext]:
    """Make *task* the current one inside the ``with`` block."""
    token = _CURRENT.set(task)
    try:
        yield task
    finally:
        _CURRENT.reset(token)
