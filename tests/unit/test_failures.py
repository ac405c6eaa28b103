"""Failures are in one group if their messages differ in numbers and names alone."""

from __future__ import annotations

import pytest

from pacifica.dispatcher._queue.failures import failure_group, pattern


@pytest.mark.parametrize(('one', 'other'), [
    ('no calibration for run 7', 'no calibration for run 123456'),
    ('KeyError: \'temperature\'', 'KeyError: \'a b\''),
    ('cannot open /data/2026/a.h5: no such file', 'cannot open /scratch/b.h5: no such file'),
    ('cannot open a.h5', 'cannot open scan.nxs'),
    ('event 018f3c1a-7b1e-7000-8000-3fe1b2a4c5d6 is odd', 'event 00000000-0000-0000-0000-00000000abcd is odd'),
    ('checksum deadbeefdeadbeef is wrong', 'checksum 0123456789abcdef is wrong'),
    ('http://archive:8081/a answered 503', 'http://other.example.org/b?c=d answered 502'),
    ('values [1, 2, 3] are not equal', 'values [4.5] are not equal'),
    ('mail to ann@example.org failed', 'mail to bob@example.com failed'),
    ('worker host-a:17 died or hung in attempt 3 of 3', 'worker other:1 died or hung in attempt 5 of 5'),
    ('ended with 1:\n  line 17', 'ended with 2:\n\tline 3'),
])
def test_messages_that_differ_in_what_is_their_own_are_alike(one: str, other: str) -> None:
    assert pattern(one) == pattern(other)


@pytest.mark.parametrize(('one', 'other'), [
    ('no calibration for run 7', 'no dark image for run 7'),
    ('the file doesn\'t exist, or it isn\'t ours', 'the file doesn\'t open, or it isn\'t ours'),
    ('disk full', ''),
])
def test_messages_that_say_something_else_are_not(one: str, other: str) -> None:
    assert pattern(one) != pattern(other)


def test_a_group_is_of_one_route_and_one_class() -> None:
    group = failure_group('reduce', 'ValueError', 'run 7')
    assert group == failure_group('reduce', 'ValueError', 'run 8')
    assert group != failure_group('plot', 'ValueError', 'run 7')
    assert group != failure_group(None, 'ValueError', 'run 7')
    assert group != failure_group('reduce', 'KeyError', 'run 7')


def test_what_somebody_cancelled_is_in_no_group() -> None:
    assert failure_group('reduce', 'CancelledError', 'cancelled by ann') is None


def test_any_text_has_a_group() -> None:
    assert failure_group('\udcff\0', 'E', '\udcff' + '9' * 1_000_000) is not None
    assert len(pattern('word ' * 100_000)) == 300
