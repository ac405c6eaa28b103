"""The files that are staged in tests: written into a directory, and read by what opens them; and the demo's own."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from cloudevents.model import Event

_DEMO = files('pacifica.dispatcher._cli').joinpath('demo_data')

#: The event of the demo, as it is sent.
DEMO_EVENT = _DEMO.joinpath('event.json').read_bytes()


def write_files(root: Path, contents: Mapping[str, bytes]) -> Path:
    """Write the files, by their paths, with the directories that lead to them; return *root*."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def write_demo_files(root: Path) -> Path:
    """Write the files of the demo's event; return *root*."""
    return write_files(root, {
        name: _DEMO.joinpath('files', *name.split('/')).read_bytes() for name in ('notes.txt', 'spectra/run-7.csv')})


def read_all(openers: Iterable[Any]) -> list[bytes]:
    """Return the bytes that each opener gives."""
    contents = []
    for opener in openers:
        with opener(mode='rb') as stream:
            contents.append(stream.read())
    return contents


def event_of(contents: Mapping[str, bytes], **attributes: Any) -> Event:
    """Return an ingest event with these files, as the archive sends it."""
    data = [
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'Transactions.instrument', 'value': 54},
        {'destinationTable': 'Transactions.project', 'value': '1234a'},
        *({'destinationTable': 'Files', '_id': number, 'name': os.path.basename(path), 'subdir': os.path.dirname(path),
           'size': len(content), 'hashtype': 'sha1', 'hashsum': hashlib.sha1(content).hexdigest()}
          for number, (path, content) in enumerate(contents.items())),
        {'destinationTable': 'Transactions._id', 'value': 19},
    ]
    return Event({
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventID': 'metadata.ingest.19',
        'source': 'http://metadata.pacifica.org/transactions?_id=19', 'extensions': {}, 'data': data, **attributes,
    })


def read_bundle(path: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Return the files of a bundle by their names, and its metadata."""
    with tarfile.open(path) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    return contents, json.loads(contents.pop('metadata.txt'))
