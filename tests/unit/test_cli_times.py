"""Lengths of time and points in time, as the command line takes and shows them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import click
import pytest

from pacifica.dispatcher._cli.options import duration, moment, seconds
from pacifica.dispatcher._operate.words import duration as in_words

CONTEXT: Any = None


@pytest.mark.parametrize(('text', 'expected'), [
    ('90s', 90), ('15m', 900), ('2h', 7200), ('30d', 2_592_000), ('1w', 604_800), ('1d12h', 129_600), ('0.5h', 1800),
    ('0s', 0), ('36500d', 36_500 * 86_400),
])
def test_a_length_of_time(text: str, expected: float) -> None:
    assert duration(CONTEXT, CONTEXT, text) == seconds(CONTEXT, CONTEXT, text) == expected


@pytest.mark.parametrize('text', ['', '5', '-1d', '1y', 'd', '1 d', '1e3s', '٣d', '36501d', '9' * 400 + 'd', 'inf'])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match='is no length of time'):
        duration(CONTEXT, CONTEXT, text)


def test_seconds_need_no_unit() -> None:
    assert seconds(CONTEXT, CONTEXT, '90') == 90
    assert seconds(CONTEXT, CONTEXT, None) is None


@pytest.mark.parametrize(('text', 'expected'), [
    ('2026-11-24', '2026-11-24 00:00:00.000000'),
    ('2026-11-24T10:39:01Z', '2026-11-24 10:39:01.000000'),
    ('2026-11-24 10:39:01.123456', '2026-11-24 10:39:01.123456'),
    ('2026-11-24T10:39:01+05:30', '2026-11-24 05:09:01.000000'),
])
def test_a_point_in_time_is_utc(text: str, expected: str) -> None:
    assert moment(CONTEXT, CONTEXT, text) == expected


def test_a_point_in_time_may_be_so_long_ago() -> None:
    found = moment(CONTEXT, CONTEXT, '2h')
    assert found is not None
    ago = datetime.now(timezone.utc) - datetime.fromisoformat(found).replace(tzinfo=timezone.utc)
    assert timedelta(hours=2) <= ago < timedelta(hours=2, minutes=1)


@pytest.mark.parametrize('text', ['', 'now', '24.11.2026', '2026-02-30', '0001-01-01T00:00:00+14:00'])
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match='is no time'):
        moment(CONTEXT, CONTEXT, text)


@pytest.mark.parametrize(('span', 'expected'), [
    (0.0, '0 ms'), (0.004, '4 ms'), (0.9994, '999 ms'), (0.9996, '1 s'), (1.23, '1.2 s'), (9.96, '10 s'),
    (12.3, '12 s'), (59.6, '1 min'), (200, '3 min 20 s'), (7200, '2 h'),
    (187_200, '2 d 4 h'),
])
def test_people_get_two_units_at_most(span: float, expected: str) -> None:
    assert in_words(span) == expected
