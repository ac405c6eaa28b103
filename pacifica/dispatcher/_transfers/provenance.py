"""The key-values that say where an upload comes from, added to those that a handler gives it."""

from __future__ import annotations

from collections.abc import Iterable

from pacifica.dispatcher._lineage import is_lineage
from pacifica.dispatcher.models import TransactionKeyValue
from pacifica.dispatcher.task_context import current_task

__all__ = ['with_provenance']


def with_provenance(key_values: Iterable[TransactionKeyValue] | None) -> list[TransactionKeyValue]:
    """Return *key_values* with those of the running task, if one runs, in the place of any that were copied.

    A handler that gives its upload the key-values of its event has copied where that event came from. Calling this
    again changes nothing.
    """
    given = list(key_values or ())
    task = current_task()
    if task is None or not task.provenance:
        return given
    own = [TransactionKeyValue(key=key, value=value) for key, value in task.provenance.items()]
    return [*own, *(pair for pair in given if not is_lineage(pair.key))]
