"""What the running task has to do with its uploads: where they come from, and which it made before.

The result's ``uploads`` is a list in the order in which the handler uploads: ``{"service", "job_id", "contents",
"attempt", "run", "state"}``. ``service`` says which it is, without credentials; ``contents`` is the bundle's
fingerprint; ``state`` Ingest's last word once it confirmed. Before the first byte is sent, ``job_id`` is ``null``, and
``upload`` and ``begun`` are there: the id by which the archive knows the upload, and when that was. A rerun's first
upload asks for the first job of the list, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from pacifica.dispatcher._lineage import is_lineage
from pacifica.dispatcher.exceptions import LeaseLostError
from pacifica.dispatcher.models import TransactionKeyValue
from pacifica.dispatcher.task_context import TaskContext, current_task

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


@dataclass
class Upload:
    """One upload of the running task, at its position in the list; outside of a task nothing is kept."""

    task: TaskContext | None
    service: str
    position: int
    job_id: int | None = None
    contents: str = ''
    state: dict[str, Any] | None = None
    intent: dict[str, str] | None = None

    def intend(self) -> str | None:
        """Store that it is about to be sent; return the id that it is to carry, ``None`` outside of a task."""
        if self.task is None:
            return None
        self.intent = {'upload': uuid4().hex, 'begun': datetime.now(timezone.utc).isoformat()}
        self.save(None, '')
        return self.intent['upload']

    def require_mine(self) -> None:
        """Keep the event for another lease, so that nobody else uploads its result meanwhile.

        :raises LeaseLostError: if another may be running it: then nothing more is to be sent.
        :raises DatabaseUnavailableError: if the database doesn't answer.
        """
        if self.task is not None and not self.task.still_mine():
            raise LeaseLostError(f'task {self.task.task_id}: its lease is over, so that its result is not uploaded')

    def forget(self) -> None:
        """Store that it was not sent, or is to be sent anew."""
        self.intent = None
        self.save(None, '')

    def save(self, job_id: int | None, contents: str, state: dict[str, Any] | None = None) -> None:
        """Store how it is with the event, before anything else is done."""
        self.job_id, self.contents, self.state = job_id, contents, state
        if job_id is not None:
            self.intent = None
        if self.task is None:
            return
        uploads = _kept(self.task)
        uploads[self.position:self.position + 1] = [{
            'service': self.service, 'job_id': job_id, 'contents': contents, **_run(self.task), 'state': state,
            **(self.intent or {}),
        }]
        self.task.save_result(**{_KEY: uploads})


def next_upload(service: str) -> Upload:
    """Return the upload to *service* that this attempt has come to: one of an earlier attempt, or a new one."""
    task = current_task()
    uploads = _kept(task) if task else []
    for position, kept in enumerate(uploads):
        if task and kept.get('service') == service and not _run(task).items() <= kept.items():
            job_id, state = kept.get('job_id'), kept.get('state')
            upload = Upload(task, service, position)
            if isinstance(kept.get('upload'), str) and isinstance(kept.get('begun'), str):
                upload.intent = {name: kept[name] for name in ('upload', 'begun')}
            upload.save(
                job_id if isinstance(job_id, int) else None, str(kept.get('contents') or ''),
                state if isinstance(state, dict) else None)
            return upload
    return Upload(task, service, len(uploads))


def _run(task: TaskContext) -> dict[str, Any]:
    """Return which run this is: attempts that aren't counted have the same number."""
    return {'attempt': task.attempt, **({'run': task.run_id} if task.run_id else {})}


def _kept(task: TaskContext) -> list[dict[str, Any]]:
    uploads = task.result.get(_KEY)
    return [dict(item) for item in uploads if isinstance(item, Mapping)] if isinstance(uploads, list) else []
