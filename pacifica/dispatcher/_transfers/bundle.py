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
from json.encoder import encode_basestring_ascii as _json
from mimetypes import guess_type
from pathlib import Path
from typing import IO, Any

from pacifica.uploader.bundler.bundler import Bundler
from pacifica.uploader.metadata import FileObj, MetaData, MetaObj

from pacifica.dispatcher._lineage import MOST_CHARACTERS
from pacifica.dispatcher._transfers.headers import SECOND, any_header, header_length, header_of, padded
from pacifica.dispatcher._transfers.tree import BundledFile, read_files, scan
from pacifica.dispatcher._transfers.uploads import with_provenance
from pacifica.dispatcher.exceptions import StagingError, TransactionDuplicateAttributeError
from pacifica.dispatcher.models import Transaction, TransactionKeyValue

#: What Ingest and the archive compare the files with.
_HASHTYPE = 'sha1'
_METADATA = 'metadata.txt'
_NO_BYTES = hashlib.sha1(usedforsecurity=False)  # copied for each file, as a new hash takes longer
_ROW_END = '"}'
#: Bytes of small files, with their headers, that are handed on in one piece.
_PIECE = 1 << 18
_REQUIRED, _OPTIONAL = ('instrument', 'project', 'submitter'), ('analytical_tool', 'description', 'suspense_date')


