"""Runners that put the files of an event into a directory: of a local directory, or of a Pacifica Cartd service.

A runner is made once and serves many events, in several threads.
"""

# pacifica.downloader is imported for type hints only, and what speaks HTTP inside the function that needs it:
# the router imports this module by way of staging, and must load no HTTP client.
from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pacifica.dispatcher._paths import claim_path
from pacifica.dispatcher._transfers import files as staged
from pacifica.dispatcher._transfers.files import Opener
from pacifica.dispatcher._transfers.progress import DEFAULT_TIMEOUT, IdleTimeout, Meter, Progress, ProgressCallback
from pacifica.dispatcher.exceptions import DownloadError
from pacifica.dispatcher.models import File

if TYPE_CHECKING:
    from pacifica.downloader.downloader import Downloader

__all__ = [
    'DownloaderRunner', 'IdleTimeout', 'LocalDownloaderRunner', 'Opener', 'Progress', 'RemoteDownloaderRunner',
]


class DownloaderRunner(ABC):
    """Puts files into a directory and returns what opens them."""

    @abstractmethod
    def download(
        self, basedir_name: str, files: list[File] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> list[Opener]:
        """Put *files* into the directory *basedir_name*.

        :param files: what is wanted; at least one. Two of one path, size and hash are one file.
        :param timeout: wall-clock seconds for all of it; an :class:`IdleTimeout`, as the default is one, ends it after
            so many seconds without progress instead, however long all of it takes.
        :returns: a function for each of *files*, in their order, that opens it for reading: text in the encoding that
            the event names (else UTF-8) with ends of lines as they are; ``mode='rb'``, ``encoding=``, ``errors=`` and
            ``newline=`` overrule. Its attribute ``path`` says which file it opens, so that a subclass may stage in
            some of an event's files only.
        :raises ValueError: without files.
        :raises UnsafePathError: if a path would lead out of the directory.
        :raises DownloadError: if a file can't be fetched, or is not what the event says; names each.
        """

    def input_directory(self, basedir_name: str) -> Path:
        """Return where in *basedir_name* this runner puts the files, so that each lies at its ``path`` in there."""
        return Path(basedir_name)


class LocalDownloaderRunner(DownloaderRunner):
    """Takes the files from a local directory, where they lie at their paths: for tests, and data already fetched.

    :param basedir_name: the directory to take them from.
    :param link: whether to link to the files, which costs nothing (the default), or to copy them.
    :param verify: whether to read each file and compare size and hash with the event's; off by default, so that a
        handler can be tried on any file of the right name.
    """

    def __init__(self, basedir_name: str, *, link: bool = True, verify: bool = False) -> None:
        self.basedir_name = basedir_name
        self.link = link
        self.verify = verify

    def download(
        self, basedir_name: str, files: list[File] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> list[Opener]:
        """Link or copy *files* into *basedir_name*, again and again if need be; leave them if it is their directory.

        See :meth:`DownloaderRunner.download`; *timeout* is not needed.
        """
        files = list(files or ())
        paths = staged.wanted_paths(files)
        source, target = Path(self.basedir_name).resolve(), Path(basedir_name).resolve()
        faults = [fault for path in paths if (fault := _missing(source, path))]
        if not faults and self.verify:
            faults = [fault for file, path in zip(files, paths) if (fault := _verify(file, source / path))]
        if faults:
            raise DownloadError(f'not in the directory {self.basedir_name!a}, or not right: {"; ".join(faults)}')
        if source != target:
            made: set[str] = set()
            for path in paths:
                self._put(source / path, claim_path(target, path, made))
        return [staged.make_opener(target / path, file) for file, path in zip(files, paths)]

    def _put(self, source: Path, target: Path) -> None:
        """Make *target* a link to *source*, or a copy, replacing what was there in one step."""
        fresh = target.with_name(f'.staging-{uuid4().hex}')
        try:
            if self.link:
                fresh.symlink_to(source)
            else:
                shutil.copyfile(source, fresh)
            os.replace(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)


def _missing(root: Path, path: str) -> str | None:
    """Return why *path* is no file that may be taken from *root*; ``None`` if it is one."""
    source = root / path
    try:
        real = source.resolve(strict=True)
    except (OSError, RuntimeError) as exc:
        return f'{path!a} ({getattr(exc, "strerror", None) or "a loop of links"})'
    if not real.is_relative_to(root):
        return f'{path!a} (a link that leads out of the directory)'
    return None if real.is_file() else f'{path!a} (no regular file)'


def _verify(file: File, path: Path) -> str | None:
    digest, size = staged.hasher(file), 0
    with path.open('rb') as stream:
        while chunk := stream.read(staged.CHUNK):
            size += len(chunk)
            if digest is not None:
                digest.update(chunk)
    return staged.check(file, size, digest)


@dataclass(eq=False, repr=False)
class RemoteDownloaderRunner(DownloaderRunner):
    """Fetches the files from a Pacifica Cartd service.

    The files are ordered in parts, each of up to 200 files and 1 GiB, and checked against the event's size and hash as
    they come. Transient faults (no connection, 502 to 504, a cart that stays in staging, one damaged archive) are tried
    again within the timeout, for the files that are missing; the carts are deleted after use.

    :param downloader: says where Cartd is and how to authenticate; its session's settings are used.
    :param progress: called with how far each download has come; see :class:`Progress`.
    :param request_timeout: seconds that Cartd may stay silent in one request.
    :param cart_timeout: seconds after which a cart in staging gets a second one beside it; by default a quarter of the
        download's timeout, at most 30, and half a second more for each file and a second for each 10 MiB.
    """

    downloader: Downloader
    _: KW_ONLY
    progress: ProgressCallback | None = None
    request_timeout: float = 30
    cart_timeout: float | None = None

    def input_directory(self, basedir_name: str) -> Path:
        """Return ``data`` in *basedir_name*."""
        return Path(basedir_name, 'data')

    def download(
        self, basedir_name: str, files: list[File] | None = None, timeout: float = DEFAULT_TIMEOUT,
    ) -> list[Opener]:
        """Fetch *files* into ``data`` in *basedir_name*; see :meth:`DownloaderRunner.download`."""
        from pacifica.dispatcher._transfers import cart  # loads an HTTP client: see the top

        files = list(files or ())
        paths = staged.wanted_paths(files)
        wanted = dict(zip(paths, files))
        sizes = [file.size for file in wanted.values()]
        total = sum(sizes) if all(isinstance(size, int) for size in sizes) else None
        meter = Meter('download', len(wanted), total, self.progress)
        target = self.input_directory(basedir_name)
        with cart.CartService(self.downloader, timeout, self.request_timeout) as service:
            cart.fetch(service, wanted, meter, target, self.cart_timeout)
        return [staged.make_opener(target / path, file) for file, path in zip(files, paths)]
