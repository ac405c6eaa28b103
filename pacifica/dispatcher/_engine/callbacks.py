"""The user's ``on_finished`` and ``on_failed``, as observers."""

from __future__ import annotations

from pacifica.dispatcher._engine.observers import Observer
from pacifica.dispatcher.hooks import Callback, FinishedTask

__all__ = ['Callbacks']


class Callbacks(Observer):
    """Calls a function with each event that has ended.

    :param function: the user's.
    :param only_failed: whether events that ended in ``200 OK`` are left out.
    """

    def __init__(self, function: Callback, *, only_failed: bool = False) -> None:
        self._function = function
        self._only_failed = only_failed

    def task_ended(self, task: FinishedTask) -> None:
        """Call the function, unless it is not to be told of this one."""
        if self._only_failed and not task.failed:
            return
        try:
            self._function(task)
        except SystemExit as exc:  # would end the thread that handles events, and nothing would say so
            raise RuntimeError(f'a callback may not end the process: SystemExit({exc.code!r})') from exc
