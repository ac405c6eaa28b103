"""The handler between a download and an upload: stage in, handle, stage out, clean up.

A handler wrapped in :class:`StagedEventHandler` gets a :class:`StagedEvent`: the event, and with it the files that it
names, a place for results, and the transaction of their upload. It needs to know nothing of services, and can be tested
without any: see :meth:`StagedEvent.for_test`.
"""

# Imports neither pacifica.downloader nor pacifica.uploader, which load an HTTP client: the router imports this module.
from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from cloudevents.model import Event

from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher._patterns import Patterns
from pacifica.dispatcher._staged_event import PROVENANCE_KEY, StagedEvent
from pacifica.dispatcher._transfers.files import Opener, distinct
from pacifica.dispatcher._transfers.kept import downloading_into, keeping
from pacifica.dispatcher._transfers.progress import DEFAULT_TIMEOUT, IdleTimeout
from pacifica.dispatcher._transfers.tree import measure, remove
from pacifica.dispatcher._transfers.uploads import with_provenance
from pacifica.dispatcher.downloader_runners import DownloaderRunner
from pacifica.dispatcher.exceptions import RetryLater
from pacifica.dispatcher.models import File, TransactionKeyValue
from pacifica.dispatcher.task_context import current_task, stage
from pacifica.dispatcher.uploader_runners import UploaderRunner

__all__ = ['PROVENANCE_KEY', 'IdleTimeout', 'StagedEvent', 'StagedEventHandler']

