"""Which images a staged handler may keep: told by content, small, few, and in the directories of its event alone."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._gallery import media_type
from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from pacifica.dispatcher.staging import StagedEvent, StagedEventHandler
from pacifica.dispatcher.task_context import TaskContext, task_context
from support.images import JPEG, SCRIPTED, SVG, WEBP, png
from support.staging import event_of


class Kept:
    """A task that keeps images in a list."""

    def __init__(self) -> None:
        self.images: list[tuple[str, str, bytes]] = []
        self.task = TaskContext(uuid4(), keep_preview=self.keep)

    def keep(self, name: str, media: str, content: bytes) -> str | None:
        self.images.append((name, media, content))
        return None

    @property
    def names(self) -> list[str]:
        """The names of what was kept."""
        return [name for name, _, _ in self.images]


class Making(EventHandler):
    """Writes these files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def handle(self, event: Any) -> None:
        """Write."""
        for path, content in self.files.items():
            with event.create(path, 'wb') as file:
                file.write(content)


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__['reason'] for record in caplog.records if record.message == 'preview.refused']


def try_one(directory: Path, content: bytes, name: str = 'fit.png') -> list[tuple[str, str, bytes]]:
    event, kept = StagedEvent.for_test(directory), Kept()
    (event.output_directory / name).write_bytes(content)
    with task_context(kept.task):
        assert event.preview(name) is bool(kept.images)
    return kept.images


@pytest.mark.parametrize('content, media', [
    (png(), 'image/png'), (JPEG, 'image/jpeg'), (WEBP, 'image/webp'), (SVG, 'image/svg+xml'),
    (SCRIPTED, 'image/svg+xml'), (b'\xef\xbb\xbf <svg>', 'image/svg+xml'),
    (b'<html><svg>', None), (b'<svgs>', None), (b'GIF89a', None), (b'', None), (b'\x89PNG', None),
    (b'<!--' * 9999, None),
    (b'<!DOCTYPE svg [<!ENTITY a "aaa">]><svg>', None), (b'<?xml version="1.0"?><html/>', None),
])
def test_an_image_is_told_by_its_content(content: bytes, media: str | None) -> None:
    assert media_type(content) == media


def test_whatever_it_is_called_it_is_what_it_contains(tmp_path: Path) -> None:
    assert try_one(tmp_path, JPEG, 'fit.png') == [('fit.png', 'image/jpeg', JPEG)]


@pytest.mark.parametrize('name', [
    '<img src=x onerror=alert(1)>.png', '"; DROP TABLE x; --.png', 'a\nb\x1b[2J\u202e.png', 'é' * 100 + '.png', '.png',
])
def test_a_name_is_text_and_nothing_else(tmp_path: Path, name: str) -> None:
    assert try_one(tmp_path, png(), name) == [(name, 'image/png', png())]


def test_what_is_no_image_or_too_large_is_refused_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    event, kept = StagedEvent.for_test(tmp_path), Kept()
    (event.output_directory / 'notes.png').write_bytes(b'<html><script>alert(1)</script>')
    with open(event.output_directory / 'large.png', 'wb') as file:
        file.write(png())
        file.truncate(50_000_000)

    with task_context(kept.task):
        assert [event.preview(name) for name in ('notes.png', 'large.png', 'absent.png', 'a\0b')] == [False] * 4

    assert kept.images == []
    assert reasons(caplog)[:3] == [
        'it is no PNG, JPEG, WebP or SVG', 'it has 50,000,000 bytes, and 1,000,000 are kept: make it smaller',
        'No such file or directory']


def test_nothing_outside_of_the_directories_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inside = tmp_path / 'event'
    inside.mkdir()
    event, kept = StagedEvent.for_test(inside), Kept()
    (tmp_path / 'secret.png').write_bytes(png())
    os.symlink(tmp_path / 'secret.png', event.output_directory / 'link.png')
    os.mkfifo(event.output_directory / 'fifo.png')
    (inside / 'scratch.png').write_bytes(png())

    with task_context(kept.task):
        for path in ('../../secret.png', 'link.png', 'fifo.png', '.', str(tmp_path / 'secret.png')):
            assert not event.preview(path)
        assert event.preview(inside / 'scratch.png') and event.preview('../scratch.png')

    assert len(reasons(caplog)) == 5 and {each[1] for each in kept.images} == {'image/png'}


def test_a_sixth_is_refused_and_one_that_is_drawn_again_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    event, kept = StagedEvent.for_test(tmp_path), Kept()
    for number in range(7):
        (event.output_directory / f'{number}.png').write_bytes(png())

    with task_context(kept.task):
        kept_or_not = [event.preview(f'{number}.png') for number in (0, 1, 2, 3, 4, 5, 6, 2)]

    assert kept_or_not == [True] * 5 + [False] * 2 + [True]
    assert kept.names == ['0.png', '1.png', '2.png', '3.png', '4.png', '2.png']
    assert reasons(caplog) == ['5 are kept of an event'] * 2


def test_of_ten_thousand_images_the_first_five_are_kept_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept()
    images = {f'plots/{number:05}.png': png() for number in range(10_000)}
    handler = StagedEventHandler(None, Making({**images, 'a.txt': b'x'}), None, previews=['*.png'], directory=tmp_path)

    with task_context(kept.task):
        handler.handle(event_of({}))

    assert kept.names == [f'plots/{number:05}.png' for number in range(5)]
    assert [record.__dict__['images'] for record in caplog.records if record.message == 'preview.refused'] == [9995]


def test_many_that_are_none_fill_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files = {f'{number:05}.png': b'none' for number in range(200)}

    with task_context(Kept().task):
        StagedEventHandler(None, Making(files), None, previews=['*.png'], directory=tmp_path).handle(event_of({}))

    assert len(reasons(caplog)) == 11


def test_a_database_that_is_away_fails_no_handler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_image: object) -> str | None:
        raise DatabaseUnavailableError('it is away')

    event = StagedEvent.for_test(tmp_path)
    (event.output_directory / 'fit.png').write_bytes(png())

    with task_context(TaskContext(uuid4(), keep_preview=away)):
        assert not event.preview('fit.png')

    assert reasons(caplog) == ['it is away']


def test_without_a_task_a_test_of_a_handler_learns_whether_it_would_be_kept(tmp_path: Path) -> None:
    event = StagedEvent.for_test(tmp_path)
    (event.output_directory / 'fit.png').write_bytes(png())
    (event.output_directory / 'fit.txt').write_bytes(b'text')

    assert event.preview('fit.png') and not event.preview('fit.txt')
