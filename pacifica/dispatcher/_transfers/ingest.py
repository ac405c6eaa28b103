"""Jobs of Pacifica Ingest: send a bundle, wait for its job, and do that once however often the event runs.

Sources of the format: https://pacifica-ingest.readthedocs.io/ and https://pacifica-policy.readthedocs.io/.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._transfers import cart
from pacifica.dispatcher._transfers.bundle import Bundle, fingerprint
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.service import Service, address_of, shown_url, tidy
from pacifica.dispatcher.exceptions import DownloadError, UploadError
from pacifica.dispatcher.models import File

if TYPE_CHECKING:
    from pacifica.downloader.downloader import Downloader
    from pacifica.uploader.uploader import Uploader

_LOG = logging.getLogger(__name__)
_LAST_TASK = 'ingest metadata'
#: Tasks at which a bundle that is right fails only by accident: what the metadata say is judged at the others.
_ACCIDENTS = frozenset({'UPLOADING', 'open tar', 'load metadata', 'ingest files'})
#: How it begins what the service says that refuses the metadata at a task; all else is trouble of that service.
_REFUSALS = {'Policy Validation': 'Precondition Failed', _LAST_TASK: "{'status': '4"}
#: How Ingest's HTTP client says that it reached no service, at the other tasks.
_UNREACHED = ('ConnectionPool(', 'Connection aborted')
#: Answers, or none, of something between us and an Ingest that may have begun a job.
_UNANSWERED = frozenset({None, 200, 502, 504})
#: How many answers in a row that make no sense are believed.
_BELIEVED = 3


class IngestService(Service):
    """One upload's connection with Ingest.

    ``POST /upload`` of a bundle is answered with the state of a job, before anything is checked; ``GET
    /get_state?job_id=N`` shows how the job is::

        {"job_id": 1, "state": "OK", "task": "ingest metadata", "task_percent": "100.00000", "complete": true, ...}
    """

    def __init__(self, uploader: Uploader, timeout: float, request_timeout: float) -> None:
        super().__init__(uploader.session, uploader._auth, timeout, request_timeout, 'Ingest', UploadError)
        self._upload_url, self._status_url = str(uploader._upload_url), str(uploader._status_url)
        #: Whether the last bundle was sent whole, and not answered: whether a job began is not known.
        self.unanswered = False
        #: Which Ingest this is: job ids of another one mean nothing here.
        self.name = shown_url(self._status_url)

    def submit(self, bundle: Bundle, meter: Meter, identified: bool, confirm: Callable[[], None]) -> int:
        """Send *bundle*; return the id of the job that Ingest began.

        :param identified: whether it can be looked for; then it isn't sent again while that isn't done.
        :param confirm: called before the last of it is sent, without which Ingest takes none of it; what it raises
            ends this.
        """
        meter.advanced = self.progress

        def post() -> int:
            meter.restart()
            headers = {'Content-Type': 'application/octet-stream'}
            # Once it has all, Ingest may take its time: asking again would make a second job.
            self.deadline.patience = self.deadline.remaining
            body = _BundleBody(bundle, meter, confirm)
            try:
                with self.request('POST', self._upload_url, data=body, headers=headers) as response:
                    state = self.json_of(response, dict)
            except UploadError as exc:
                # Ingest answers 500 before it has begun a job (its id service is down): as good as a 503.
                exc.transient = exc.transient or exc.status == 500
                self.unanswered = identified and body.sent and exc.transient and exc.status in _UNANSWERED
                if self.unanswered:
                    exc.transient = False  # until it has been looked for
                raise
            finally:
                self.deadline.patience = self.deadline.silence
            job_id = state.get('job_id')
            if not isinstance(job_id, int):
                raise UploadError(
                    f'POST {shown_url(self._upload_url)} was answered without a job id: whether the upload arrived is '
                    'not known', status=200, state=state)
            return job_id
        return self.retry(post)

    def settle(self, job_id: int) -> bool:
        """Wait until a job has ended, however it did; return whether there is one of that id.

        :raises UploadError: if it does not end in time.
        """
        try:
            if self.retry(lambda: self.get(self._status_url, dict, job_id=job_id)).get('complete') is not True:
                self.wait(job_id)
        except UploadError as exc:
            if exc.transient and exc.state.get('state') != 'FAILED':
                raise
            return exc.status != 404
        return True

    def wait(self, job_id: int) -> dict[str, Any]:
        """Return the state of the job when the archive has the upload.

        A change of its state is progress.

        :raises UploadError: if the job failed, vanished, is in a state that is none, or is not complete in time
            (``transient``: it may be later). If it failed because a service that Ingest needs is away, that is its
            ``service``.
        """
        state: dict[str, Any] = {}
        self.progress()  # Ingest has taken all of it just now, or is asked for the first time
        nonsense, last = 0, ''
        for _ in self.polls():
            try:
                before, state = state, self.get(self._status_url, dict, job_id=job_id)
                if state != before:
                    self.progress()
                fault = _judge(job_id, state)
                if fault is not None and _needed_another(state):
                    fault.service = f'what Ingest at {self.name} needs for {state["task"]!r}'
                if fault is None and _is_done(state):
                    return state
            except UploadError as exc:
                fault = None if exc.transient or exc.status == 500 else UploadError(
                    f'job {job_id} of Ingest can\'t be asked for: {exc}', status=exc.status, job_id=job_id, state=state)
                last = f' (the last answer: {exc})'
            nonsense = nonsense + 1 if fault else 0
            if fault is not None and (fault.state.get('state') == 'FAILED' or nonsense >= _BELIEVED):
                raise fault
        raise UploadError(
            f'job {job_id} of Ingest was not complete in {self.limit}: {_shown(state)}{last}; it may '
            'still become so', transient=True, job_id=job_id, state=state)


def _judge(job_id: int, state: dict[str, Any]) -> UploadError | None:
    """Return what is wrong with a job that is in *state*; ``None`` if it goes on, or ended well.

    ``OK`` is its state while it goes on; it ended well only if it is complete, at its last task, at 100 %.
    """
    name, task, complete = state.get('state'), state.get('task'), state.get('complete')
    if name == 'FAILED':
        return UploadError(
            f'job {job_id} of Ingest failed: {_shown(state)}: {tidy(str(state.get("exception", "")), 1500)}',
            transient=task in _ACCIDENTS or _needed_another(state), job_id=job_id, state=state)
    known = name == 'OK' and (complete is None or isinstance(complete, bool)) and state.get('job_id') == job_id
    if known and (not complete or _is_done(state)):
        return None
    return UploadError(
        f'job {job_id} of Ingest is in a state that is not known: {_shown(state)}', job_id=job_id, state=state)


def _is_done(state: Mapping[str, Any]) -> bool:
    """Return whether a job that didn't fail is at its end; one that doesn't say whether it is complete may be, too."""
    task, complete = state.get('task'), state.get('complete')
    at_end = task == _LAST_TASK or (task is None and complete is None)
    return complete in (True, None) and at_end and _is_whole(state.get('task_percent'))


def _needed_another(state: Mapping[str, Any]) -> bool:
    """Return whether a job failed because a service that Ingest needs (Policy, Metadata, the archive) didn't serve it.

    What is said then comes from whoever noticed, and differs; a refusal of the metadata always begins alike.
    """
    task, said = state.get('task'), str(state.get('exception') or '')
    if state.get('state') != 'FAILED' or not said:
        return False
    if task in _REFUSALS:
        return not said.startswith(_REFUSALS[task])
    return task in _ACCIDENTS and any(each in said for each in _UNREACHED)


def may_be_archived(state: Mapping[str, Any]) -> bool:
    """Return whether the archive may have the upload though its job failed.

    Metadata took it, the answer was lost, and Ingest asked again: then it is refused as one that is there already.
    """
    said = str(state.get('exception') or '')
    return (state.get('state'), state.get('task')) == ('FAILED', _LAST_TASK) and not said.startswith("{'status': '5")


def _is_whole(percent: Any) -> bool:
    try:
        return float(percent) >= 100
    except (TypeError, ValueError):
        return False


def _shown(state: dict[str, Any]) -> str:
    said = (f'{name} {str(state[name])[:100]!a}' for name in ('state', 'task', 'task_percent') if name in state)
    return ', '.join(said) or 'no state was seen'


class _BundleBody:
    """A bundle as the body of a request: of known length, made while it is sent, again for each try."""

    def __init__(self, bundle: Bundle, meter: Meter, confirm: Callable[[], None]) -> None:
        self._bundle, self._meter, self._confirm = bundle, meter, confirm
        self.sent = False

    def __len__(self) -> int:
        return self._bundle.length

    def __iter__(self) -> Iterator[bytes]:
        self._meter.restart()
        last = b''
        for chunk in self._bundle.chunks(self._meter.add):
            yield last
            last = chunk
        self._confirm()
        self.sent = True  # at the latest now: the last of it says what all of it is
        yield last


@dataclass(frozen=True)
class ReadBack:
    """Compares what the archive has of an upload with what was sent, byte for byte: it is Ingest that calls it done.

    Policy lists the files of a transaction, whose id is that of the job that ingested it, and a cart fetches them.

    :param policy_url: where Policy is; ``None``: where ``POLICY_ADDR`` and ``POLICY_PORT`` say, as for its clients.
    """

    downloader: Downloader
    policy_url: str | None
    request_timeout: float

    def fault(self, job_id: int, contents: str, timeout: float) -> str | None:
        """Return why the archive lacks what a complete job was sent, with the fingerprint *contents*; or ``None``."""
        url = f'{address_of(self.policy_url, "POLICY", 8181)}/status/transactions/files/{job_id}'
        api = self.downloader.cart_api
        with Service(api.session, api.auth, timeout, self.request_timeout, 'Policy', UploadError) as service:
            records = service.retry(lambda: service.get(url, dict))
            files = [File(**record) for record in records.values() if isinstance(record, dict)]
            if fingerprint(files) != contents:
                return f'its transaction has {len(files)} files, which are not those that were sent'
            return self._fetch(files, service.deadline.left) if files else None

    def _fetch(self, files: list[File], timeout: float) -> str | None:
        wanted, meter = {file.path: file for file in files}, Meter('download', len(files), None)
        try:
            with (
                tempfile.TemporaryDirectory(prefix='pacifica-') as directory,
                cart.CartService(self.downloader, timeout, self.request_timeout) as carts,
            ):
                cart.fetch(carts, wanted, meter, Path(directory, 'data'))
        except DownloadError as exc:
            if not exc.transient:
                return f'its files can\'t be read back: {exc}'
            raise UploadError(f'an upload could not be read back: {exc}', transient=True, status=exc.status) from exc
        return None