_LOG = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class StagedEventHandler(EventHandler):
    """Fetches an event's files, lets *event_handler* work on them, and uploads what it made.

    An event without files is handled without a download, and a handler that made no file and left the transaction and
    its key-values as they were causes no upload. Whatever fails, the temporary directories are removed.

    :param downloader_runner: fetches the files; ``None`` for handlers that need none (``event.files`` lists them).
    :param event_handler: its ``handle`` gets a :class:`StagedEvent`.
    :param uploader_runner: sends what the handler made; ``None`` for handlers that make nothing to be uploaded.
    :param keep_failed: keep the directories of an event that failed, and say where in the log
        (``staging.kept``): ``True`` in the directory for temporary files, a path in that directory.
    :param download_timeout: seconds that the download may go on without progress, if it is an :class:`IdleTimeout` as
        the default of 180; a plain number limits all of it.
    :param upload_timeout: the same for the upload, until the archive has confirmed it.
    :param directory: where the temporary directories are made; the system's default if ``None``. Results may be large.
    :param keep_downloads: bytes of files that lie in that directory for the next attempts at events whose attempt was
        cut off, in ``.pacifica-kept-…``, until the event has ended or for a day; ``0`` keeps none. They are of all
        events together, and compared with the event again before they are used.
    :param stage_in: which of the files are fetched, as patterns of ``.gitignore``: ``*.csv`` is at any depth,
        ``raw/**`` all below ``raw``; ``None`` for all of them. ``event.fetch()`` gets another.
    :param key_values: key-values of each upload, texts, to which the handler may add.
    :param previews: which of the files that the handler made are kept as images to be looked at, as patterns of
        ``.gitignore``: ``*.png``; the first five in the order of their paths. See :meth:`StagedEvent.preview`.
    :raises ConfigurationError: for a pattern that can't be.
    """

    downloader_runner: DownloaderRunner | None
    event_handler: EventHandler
    uploader_runner: UploaderRunner | None
    _: KW_ONLY
    keep_failed: bool | str | os.PathLike[str] = False
    download_timeout: float = DEFAULT_TIMEOUT
    upload_timeout: float = DEFAULT_TIMEOUT
    directory: str | os.PathLike[str] | None = None
    keep_downloads: int = 10 << 30
    stage_in: Sequence[str] | None = None
    key_values: Mapping[str, str] | None = None
    previews: Sequence[str] | None = None

    #: Whether the directories of every event are left: for who runs one to look at them.
    leaves = False

    def __post_init__(self) -> None:
        self._wanted = None if self.stage_in is None else Patterns(self.stage_in)
        self._previews = None if self.previews is None else Patterns(self.previews)

    def handle(self, event: Event) -> None:
        """Stage in, handle, stage out.

        :raises StagingError: if the files can't be fetched or the upload is not confirmed.
        :raises UnsafePathError: if the event names a file that can be in no directory.
        :raises Exception: what the inner handler raised, as it is.
        """
        files = distinct(File.from_cloudevents_model(event))
        wanted = [file for file in files if self._wanted is None or self._wanted.match(file.path)]
        most = self.keep_downloads if self.downloader_runner is not None else 0
        with self._directories(event) as root, keeping(root.parent, wanted, most) as kept:
            with downloading_into(kept):
                staged = self._stage_in(event, root, files, wanted)
            given = _description(staged)
            with stage('handle'):
                self.event_handler.handle(staged)
            if self._previews is not None:
                staged._gallery.keep_matching(self._previews)
            self._stage_out(staged, _description(staged) != given)

    def _stage_in(self, event: Event, root: Path, files: list[File], wanted: list[File]) -> StagedEvent:
        # The names that programs expect: see CommandEventHandler.
        target, output = root / 'download', root / 'output'
        target.mkdir()
        output.mkdir()
        runner = self.downloader_runner
        if runner is None or not files:
            staged = StagedEvent(event, target, output, files)
        else:
            staged = StagedEvent(
                event, runner.input_directory(str(target)), output, files,
                self._download(runner, event, target, wanted) if wanted else (),
                lambda further: self._download(runner, event, target, further))
            staged.input_directory.mkdir(parents=True, exist_ok=True)
        for key, value in (self.key_values or {}).items():
            staged.key_values.append(TransactionKeyValue(key=key, value=value))
        return staged

    def _download(self, runner: DownloaderRunner, event: Event, target: Path, files: list[File]) -> Sequence[Opener]:
        sizes = [file.size for file in files if isinstance(file.size, int)]
        with stage('download', files=len(files), bytes=sum(sizes)) as done:
            openers = runner.download(str(target), files, timeout=self.download_timeout)
        _LOG.info('staging.downloaded', extra={
            'event_id': event.event_id, 'files': len(files), 'seconds': round(done.seconds, 3)})
        return openers

    def _stage_out(self, staged: StagedEvent, described: bool) -> None:
        """Upload what the handler made.

        :param described: whether it has described the upload, which then is one also without a file.
        """
        files, size = measure(staged.output_directory)
        if not files and not described:
            _LOG.info('staging.nothing_to_upload', extra={'event_id': staged.event_id})
            return
        if self.uploader_runner is None:
            _LOG.warning('staging.output_not_uploaded', extra={'event_id': staged.event_id})
            return
        with stage('upload', files=files, bytes=size) as done:
            _, job_id, _ = self.uploader_runner.upload(
                str(staged.output_directory), staged.transaction, with_provenance(staged.key_values),
                timeout=self.upload_timeout)
            done.job_id = job_id
        _LOG.info('staging.uploaded', extra={
            'event_id': staged.event_id, 'job_id': job_id, 'seconds': round(done.seconds, 3)})

    @contextmanager
    def _directories(self, event: Event) -> Iterator[Path]:
        """Make a directory for one event and remove it afterwards, or keep it if that is wanted."""
        root = Path(tempfile.mkdtemp(prefix='pacifica-', dir=self.directory)).resolve()
        if not self.keep_failed and (task := current_task()):
            task.tell('directory', str(root))
        try:
            yield root
        except BaseException as exc:
            # A handler that wants its event again, or is being stopped (KeyboardInterrupt), has not failed.
            if self.keep_failed and isinstance(exc, Exception) and not isinstance(exc, RetryLater):
                self._keep(root, event)
            else:
                self._remove(root, event)
            raise
        self._remove(root, event)

    def _keep(self, root: Path, event: Event) -> None:
        kept = root
        if not isinstance(self.keep_failed, bool):
            try:
                directory = Path(self.keep_failed).absolute()
                directory.mkdir(parents=True, exist_ok=True)
                kept = Path(shutil.move(root, directory / root.name))
            except OSError:
                _LOG.exception('staging.not_moved', extra={'event_id': event.event_id, 'directory': str(root)})
        task = current_task()
        _LOG.warning('staging.kept', extra={
            'event_id': event.event_id, 'task_id': str(task.task_id) if task else None, 'directory': str(kept)})

    def _remove(self, root: Path, event: Event) -> None:
        if self.leaves:
            return
        try:
            remove(root)
        except OSError as exc:
            _LOG.error('staging.not_removed', extra={
                'event_id': event.event_id, 'directory': str(root), 'error': str(exc)})


def _description(staged: StagedEvent) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    """Return what the upload of *staged* would be said to be."""
    return dict(vars(staged.transaction)), [(pair.key, pair.value) for pair in staged.key_values]
