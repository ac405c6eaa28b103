"""Whether a bundle is what its own ``metadata.txt`` says: what Pacifica Ingest will check when it gets it.

Format: a tar of ``data/<path>`` for each file and ``metadata.txt``, a JSON list of objects, each a row of the table
that its ``destinationTable`` names; https://pacifica-ingest.readthedocs.io/
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_METADATA = 'metadata.txt'


@dataclass(frozen=True)
class Member:
    """A file in a bundle, and what is wrong with it (``None``: nothing)."""

    name: str
    size: int
    hashtype: str
    hashsum: str
    fault: str | None = None


@dataclass(frozen=True)
class CheckedBundle:
    """What a bundle holds: its files, and the rest of its metadata as ``(what, value)``."""

    members: list[Member]
    metadata: list[tuple[str, Any]]

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, each naming a file; empty if it verifies."""
        return [f'{member.name}: {member.fault}' for member in self.members if member.fault]


def read_bundle(path: Path) -> CheckedBundle:
    """Read the bundle at *path* and compare every file with what the metadata say, and the metadata with the files."""
    with tarfile.open(path) as tar:
        contents = {member.name: stream.read() for member in tar if (stream := tar.extractfile(member)) is not None}
    if _METADATA not in contents:
        raise ValueError(f'{path} has no {_METADATA}')
    rows = json.loads(contents.pop(_METADATA))
    files = {_name(row): row for row in rows if row.get('destinationTable') == 'Files'}
    rest = [
        (row.get('key') or row['destinationTable'], row.get('value'))
        for row in rows if row.get('destinationTable') != 'Files'
    ]
    members = [_member(name, content, files.get(name)) for name, content in contents.items()]
    missing = [name for name in files if name not in contents]
    members += [Member(name, 0, '', '', 'is in the metadata, but not in the bundle') for name in missing]
    return CheckedBundle(members, rest)


def _name(row: dict[str, Any]) -> str:
    return '/'.join(filter(None, ['data', row.get('subdir'), row.get('name')]))


def _member(name: str, content: bytes, row: dict[str, Any] | None) -> Member:
    if row is None:
        return Member(name, len(content), '', '', 'is in the bundle, but not in the metadata')
    hashtype, said = str(row.get('hashtype')), row.get('hashsum')
    hashsum = hashlib.new(hashtype, content, usedforsecurity=False).hexdigest()
    fault = None
    if len(content) != row.get('size'):
        fault = f'has {len(content)} bytes; the metadata say {row.get("size")}'
    elif hashsum != said:
        fault = f'has {hashtype} {hashsum}; the metadata say {said}'
    return Member(name, len(content), hashtype, hashsum, fault)
