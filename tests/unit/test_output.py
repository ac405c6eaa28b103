"""What is kept of a run's output: its beginning and its end, in order, with whole characters, at little cost."""

from __future__ import annotations

import json
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pacifica.dispatcher._engine import output as module
from pacifica.dispatcher._engine.output import HALF, Output
from pacifica.dispatcher._queue.values import RunOutput
from pacifica.dispatcher.task_context import Stage

EURO = '€'.encode()


def taken(output: Output, **how: bool) -> RunOutput:
    run = output.take(**how)
    assert run is not None
    return run


def texts(document: str | None) -> str:
    assert document is not None
    return ''.join(entry[2] for entry in json.loads(document))


def whole(output: Output, **how: bool) -> str:
    run = taken(output, **how)
    assert not run.omitted
    return texts(run.head) + texts(run.tail)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which stands still until a test changes it."""
    now = [1_000_000.0]
    monkeypatch.setattr(module, 'time', SimpleNamespace(time=lambda: now[0]))
    return now


def test_it_has_streams_in_order_with_times_and_places(clock: list[float]) -> None:
    output = Output()
    output.add('stdout', b'one\n')
    clock[0] += 1.5
    output.add('stderr', b'two\n')
    output.add('stdout', b'three\n')

    assert json.loads(taken(output).head or '') == [
        [1_000_000.0, 'stdout', 'one\n', 0], [1_000_001.5, 'stderr', 'two\n', 4], [1_000_001.5, 'stdout', 'three\n', 8]]


def test_what_comes_bit_by_bit_is_joined(clock: list[float]) -> None:
    output = Output()
    for bit in (b'a', b'b', b'\n'):
        output.add('stdout', bit)

    assert json.loads(taken(output).head or '') == [[1_000_000.0, 'stdout', 'ab\n', 0]]


@pytest.mark.parametrize('size', [1, 1000, 65_536, 3 * HALF])
def test_the_first_and_the_last_256_kib_are_kept_however_it_comes(size: int) -> None:
    data = b''.join(b'%09d\n' % number for number in range(HALF // 2))[:5 * HALF]
    output = Output()
    if size == 1:
        data = data[:2 * HALF + 10]
    for start in range(0, len(data), size):
        output.add('stdout', data[start:start + size])

    run = taken(output)

    assert texts(run.head).encode() == data[:HALF]
    assert texts(run.tail).encode() == data[-HALF:]
    assert run.omitted == len(data) - 2 * HALF
    assert json.loads(run.tail)[0][3] == len(data) - HALF


def test_nothing_is_left_out_of_512_kib() -> None:
    output = Output()
    output.add('stdout', b'x' * 2 * HALF)

    assert whole(output) == 'x' * 2 * HALF


def test_without_end_it_holds_little_memory(clock: list[float]) -> None:
    output = Output()
    for number in range(100_000):  # each of its own time and stream, so that nothing is joined
        output.add(('stdout', 'stderr')[number % 2], b'x')

    assert len(output._head) + len(output._tail) <= 2 * 8192 + 1
    assert taken(output).omitted == 100_000 - 2 * 8192


def test_a_character_that_is_cut_between_chunks_is_whole(clock: list[float]) -> None:
    output = Output()
    output.add('stdout', EURO[:1])
    output.add('stderr', b'!')
    assert whole(output) == '!'
    output.add('stdout', EURO[1:])

    assert whole(output) == '!€'


def test_a_character_between_both_halves_is_whole_and_one_at_the_gap_is_left_out() -> None:
    output = Output()
    output.add('stdout', b'x' * (HALF - 1) + EURO + b'y' * 10)
    assert whole(output).endswith('x€' + 'y' * 10)
    output.add('stdout', b'z' * (HALF - 11) + EURO * 3)

    run = taken(output)

    assert '\ufffd' not in texts(run.head) + texts(run.tail)
    assert texts(run.head) == 'x' * (HALF - 1)


def test_what_is_no_utf_8_is_replaced_and_nothing_makes_the_document_invalid() -> None:
    output = Output()
    output.add('stdout', b'\xff\0\x1b[1m\xed\xa0\x80' + EURO[:2])

    text = whole(output, ended=True)

    assert text.startswith('\ufffd\0\x1b[1m\ufffd') and text.endswith('\ufffd')
    assert '\0' not in (taken(output).head or '')


def test_nothing_is_taken_twice_and_a_beginning_that_was_written_is_not_written_again() -> None:
    output = Output()
    assert output.take() is None
    output.add('stdout', b'x' * 3 * HALF)
    assert taken(output).head is not None  # the write failed
    assert taken(output).head is not None
    output.written()
    assert output.take() is None

    output.add('stdout', b'y')

    run = taken(output)
    assert run.head is None and texts(run.tail).endswith('xy')


def test_what_comes_while_it_is_being_written_is_written_next() -> None:
    output = Output()
    output.add('stdout', b'x')
    taken(output)
    output.add('stdout', b'y')
    output.written()

    assert whole(output) == 'xy'


def test_of_progress_the_last_is_kept_from_whoever_knows_it() -> None:
    output = Output()
    for number in range(3):
        output.report(number / 4, f'part {number}')
    run = taken(output)
    output.written()
    assert (run.progress, run.progress_text) == (0.5, 'part 2')
    said = [(0.75, 'part 3')]
    output.follow(lambda: (said[-1], 'handle'))
    assert taken(output).progress == 0.75
    said.append((1.0, 'nul \0'))
    run = taken(output)
    output.written()
    output.follow(None)
    said.append((0.0, 'of another event'))

    assert output.take() is None
    assert (run.progress, run.progress_text) == (1.0, 'nul \\u0000')


def test_without_progress_the_innermost_stage_that_runs_is_told_and_none_at_the_end() -> None:
    output, outer, inner = Output(), Stage('handle', 0.0), Stage('fit', 0.0)
    output.tell('stage', outer)
    output.tell('stage', inner)
    assert taken(output).progress_text == 'fit'
    output.tell('stage', inner)
    assert taken(output).progress_text == 'handle'

    assert output.take(ended=True) is None, 'nothing of it is in the database'
    output.written()
    assert output.take() is None
    end = output.take(ended=True)
    assert end is not None and end.progress_text == ''


def test_a_log_record_is_a_line_with_what_it_carries_and_its_traceback() -> None:
    output = Output()
    try:
        raise RuntimeError('of no use')
    except RuntimeError:
        record = logging.LogRecord('my.log', logging.ERROR, 'f.py', 1, 'fit.%s', ('failed\ud800',), sys.exc_info())
    record.__dict__.update(peak=4, task_id='x')

    output.log(record)

    lines = whole(output).splitlines()
    assert lines[0] == 'ERROR my.log: fit.failed\\ud800 peak=4'
    assert lines[1] == 'Traceback (most recent call last):' and lines[-1] == 'RuntimeError: of no use'


def test_threads_may_print_at_the_same_time() -> None:
    output = Output()

    def print_much() -> None:
        for _ in range(1000):
            output.add('stdout', b'line\n')

    threads: list[Any] = [threading.Thread(target=print_much) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        output.take()

    assert whole(output) == 'line\n' * 4000
