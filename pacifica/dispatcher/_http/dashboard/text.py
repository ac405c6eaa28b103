"""How values look to people: times, sizes, and text that others wrote.

Used by the templates, whose every expression goes through :func:`visible` and is escaped afterwards.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

__all__ = ['cut', 'duration', 'instant', 'moment', 'size', 'visible']

# Controls, what turns the direction of the text around it, and lone surrogates: they would hide or forge what is shown.
_INVISIBLE = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')
_UNITS = ('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')


def visible(value: Any) -> Any:
    """Return *value* with what can't be seen in it written as JSON escapes; nothing for ``None``."""
    if value is None:
        return ''
    if isinstance(value, str) and not hasattr(value, '__html__'):  # which has been through this already
        return _INVISIBLE.sub(lambda found: f'\\u{ord(found[0]):04x}', value.replace('\r\n', '\n'))
    return value


def cut(text: Any, most: int) -> Any:
    """Return *text*, at most *most* characters of it."""
    return text[:most - 1] + '…' if isinstance(text, str) and len(text) > most else text


def duration(seconds: float | None) -> str:
    """Return a span of time with two of its units."""
    if seconds is None:
        return ''
    if seconds < 10:
        return f'{seconds:.2f} s'
    if seconds < 60:
        return f'{seconds:.0f} s'
    whole = int(seconds)
    for unit, length, lower, lower_length in (
        ('d', 86_400, 'h', 3600), ('h', 3600, 'min', 60), ('min', 60, 's', 1),
    ):
        if whole >= length:
            rest = whole % length // lower_length
            return f'{whole // length} {unit} {rest} {lower}' if rest else f'{whole // length} {unit}'
    return f'{whole} s'


def moment(time: str | float | None) -> str:
    """Return a time of a record, or one in seconds since 1970, to the second."""
    if isinstance(time, (int, float)):
        return datetime.fromtimestamp(time, timezone.utc).strftime('%Y-%m-%d %H:%M:%S')
    return (time or '')[:19]


def instant(time: str | None) -> datetime | None:
    """Return a time of a record; ``None`` if there is none."""
    return datetime.fromisoformat(time).replace(tzinfo=timezone.utc) if time else None


def size(count: float | None) -> str:
    """Return a number of bytes in a unit that fits."""
    if count is None:
        return ''
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f'{count:.0f} {_UNITS[unit]}' if unit == 0 else f'{count:.1f} {_UNITS[unit]}'
