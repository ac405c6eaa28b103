"""Times on the command line: durations such as ``30d``, points in time, and how long ago something was, for people."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import click

__all__ = ['duration', 'in_words', 'moment', 'seconds']

_UNITS = {'s': 1.0, 'm': 60.0, 'h': 3600.0, 'd': 86_400.0, 'w': 604_800.0}
_PART = r'(\d+(?:\.\d+)?)([smhdw])'
_LONGEST = 36_500 * 86_400.0  # beyond a hundred years dates run out of numbers


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a length of time: ``90s``, ``15m``, ``2h``, ``30d``, ``1w`` or several of these.

    :raises click.BadParameter: if it is none, or more than a hundred years.
    """
    if value is None:
        return None
    found = _seconds_of(value)
    if found is None:
        raise click.BadParameter(
            f'{value!r} is no length of time of at most a hundred years: write for example 90s, 15m, 2h, 30d or 1w')
    return found


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return :func:`duration` of *value*, whose unit is seconds if it has none."""
    bare = value is not None and re.fullmatch(r'\d+(\.\d+)?', value, re.ASCII)
    return duration(ctx, param, f'{value}s' if bare else value)


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return a point in time as the table keeps it: ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC.

    It is given in ISO 8601, UTC if without a zone, or as how long ago it was.

    :raises click.BadParameter: if it is neither.
    """
    if value is None:
        return None
    ago = _seconds_of(value)
    try:
        if ago is not None:
            found = datetime.now(timezone.utc) - timedelta(seconds=ago)
        else:
            found = datetime.fromisoformat(re.sub('[Zz]$', '+00:00', value))  # Python 3.10 knows no Z
        if found.tzinfo is not None:
            found = found.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError) as exc:
        raise click.BadParameter(
            f'{value!r} is no time: write ISO 8601, for example 2026-11-24 or 2026-11-24T10:39:01Z, or how long ago, '
            'for example 15m, 2h or 3d') from exc
    return found.isoformat(' ', 'microseconds')


def _seconds_of(text: str) -> float | None:
    if not re.fullmatch(f'({_PART})+', text, re.ASCII):
        return None
    found = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    return found if found <= _LONGEST else None


def in_words(span: float) -> str:
    """Return *span* seconds as people say it, in two units at most: ``0.25 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if span < 10:
        return f'{span:.2f} s'
    whole = round(span)
    for unit, name, size, smaller in ((86_400, 'd', 3600, 'h'), (3600, 'h', 60, 'min'), (60, 'min', 1, 's')):
        if whole >= unit:
            rest = whole % unit // size
            return f'{whole // unit} {name}' + (f' {rest} {smaller}' if rest else '')
    return f'{whole} s'
