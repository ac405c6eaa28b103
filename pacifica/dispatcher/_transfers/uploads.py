"""What the running task has to do with its uploads: where they come from, and which it made before.

Both are kept in the task's context. An upload says in its key-values which transaction and routes it comes from. And
each upload is kept with the event, so that a rerun asks for its job instead of sending again: the result's ``uploads``
is a list in the order in which the handler uploads, for it may do so more than once:
``{"service", "job_id", "contents", "attempt", "state"}``. ``contents`` is the bundle's fingerprint, ``state`` Ingest's
last word once it confirmed. The first upload of a rerun goes with the first of the list, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pacifica.dispatcher._lineage import is_lineage
from pacifica.dispatcher.models import TransactionKeyValue
from pacifica.dispatcher.task_context import TaskContext, current_task

__all__ = ['Upload', 'next_upload', 'with_provenance']

_KEY = 'uploads'


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


class Upload:
    """One upload of the running task.

    :param task: ``None`` outside of a task: then nothing is kept.
    :param service: which service, without credentials.
    :param position: in the list.
    :param kept: what is known from an earlier attempt.

    ``job_id`` is the id of its job, if one was begun; ``state`` Ingest's last word, if it was confirmed.
    """

    def __init__(self, task: TaskContext | None, service: str, position: int, kept: Mapping[str, Any]) -> None:
        self._task, self._service, self._position = task, service, position
        job_id, state = kept.get('job_id'), kept.get('state')
        self.job_id: int | None = job_id if isinstance(job_id, int) else None
        self.contents = str(kept.get('contents') or '')
        self.state: dict[str, Any] | None = state if isinstance(state, dict) else None

    def save(self) -> None:
        """Store it with the event."""
        if self._task is None:
            return
        uploads = _kept(self._task)
        uploads[self._position:self._position + 1] = [{
            'service': self._service, 'job_id': self.job_id, 'contents': self.contents, 'attempt': self._task.attempt,
            'state': self.state,
        }]
        self._task.save_result(**{_KEY: uploads})

    def began(self, job_id: int, contents: str) -> None:
        """Store that a job was begun, before anything else is done."""
        self.job_id, self.contents, self.state = job_id, contents, None
        self.save()

    def forget(self) -> None:
        """Store that no job was begun."""
        self.job_id = self.state = None
        self.save()

    def confirm(self, state: dict[str, Any]) -> dict[str, Any]:
        """Store that Ingest confirmed the job; return *state*."""
        self.state = state
        self.save()
        return state


def next_upload(service: str) -> Upload:
    """Return the upload to *service* that this attempt has come to: one of an earlier attempt, or a new one."""
    task = current_task()
    uploads = _kept(task) if task else []
    for position, kept in enumerate(uploads):
        if task and kept.get('service') == service and kept.get('attempt') != task.attempt:
            upload = Upload(task, service, position, kept)
            upload.save()
            return upload
    return Upload(task, service, len(uploads), {})


def _kept(task: TaskContext) -> list[dict[str, Any]]:
    uploads = task.result.get(_KEY)
    return [dict(item) for item in uploads if isinstance(item, Mapping)] if isinstance(uploads, list) else []
