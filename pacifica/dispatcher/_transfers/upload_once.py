"""An upload that happens once, however often its event runs and whichever answer is lost.

What is about to be sent is stored with the event first, under an id that the bundle carries in its key-values. If the
answer of Ingest never came, or the worker died before it was stored, Metadata knows the transaction by that id: it is
also the id of the job. Ingest may still be working on it, so jobs that were begun since are waited for before it counts
as never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from pacifica.dispatcher._lineage import SOURCE_KEY, UPLOAD_KEY
from pacifica.dispatcher._transfers.bundle import Bundle, fingerprint
from pacifica.dispatcher._transfers.ingest import IngestService, ReadBack, may_be_archived
from pacifica.dispatcher._transfers.metadata import Metadata, UnreadableTransactionError
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.uploads import Upload, next_upload
from pacifica.dispatcher.exceptions import TransferError, UploadError
from pacifica.dispatcher.models import File

_LOG = logging.getLogger(__name__)
#: So many ids in a row without a job are taken for the end: an id that was given out may have none.
_GAP = 20
#: Seconds that Ingest may take to begin the job of a bundle that it has.
_BEGIN = 2.0
#: How far back transactions are listed, to know which ids were given out before the upload.
_BACK, _MARGIN = timedelta(days=1), timedelta(seconds=5)
_ARCHIVED = {'state': 'OK', 'task': 'ingest metadata', 'task_percent': '100.00000', 'complete': True}


@dataclass
class UploadOnce:
    """One upload of the running task.

    :param metadata: where an upload whose answer was lost is looked for.
    """

    service: IngestService
    bundle: Bundle
    meter: Meter
    metadata: Metadata
    read_back: ReadBack | None = None

    def __call__(self) -> tuple[int, dict[str, Any]]:
        """Return the job that has the bundle in the archive, and its last state: of an earlier run if there is one.

        :raises TransferError: if Ingest doesn't confirm it, or, where it has to be looked for, Metadata fails.
        """
        upload = next_upload(self.service.name)
        if upload.intent is not None:
            self._look_for(upload)
        if upload.job_id is not None:
            if upload.state is not None:
                return upload.job_id, upload.state
            try:
                return self._confirmed(upload, upload.job_id)
            except TransferError as exc:
                failed = isinstance(exc, UploadError) and exc.state.get('state') == 'FAILED'
                if not failed and exc.status != 404:
                    raise
                _LOG.warning('upload.sent_again', extra={'job_id': upload.job_id, 'error': str(exc)})
        return self._send(upload)

    def _send(self, upload: Upload) -> tuple[int, dict[str, Any]]:
        upload.require_mine()
        identifier = upload.intend()
        if identifier is not None:
            self.bundle.add_key_value(UPLOAD_KEY, identifier)
        while upload.job_id is None:
            try:
                job_id = self.service.submit(self.bundle, self.meter, identifier is not None, upload.require_mine)
                upload.save(job_id, self.bundle.contents)
            except TransferError:
                if not self.service.unanswered:
                    upload.forget()
                    raise
                self.service.deadline.sleep(_BEGIN)
                self._look_for(upload)
        return self._confirmed(upload, upload.job_id)

    def _confirmed(self, upload: Upload, job_id: int) -> tuple[int, dict[str, Any]]:
        state = upload.state or self._ended(upload, job_id)
        if self.read_back and (fault := self.read_back.fault(job_id, upload.contents, self.service.deadline.left)):
            upload.forget()
            raise UploadError(
                f'job {job_id} of Ingest is complete, but {fault}', transient=True, job_id=job_id, state=state)
        upload.save(job_id, upload.contents, state)
        return job_id, state

    @contextmanager
    def _taking_long(self) -> Iterator[None]:
        """Make it a service's fault, for which the event waits, that it isn't known in time how a job ended.

        Ingest works on one job after the other: behind a large one, or with many before it, a job waits for long.
        """
        try:
            yield
        except TransferError as exc:
            failed = isinstance(exc, UploadError) and exc.state.get('state') == 'FAILED'
            if exc.transient and not failed and exc.service is None:
                exc.service = self.service.name if isinstance(exc, UploadError) else self.metadata.url
            raise

    def _ended(self, upload: Upload, job_id: int) -> dict[str, Any]:
        """Wait for the job; return its last state, or one that tells of what the archive has though the job failed."""
        try:
            with self._taking_long():
                return self.service.wait(job_id)
        except UploadError as exc:
            if not (may_be_archived(exc.state) and self._is_archived(job_id, upload.contents)):
                raise
            _LOG.warning('upload.found', extra={'job_id': job_id, 'error': str(exc)})
            return {'job_id': job_id, **_ARCHIVED}

    def _is_archived(self, job_id: int, contents: str) -> bool:
        try:
            return self._contents_of(job_id) == contents
        except UnreadableTransactionError:
            return False

    def _look_for(self, upload: Upload) -> None:
        """Find the job of an upload that was sent, perhaps, by its id; leave ``job_id`` empty if there is none."""
        assert upload.intent is not None
        identifier, begun = upload.intent['upload'], datetime.fromisoformat(upload.intent['begun'])
        with self._taking_long():
            found = self.metadata.transactions_with(UPLOAD_KEY, identifier)
            if not found:
                self._wait_for_jobs(upload, begun)
                found = self.metadata.transactions_with(UPLOAD_KEY, identifier)
        if not found:
            _LOG.warning('upload.not_found', extra={'upload': identifier})
            return
        contents = self._contents_of(found[0])
        for _ in self.bundle.chunks():
            pass  # hashes the files
        differs = contents != self.bundle.contents
        _LOG.warning('upload.found', extra={'upload': identifier, 'job_id': found[0], 'differs': differs})
        upload.save(found[0], contents, {'job_id': found[0], **_ARCHIVED})

    def _contents_of(self, transaction: int) -> str:
        rows = self.metadata.event_of(transaction)['data']
        return fingerprint(File(**row) for row in rows if row['destinationTable'] == 'Files')

    def _wait_for_jobs(self, upload: Upload, begun: datetime) -> None:
        """Wait until no job is at work that may be the upload's: ids grow, so it is above all that were there before.

        A transaction's time is later than its job's begin, and never before its id was given out.
        """
        skew = self.metadata.now() - datetime.now(timezone.utc).replace(tzinfo=None)
        moment = begun.astimezone(timezone.utc).replace(tzinfo=None) + skew - _MARGIN
        known = {number: at for page in self.metadata.pages(moment - _BACK) for number, at in page.items()}
        own = upload.task.provenance.get(SOURCE_KEY) if upload.task else None
        lowest = int(str(own)) if str(own).isdecimal() else 0
        job_id = max([lowest, *(number for number, at in known.items() if at < moment)])
        newest, nothing = max(known, default=0), 0
        while job_id < newest or nothing < _GAP:
            job_id += 1
            there = job_id in known or self.service.settle(job_id)
            nothing = 0 if there else nothing + 1
