"""The runners of the archive's services in a routes file, whose clients are made when they are needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._transfers.progress import DEFAULT_TIMEOUT
from pacifica.dispatcher.downloader_runners import DownloaderRunner, Opener, RemoteDownloaderRunner
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner, UploaderRunner

if TYPE_CHECKING:
    from pacifica.uploader.bundler.bundler import Bundler


class CartdRunner(DownloaderRunner):
    """A :class:`RemoteDownloaderRunner` whose client, which loads an HTTP client, is made at the first download.

    :param url: where Cartd is; ``None`` for where its client's environment says.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url

    @cached_property
    def _runner(self) -> RemoteDownloaderRunner:
        from pacifica.downloader.downloader import Downloader

        return RemoteDownloaderRunner(Downloader(**({} if self._url is None else {'cart_api_url': self._url})))

    def input_directory(self, basedir_name: str) -> Path:
        return self._runner.input_directory(basedir_name)

    def download(
        self, basedir_name: str, files: list[File] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> list[Opener]:
        return self._runner.download(basedir_name, files, timeout)


class IngestRunner(UploaderRunner):
    """A :class:`RemoteUploaderRunner`, likewise.

    :param url: where Ingest is; ``None`` for where its client's environment says.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url

    @cached_property
    def _runner(self) -> RemoteUploaderRunner:
        from pacifica.uploader.uploader import Uploader

        urls = {} if self._url is None else {
            'upload_url': f'{self._url}/upload', 'status_url': f'{self._url}/get_state'}
        return RemoteUploaderRunner(Uploader(**urls))

    def upload(
        self, basedir_name: str, transaction: Transaction | None = None,
        transaction_key_values: list[TransactionKeyValue] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> tuple[Bundler, int | None, dict[str, Any]]:
        return self._runner.upload(basedir_name, transaction, transaction_key_values, timeout)
