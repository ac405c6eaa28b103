"""The bundle that Pacifica Ingest takes; :mod:`.bundle_check` says what is in it.

Importing it loads an HTTP client all the same (``pacifica.uploader`` does): import it inside functions only.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from mimetypes import guess_type
from pathlib import Path
from typing import IO, Any

from pacifica.uploader.bundler.bundler import Bundler
from pacifica.uploader.metadata import FileObj, MetaData, MetaObj

from pacifica.dispatcher._lineage import MOST_CHARACTERS
from pacifica.dispatcher._transfers.files import CHUNK
from pacifica.dispatcher._transfers.tree import BundledFile, read_file, scan
from pacifica.dispatcher._transfers.uploads import with_provenance
from pacifica.dispatcher.exceptions import StagingError, TransactionDuplicateAttributeError
from pacifica.dispatcher.models import Transaction, TransactionKeyValue

#: What Ingest and the archive compare the files with.
_HASHTYPE = 'sha1'
_METADATA = 'metadata.txt'
_REQUIRED, _OPTIONAL = ('instrument', 'project', 'submitter'), ('analytical_tool', 'description', 'suspense_date')


def describe_upload(transaction: Transaction | None, key_values: Iterable[TransactionKeyValue] | None) -> MetaData:
    """Return the metadata of an upload, still without its files; it says where the upload comes from.

    What Ingest or Metadata would refuse is an error here: it would fail the whole ingest, after all files were sent.
    """
    transaction = Transaction() if transaction is None else transaction
    if transaction._id is not None:
        raise TransactionDuplicateAttributeError(None, '_id')
    missing = [name for name in _REQUIRED if getattr(transaction, name) is None]
    if missing:
        raise ValueError(f'the transaction of the upload has no {" and no ".join(missing)}: set it')
    described = MetaData()
    for name in (*_REQUIRED, *_OPTIONAL):
        if (value := getattr(transaction, name)) is not None:
            described.append(MetaObj(destinationTable=f'Transactions.{name}', value=value))
    for pair in with_provenance(key_values):
        if pair.key is None or pair.value is None:
            raise ValueError(f'{pair!r} of the upload needs both a key and a value')
        for what, text in (('key', pair.key), ('value', pair.value)):
            if len(str(text)) > MOST_CHARACTERS:
                raise ValueError(
                    f'the {what} of key-value {str(pair.key)[:80]!a} of the upload has {len(str(text))} characters, '
                    f'and the archive keeps {MOST_CHARACTERS}: shorten it, or put it into a file'
                )
        described.append(MetaObj(destinationTable='TransactionKeyValue', key=pair.key, value=pair.value))
    return described


def fingerprint(files: Iterable[Any]) -> str:
    """Return a digest of the paths, sizes and hashes of *files*, in any order, as the archive has them."""
    lines = sorted(
        ascii((f'{file.subdir or ""}/{file.name}', str(file.size), file.hashtype, str(file.hashsum).lower()))
        for file in files
    )
    return hashlib.sha256('\n'.join(lines).encode('ascii')).hexdigest()


class Bundle(Bundler):  # type: ignore[misc] # the uploader has no type hints: to mypy its class is Any
    """The directory *root* as a bundle that can be streamed as often as one likes, while its files stay as they are.

    Each file is opened when its turn comes, and hashed while it is copied: memory and open files don't grow with size.

    :param md_obj: what is uploaded, without its files; kept as ``md_obj``, which has the files too after a stream.
    """

    md_obj: MetaData
    entries: list[BundledFile]

    # Not calling Bundler.__init__: it would refuse key-values that are 0 or "", which are right.
    def __init__(self, root: Path, md_obj: MetaData) -> None:
        self.md_obj = md_obj
        self._root = str(root.absolute())
        self._md_head = list(md_obj)
        self._head: list[dict[str, Any]] = [
            {name: value for name, value in item._asdict().items() if value is not None} for item in md_obj
        ]
        self.entries = scan(root)

    def add_key_value(self, key: str, value: str) -> None:
        """Add a key-value to the metadata, before the bundle is streamed."""
        pair = {'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value}
        self._md_head.append(MetaObj(**pair))
        self._head.append(pair)
        self.md_obj = MetaData(self._md_head)
        self.__dict__.pop('length', None)

    @property
    def file_data(self) -> list[dict[str, Any]]:
        """The files as :class:`tarfile.TarInfo` attributes: ``name``, ``size`` in bytes and ``mtime``."""
        return [
            {'name': f'data/{entry.path}', 'size': entry.size, 'mtime': entry.mtime_ns / 1e9} for entry in self.entries
        ]

    @property
    def contents(self) -> str:
        """The fingerprint of the files as the last stream described them."""
        files = (item for item in self.md_obj if isinstance(item, FileObj))
        return fingerprint(file._replace(subdir=file.subdir.removeprefix('data/')) for file in files)

    @property
    def files_size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def length(self) -> int:
        """The bytes of the whole bundle, known before a file is read: hashes are all of one length."""
        parts = sum(_header_length(*_of_tar(entry)) + _padded(entry.size) for entry in self.entries)
        no_hash = _hash().hexdigest()
        text = len(json.dumps([*self._head, *(_describe(entry, no_hash) for entry in self.entries)]))
        end = parts + len(_any_header(_METADATA, text, 0)) + _padded(text) + 2 * tarfile.BLOCKSIZE
        return -(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def stream(self, fileobj: IO[bytes], callback: Callable[[float], Any] | None = None, sleeptime: float = 5) -> None:
        """Write the bundle to *fileobj*, which is open for writing bytes.

        :param callback: given the share of the files' bytes that is written, 0 to 1, about every *sleeptime* seconds
            and at the end.
        """
        total, done, called = max(self.files_size, 1), 0, time.monotonic()

        def count(size: int) -> None:
            nonlocal done, called
            done += size
            if callback is not None and time.monotonic() - called >= sleeptime:
                called = time.monotonic()
                callback(done / total)

        for chunk in self.chunks(count):
            fileobj.write(chunk)
        if callback is not None:
            callback(1.0)

    def chunks(
        self, sent_bytes: Callable[[int], None] = lambda size: None, sent_file: Callable[[], None] = lambda: None,
    ) -> Iterator[bytes]:
        """Yield the bundle, up to a megabyte at a time, :attr:`length` bytes in all.

        *sent_bytes* is called with the size of each piece of a file that was taken, *sent_file* after each whole file.
        """
        written, described = 0, list(self._head)
        for entry in self.entries:
            digest = _hash()
            header = _short_header(*_of_tar(entry)) or _any_header(*_of_tar(entry))
            yield header
            for data in read_file(self._root, entry, CHUNK):
                digest.update(data)
                yield data
                sent_bytes(len(data))
            yield bytes(_padded(entry.size) - entry.size)
            written += len(header) + _padded(entry.size)
            described.append(_describe(entry, digest.hexdigest()))
            sent_file()
        text = json.dumps(described).encode('ascii')
        last = _any_header(_METADATA, len(text), 0) + text + bytes(_padded(len(text)) - len(text))
        self.md_obj = MetaData([*self._md_head, *(FileObj(**item) for item in described[len(self._head):])])
        yield last + bytes(self.length - written - len(last))


def _of_tar(entry: BundledFile) -> tuple[str, int, int]:
    return f'data/{entry.path}', entry.size, entry.mtime_ns // 1_000_000_000


def _header_length(name: str, size: int, mtime: int) -> int:
    return tarfile.BLOCKSIZE if _is_short(name, size, mtime) else len(_any_header(name, size, mtime))


def _any_header(name: str, size: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = size, mtime
    # POSIX (pax) headers: names of any length in any characters, sizes over 8 GiB.
    return info.tobuf(tarfile.PAX_FORMAT, 'utf-8', 'surrogateescape')


def _is_short(name: str, size: int, mtime: int) -> bool:
    return len(name) <= 100 and name.isascii() and size < 8 ** 11 and 0 <= mtime < 8 ** 11


def _short_header(name: str, size: int, mtime: int) -> bytes | None:
    """Return what :func:`_any_header` does, in a tenth of the time; ``None`` if the header is not of the usual kind."""
    if not _is_short(name, size, mtime):
        return None
    block = bytearray(_TEMPLATE)
    block[:len(name)] = name.encode('ascii')
    block[124:135], block[136:147] = b'%011o' % size, b'%011o' % mtime
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block)


_TEMPLATE = _any_header('', 0, 0)


def _hash() -> Any:
    return hashlib.new(_HASHTYPE, usedforsecurity=False)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _describe(entry: BundledFile, hashsum: str) -> dict[str, Any]:
    subdir, _, name = entry.path.rpartition('/')
    if subdir.partition('/')[0] == 'data':
        subdir = f'data/{subdir}'  # Ingest takes one leading "data" away: without this it would not find the file
    try:
        ctime, mtime = _utc(entry.ctime_ns // 1_000_000_000), _utc(entry.mtime_ns // 1_000_000_000)
    except OverflowError as exc:
        raise StagingError(f'{entry.path!a} has a time that is no date: set its modification time') from exc
    return {
        'destinationTable': 'Files', 'name': name, 'subdir': subdir, 'size': entry.size, 'hashtype': _HASHTYPE,
        'hashsum': hashsum, 'mimetype': _mimetype(name if name.startswith('.') else f'x{name[name.find("."):]}'),
        'ctime': ctime, 'mtime': mtime,
    }


@lru_cache
def _mimetype(suffixes: str) -> str:
    # With a directory: a name alone could look like a URL ("data:...").
    return guess_type(f'data/{suffixes}', strict=True)[0] or 'application/octet-stream'


@lru_cache
def _utc(seconds: int) -> str:
    """Return a time as Ingest takes it: ISO 8601 in UTC, whole seconds, without a zone."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()
