"""Which uploads an event has made, kept with the event: so that a rerun asks for them instead of sending again.

Called by the ingest. Knows the task context's stored result; knows nothing of services.

The result's ``uploads`` is a list in the order in which the handler uploads, for it may do so more than once:
``{"service", "job_id", "contents", "attempt", "state"}``. ``contents`` is the bundle's fingerprint, ``state`` Ingest's
last word once it confirmed. The first upload of a rerun goes with the first of the list, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacifica.dispatcher.task_context import TaskContext, current_task

__all__ = ['Upload', 'Uploads']

_KEY = 'uploads'


class Uploads:
    """The uploads of one task to one service.

    :param task: ``None`` outside of a task: nothing is known then, and nothing kept.
    :param service: which service, without credentials.
    """

    def __init__(self, task: TaskContext | None, service: str) -> None:
        self._task, self._service = task, service

    @classmethod
    def of_current_task(cls, service: str) -> Uploads:
        """Return the uploads of the task that the caller runs in."""
        return cls(current_task(), service)

    def next(self) -> Upload:
        """Return the upload that this attempt has come to: one of an earlier attempt, or a new one."""
        for position, kept in enumerate(self._kept()):
            if kept.get('service') == self._service and self._task and kept.get('attempt') != self._task.attempt:
                upload = Upload(self, position, kept.get('job_id'), kept.get('contents'), kept.get('state'))
                upload.save()
                return upload
        return Upload(self, len(self._kept()), None, None, None)

    def _kept(self) -> list[dict[str, Any]]:
        kept = self._task.result.get(_KEY) if self._task else None
        return [dict(item) for item in kept if isinstance(item, Mapping)] if isinstance(kept, list) else []

    def save(self, upload: Upload) -> None:
        """Store *upload* with the event."""
        if self._task is None:
            return
        kept = self._kept()
        kept[upload.position:upload.position + 1] = [{
            'service': self._service, 'job_id': upload.job_id, 'contents': upload.contents,
            'attempt': self._task.attempt, 'state': upload.state,
        }]
        self._task.save_result(**{_KEY: kept})


class Upload:
    """One upload: the job that it is, if one was begun, and Ingest's last word, if it was confirmed."""

    def __init__(self, uploads: Uploads, position: int, job_id: Any, contents: Any, state: Any) -> None:
        self._uploads, self.position = uploads, position
        self.job_id: int | None = job_id if isinstance(job_id, int) else None
        self.contents = str(contents or '')
        self.state: dict[str, Any] | None = state if isinstance(state, dict) else None

    def save(self) -> None:
        """Store it as it is."""
        self._uploads.save(self)

    def began(self, job_id: int, contents: str) -> None:
        """Store that a job was begun, before anything else is done."""
        self.job_id, self.contents, self.state = job_id, contents, None
        self.save()

    def forget(self) -> None:
        """Store that the job is as if it had never been."""
        self.job_id = self.state = None
        self.save()

    def confirm(self, state: dict[str, Any]) -> dict[str, Any]:
        """Store that Ingest confirmed the job; return *state*."""
        self.state = state
        self.save()
        return state