def describe_upload(transaction: Transaction | None, key_values: Iterable[TransactionKeyValue] | None) -> MetaData:
    """Return the metadata of an upload, still without its files; it says where the upload comes from.

    What Ingest or Metadata would refuse is an error here: it would fail the whole ingest, after all files were sent.
    """
    pairs = list(key_values or ())
    only_pairs = transaction is None and bool(pairs)  # which 0.2 takes
    transaction = Transaction() if transaction is None else transaction
    if transaction._id is not None:
        raise TransactionDuplicateAttributeError(None, '_id')
    missing = [name for name in _REQUIRED if getattr(transaction, name) is None]
    if missing and not only_pairs:
        raise ValueError(f'the transaction of the upload has no {" and no ".join(missing)}: set it')
    described = MetaData()
    for name in (*_REQUIRED, *_OPTIONAL):
        if (value := getattr(transaction, name)) is not None:
            described.append(MetaObj(destinationTable=f'Transactions.{name}', value=value))
    for pair in with_provenance(pairs):
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

    entries: list[BundledFile]

    # Not calling Bundler.__init__: it would refuse key-values that are 0 or "", which are right.
    def __init__(self, root: Path, md_obj: MetaData) -> None:
        self._root = str(root.absolute())
        self._md_head = list(md_obj)
        self._head = [
            json.dumps({name: value for name, value in item._asdict().items() if value is not None}) for item in md_obj
        ]
        self._files: list[str] = []
        self.entries = scan(root)
        for entry in self.entries:
            if len(entry.path) > MOST_CHARACTERS or not entry.path.isascii():
                _require_archivable(entry.path)

    @property
    def md_obj(self) -> MetaData:
        """What is uploaded; with its files as the last stream described them."""
        return MetaData([*self._md_head, *self._described()])

    def _described(self) -> Iterator[Any]:
        return (FileObj(**json.loads(row)) for row in self._files)

    def add_key_value(self, key: str, value: str) -> None:
        """Add a key-value to the metadata, before the bundle is streamed."""
        pair = {'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value}
        self._md_head.append(MetaObj(**pair))
        self._head.append(json.dumps(pair))
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
        return fingerprint(file._replace(subdir=file.subdir.removeprefix('data/')) for file in self._described())

    @property
    def files_size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def _rows(self) -> list[str]:
        return [_row(entry) for entry in self.entries]

    @cached_property
    def length(self) -> int:
        """The bytes of the whole bundle, known before a file is read: hashes are all of one length."""
        parts = sum(header_length(entry) + padded(entry.size) for entry in self.entries)
        rows = sum(map(len, self._rows)) + len(self._rows) * (2 * _NO_BYTES.digest_size + len(_ROW_END))
        text = sum(map(len, self._head)) + rows + 2 * (len(self._head) + len(self._rows))  # each is followed by two
        end = parts + len(any_header(_METADATA, text, 0)) + padded(text) + 2 * tarfile.BLOCKSIZE
        return -(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def stream(self, fileobj: IO[bytes], callback: Callable[[float], Any] | None = None, sleeptime: float = 5) -> None:
        """Write the bundle to *fileobj*, which is open for writing bytes.

        :param callback: given the share of the files' bytes that is written, 0 to 1, about every *sleeptime* seconds
            and at the end.
        """
        total, done, called = max(self.files_size, 1), 0, time.monotonic()

        def count(size: int, _files: int) -> None:
            nonlocal done, called
            done += size
            if callback is not None and size and time.monotonic() - called >= sleeptime:
                called = time.monotonic()
                callback(done / total)

        for chunk in self.chunks(count):
            fileobj.write(chunk)
        if callback is not None:
            callback(1.0)

    def chunks(self, sent: Callable[[int, int], None] = lambda size, files: None) -> Iterator[bytes]:
        """Yield the bundle, about a megabyte at a time and the metadata at once, :attr:`length` bytes in all.

        *sent* is called after each of these pieces with the bytes of files in it, and how many files ended in it.
        """
        parts: list[bytes] = []
        rows: list[str] = []
        written = pending = size = files = 0
        contents = read_files(self._root, self.entries)
        for entry, row in zip(self.entries, self._rows):
            digest, header, left = _NO_BYTES.copy(), header_of(entry), entry.size
            parts.append(header)
            pending += len(header)
            while True:
                data = next(contents)
                digest.update(data)
                parts.append(data)
                left -= len(data)
                pending += len(data)
                size += len(data)
                if pending >= _PIECE:
                    yield b''.join(parts)
                    sent(size, files)
                    written += pending
                    parts, pending, size, files = [], 0, 0, 0
                if not left:
                    break
            if padding := -entry.size % tarfile.BLOCKSIZE:
                parts.append(bytes(padding))
                pending += padding
            files += 1
            rows.append(row + digest.hexdigest() + _ROW_END)
        self._files = rows
        yield b''.join([*parts, self._end(written + pending)])
        sent(size, files)

    def _end(self, written: int) -> bytes:
        """Return what comes after the files, of which *written* bytes are: the metadata, and the end of a tar."""
        text = f'[{", ".join(self._head + self._files)}]'.encode('ascii')
        last = any_header(_METADATA, len(text), 0) + text
        return last + bytes(self.length - written - len(last))


def _row(entry: BundledFile) -> str:
    """Return the row of *entry* in the metadata, in JSON: up to its hash, which :data:`_ROW_END` follows."""
    subdir, _, name = entry.path.rpartition('/')
    try:
        ctime, mtime = _utc(entry.ctime_ns // SECOND), _utc(entry.mtime_ns // SECOND)
    except OverflowError as exc:
        raise StagingError(f'{entry.path!a} has a time that is no date: set its modification time') from exc
    common = _common(subdir, name if name.startswith('.') else f'x{name[name.find("."):]}')
    return (
        f'{{{common}, "name": {_json(name)}, "size": {entry.size}, "ctime": "{ctime}", "mtime": "{mtime}", "hashsum": "'
    )


@lru_cache
def _common(subdir: str, suffixes: str) -> str:
    """Return what the rows of many files in one directory have in common."""
    if subdir.partition('/')[0] == 'data':
        subdir = f'data/{subdir}'  # Ingest takes one leading "data" away: without this it would not find the file
    # With a directory: a name alone could look like a URL ("data:...").
    mimetype = guess_type(f'data/{suffixes}', strict=True)[0] or 'application/octet-stream'
    return json.dumps({
        'destinationTable': 'Files', 'subdir': subdir, 'hashtype': _HASHTYPE, 'mimetype': mimetype})[1:-1]


def _require_archivable(path: str) -> None:
    """Raise for a path that Metadata has no room for, or can't write: it would fail the ingest, after all was sent."""
    try:
        path.encode('utf-8')
    except UnicodeEncodeError as exc:
        raise StagingError(f'{path!a} can\'t be archived, as it is no UTF-8: rename it') from exc
    subdir, _, name = path.rpartition('/')
    for what, text in (('name', name), ('directory', subdir)):
        if len(text) > MOST_CHARACTERS:
            raise StagingError(
                f'{path!a} can\'t be archived: its {what} has {len(text)} characters, and the archive keeps '
                f'{MOST_CHARACTERS}: shorten it')


@lru_cache
def _utc(seconds: int) -> str:
    """Return a time as Ingest takes it: ISO 8601 in UTC, whole seconds, without a zone."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()
