"""Event files are one event, an array, or JSON lines; what they are not is said with the file and the place."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.event_files import read_events


def read(path: Path, content: str | bytes) -> list[tuple[str, str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(event.name.removeprefix(f'{path.parent}/'), event.text) for event in read_events([str(path)])]


@pytest.mark.parametrize('content, events', [
    ('{"id": 1.0}\n', [('e', '{"id": 1.0}\n')]),
    (b'\xef\xbb\xbf{"id": 1}', [('e', '{"id": 1}')]),
    ('{\n"id":\n1}', [('e', '{\n"id":\n1}')]),
    ('[{"id": 1.0}, {"id":2}]', [('e[0]', '{"id": 1.0}'), ('e[1]', '{"id":2}')]),
    ('{"id": 1.0}\n\n{"id":2}\r\n', [('e:1', '{"id": 1.0}'), ('e:3', '{"id":2}')]),
])
def test_every_event_is_read_as_it_stands(tmp_path: Path, content: str | bytes, events: list[tuple[str, str]]) -> None:
    assert read(tmp_path / 'e', content) == events


@pytest.mark.parametrize('content, reason', [
    ('', 'e is empty'),
    (' \n', 'e is empty'),
    ('[]', 'e has no events'),
    ('3', 'e is no event: an event is a JSON object'),
    ('[{}, 3]', r'e\[1\] is no event'),
    ('{}\n3\n', 'e:2 is no event'),
    ('text', 'e: it is not JSON: .* at line 1 column 1'),
    ('{"id": 1,\n"x"}', 'e: it is not JSON: .* at line 2'),
    ('{}\n{]\n', 'e:2: it is not JSON'),
    ('{"id": 1, "id": 2}', "e: a key appears twice in one object; 'id' appears twice"),
    (b'{"id": "\xff"}', 'e: it is not valid UTF-8'),
])
def test_what_is_no_event_file_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(ClientError, match=f'^{tmp_path}/{reason}'):
        read(tmp_path / 'e', content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="nowhere can't be read: No such file"):
        read_events([str(tmp_path / 'nowhere')])


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(b'{"id": 1}')))
    assert [(event.name, event.value) for event in read_events(['-'])] == [('stdin', {'id': 1})]
