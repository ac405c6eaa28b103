"""What a handler may say of itself: its output and its progress, with and without an engine."""

from __future__ import annotations

import io
import math
import sys
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher.task_context import TaskContext, stage, task_context


def test_without_an_engine_output_goes_to_this_process_s_own_streams(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    task = TaskContext(uuid4())

    print('first', end='')
    task.output('stdout', b' \xe2\x82')
    task.output('stdout', b'\xac\n')
    task.output('stderr', b'told\n')

    assert tuple(capfdbinary.readouterr()) == (b'first \xe2\x82\xac\n', b'told\n')


def test_output_to_a_stream_of_texts_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', stream)

    TaskContext(uuid4()).output('stdout', b'\xc3\xa9\xff')

    assert stream.getvalue() == 'é\ufffd'


@pytest.mark.parametrize('closed', [None, io.TextIOWrapper(io.BytesIO())])
def test_output_to_no_stream_or_a_closed_one_is_no_error(
    monkeypatch: pytest.MonkeyPatch, closed: io.TextIOWrapper | None,
) -> None:
    if closed is not None:
        closed.close()
    monkeypatch.setattr(sys, 'stderr', closed)

    TaskContext(uuid4()).output('stderr', b'x')


def test_progress_is_reported_with_a_fraction_or_without() -> None:
    said: list[tuple[float | None, str]] = []
    task = TaskContext(uuid4(), report=lambda fraction, text: said.append((fraction, text)))

    task.progress(0.4, 'fitting peak 4 of 10')
    task.progress(text='waiting')
    task.progress(1.0000000000000002)

    assert said == [(0.4, 'fitting peak 4 of 10'), (None, 'waiting'), (1.0, '')]


@pytest.mark.parametrize('fraction', [-0.1, 1.1, 40, math.nan, math.inf])
def test_a_fraction_outside_of_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match='from 0 to 1'):
        TaskContext(uuid4()).progress(fraction)


def test_progress_is_no_error_without_an_engine() -> None:
    TaskContext(uuid4()).progress(0.5, 'half')


class Integer:
    """An integer of another library, as numpy's are."""

    def __index__(self) -> int:
        return 7


def test_a_stage_s_numbers_are_integers_whoever_s_they_were() -> None:
    seven: Any = Integer()
    with task_context(TaskContext(uuid4())) as task, stage('upload', files=seven) as done:
        done.bytes = done.job_id = seven

    part, = task.stages
    assert (part.files, part.bytes, part.job_id) == (7, 7, 7)
    assert type(part.files) is type(part.job_id) is int
