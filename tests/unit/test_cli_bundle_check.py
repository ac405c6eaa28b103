"""A bundle verifies only if each file is in its metadata with its size and hash, and each in the metadata is a file."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher._transfers.bundle_check import read_bundle

CONTENT = b'1,2\n'
ROW = {'destinationTable': 'Files', 'subdir': 'a', 'name': 'top.csv', 'size': len(CONTENT), 'hashtype': 'sha256',
       'hashsum': hashlib.sha256(CONTENT).hexdigest()}
SUBMITTER = {'destinationTable': 'Transactions.submitter', 'value': 10}
KEY_VALUE = {'destinationTable': 'TransactionKeyValue', 'key': 'Sample', 'value': '7'}


def bundle(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / 'bundle.tar'
    with tarfile.open(path, 'w') as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def faults(folder: Path, *rows: Any, content: bytes = CONTENT) -> list[str]:
    return read_bundle(bundle(folder, {'data/a/top.csv': content, 'metadata.txt': json.dumps(rows).encode()})).faults


def test_a_true_bundle_has_no_faults_and_shows_its_other_metadata(tmp_path: Path) -> None:
    metadata = json.dumps([SUBMITTER, KEY_VALUE, ROW]).encode()
    read = read_bundle(bundle(tmp_path, {'data/a/top.csv': CONTENT, 'metadata.txt': metadata}))
    assert read.faults == []
    assert [(member.name, member.size) for member in read.members] == [('data/a/top.csv', 4)]
    assert read.metadata == [('Transactions.submitter', 10), ('Sample', '7')]


def test_another_size_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, ROW, content=b'1,2') == ['data/a/top.csv: has 3 bytes; the metadata say 4']


def test_another_content_of_the_same_size_is_a_fault(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, ROW, content=b'1,3\n')
    assert fault.startswith('data/a/top.csv: has sha256 ')


def test_a_file_that_the_metadata_do_not_name_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, SUBMITTER) == ['data/a/top.csv: is in the bundle, but not in the metadata']


def test_a_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, ROW, {**ROW, 'name': 'x'}) == ['data/a/x: is in the metadata, but not in the bundle']


def test_a_bundle_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='has no metadata.txt'):
        read_bundle(bundle(tmp_path, {'data/a/top.csv': CONTENT}))


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'bundle.tar'
    path.write_bytes(b'no tar')
    with pytest.raises(tarfile.TarError):
        read_bundle(path)
