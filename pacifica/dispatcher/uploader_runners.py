"""Runners that bundle the files under a directory, and send the bundle to a Pacifica Ingest service or keep it.

A runner is made once and serves many events, in several threads.
"""

# pacifica.uploader is imported for type hints only, and what builds on it inside the functions that need it:
# the router imports this module by way of staging, and must load no HTTP client.
from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pacifica.dispatcher._transfers.progress import DEFAULT_TIMEOUT, IdleTimeout, Meter, Progress, ProgressCallback
from pacifica.dispatcher.models import Transaction, TransactionKeyValue

if TYPE_CHECKING:
    from pacifica.downloader.downloader import Downloader
    from pacifica.uploader.bundler.bundler import Bundler
    from pacifica.uploader.uploader import Uploader

__all__ = ['IdleTimeout', 'LocalUploaderRunner', 'Progress', 'RemoteUploaderRunner', 'UploaderRunner']


class UploaderRunner(ABC):
    """Bundles the files under a directory and delivers the bundle."""

    @abstractmethod
    def upload(
        self, basedir_name: str, transaction: Transaction | None = None,
        transaction_key_values: list[TransactionKeyValue] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> tuple[Bundler, int | None, dict[str, Any]]:
        """Upload every file under *basedir_name*, each as ``data/<path in the directory>``.

        :param transaction: submitter, instrument and project of the upload, none of which may be missing. ``None`` with
            key-values sends these alone, which Ingest may refuse.
        :param transaction_key_values: its key-values.
        :param timeout: wall-clock seconds for all of it; an :class:`IdleTimeout`, as the default is one, ends it after
            so many seconds without progress instead: no byte was sent, and the state of Ingest's job didn't change.
        :returns: the bundle, which can be written to a file with ``bundle.stream(file)`` while the directory is there;
            the id of Ingest's job, a number; and Ingest's last word on it. ``None`` and ``{}`` where no Ingest is.
        :raises TransactionDuplicateAttributeError: if *transaction* has an ``_id``: Ingest gives each upload a new one.
        :raises ValueError: if *transaction* or a key-value is incomplete, or a key or value has more than 255
            characters; nothing was sent.
        :raises StagingError: if something in the directory can't be sent, or changes meanwhile, or has a path that the
            archive can't keep: a directory of more than 255 characters, a name that is no UTF-8; names it.
        :raises UploadError: if Ingest doesn't confirm the upload.
        """


class LocalUploaderRunner(UploaderRunner):
    """Makes the bundle without sending it: for tests, and to look at what would be sent.

    :param directory: where each upload leaves its bundle, as ``bundle-<UTC time>-<random>.tar`` (the returned bundler's
        ``path`` says which); ``None`` writes nothing.
    :param progress: called with how far writing a bundle has come; see :class:`Progress`.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, progress: ProgressCallback | None = None,
    ) -> None:
        self.directory = directory
        self.progress = progress

    def upload(
        self, basedir_name: str, transaction: Transaction | None = None,
        transaction_key_values: list[TransactionKeyValue] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> tuple[Bundler, int | None, dict[str, Any]]:
        """Bundle the files; see :meth:`UploaderRunner.upload`. *timeout* is not needed."""
        from pacifica.dispatcher._transfers import bundle as bundles  # loads an HTTP client: see the top

        bundle = bundles.Bundle(Path(basedir_name), bundles.describe_upload(transaction, transaction_key_values))
        if self.directory is not None:
            bundle.path = self._write(bundle, Path(self.directory))
        return bundle, None, {}

    def _write(self, bundle: Any, directory: Path) -> Path:
        meter = Meter('upload', len(bundle.entries), bundle.files_size, self.progress)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f'bundle-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}.tar'
        partial = path.with_suffix('.tar.part')
        try:
            with partial.open('xb') as stream:
                for chunk in bundle.chunks(meter.add):
                    stream.write(chunk)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return path


@dataclass(eq=False, repr=False)
class RemoteUploaderRunner(UploaderRunner):
    """Sends the bundle to a Pacifica Ingest service and waits until the archive has it.

    An upload counts as done only when Ingest says that the whole job is complete. Transient faults (no connection, 502
    to 504, one bad answer) are tried again within the timeout.

    Inside a task of the queue, the upload is stored with the event before its first byte is sent, and the id of
    Ingest's job before the job is waited for. When the event runs again, its upload asks for that job, and sends anew
    only if the job failed or never was; where the id isn't known, Metadata is asked for the transaction.

    :param uploader: says where Ingest is and how to authenticate; its session's settings are used.
    :param progress: called with how far each upload has come; see :class:`Progress`.
    :param request_timeout: seconds that Ingest may stay silent in one request, and accept no byte of an upload.
    :param read_back: fetches each upload back from the archive and compares it, for an archive that confirms too
        early; takes about as long as the upload. What differs is an error, and a rerun sends it again.
    :param policy_url: where the Policy service is, which lists what is to be read back; by default where the
        environment says (``POLICY_ADDR``, ``POLICY_PORT``), else on this machine.
    :param metadata_url: where the Metadata service is, which is asked for an upload whose answer was lost; by default
        where the environment says (``METADATA_ADDR``, ``METADATA_PORT``), else on this machine, port 8121.
    """

    uploader: Uploader
    _: KW_ONLY
    progress: ProgressCallback | None = None
    request_timeout: float = 30
    read_back: Downloader | None = None
    policy_url: str | None = None
    metadata_url: str | None = None

    def upload(
        self, basedir_name: str, transaction: Transaction | None = None,
        transaction_key_values: list[TransactionKeyValue] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> tuple[Bundler, int | None, dict[str, Any]]:
        """Send the bundle and wait for Ingest; see :meth:`UploaderRunner.upload`."""
        from pacifica.dispatcher._transfers import bundle as bundles  # all load an HTTP client: see the top
        from pacifica.dispatcher._transfers import ingest
        from pacifica.dispatcher._transfers.metadata import Metadata
        from pacifica.dispatcher._transfers.service import address_of
        from pacifica.dispatcher._transfers.upload_once import UploadOnce

        bundle = bundles.Bundle(Path(basedir_name), bundles.describe_upload(transaction, transaction_key_values))
        meter = Meter('upload', len(bundle.entries), bundle.files_size, self.progress)
        read_back = ingest.ReadBack(self.read_back, self.policy_url, self.request_timeout) if self.read_back else None
        metadata = Metadata(address_of(self.metadata_url, 'METADATA', 8121), self.request_timeout)
        with ingest.IngestService(self.uploader, timeout, self.request_timeout) as service:
            job_id, state = UploadOnce(service, bundle, meter, metadata, read_back)()
        return bundle, job_id, state
