"""How values are worded for people: statuses, durations, sizes, and text that others wrote.

What events and errors say may be anything that a sender, or who controls its data, has thought of: a terminal gets it
as :func:`printable`, a page as :func:`visible` text.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from pacifica.dispatcher._queue.status import Status

STATUS_NAMES = {
    'waiting': Status.ACCEPTED,
    'processing': Status.PROCESSING,
    'ok': Status.OK,
    'failed': Status.FAILED,
    'unrouted': Status.UNPROCESSABLE,
}
"""What people call a status."""

# Controls, what turns the direction of the text around it, and lone surrogates: they would hide or forge what is shown.
_INVISIBLE = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')
# What Python 3.10 doesn't know of ISO 8601: the zone Z, and fractions that haven't three or six digits.
_ZULU = re.compile('[Zz]$')
_FRACTION = re.compile(r'\.(\d+)', re.ASCII)
_UNITS = ('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')
_SPANS = ((86_400, 'd', 3600, 'h'), (3600, 'h', 60, 'min'), (60, 'min', 1, 's'))


def printable(text: object) -> str:
    """Return *text* in one line, all but its printable characters written as JSON escapes them (``\\u001b``)."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return ''.join(character if character.isprintable() else escaped(character) for character in shown)


def escaped(character: str) -> str:
    """Return *character* as JSON escapes it."""
    return '\\u007f' if character == '\x7f' else json.dumps(character)[1:-1]


def visible(value: Any) -> Any:
    """Return *value* with its lines, but what can't be seen in them written as JSON escapes; nothing for ``None``."""
    if value is None:
        return ''
    if isinstance(value, str) and not hasattr(value, '__html__'):  # which has been through this already
        return _INVISIBLE.sub(lambda found: f'\\u{ord(found[0]):04x}', value.replace('\r\n', '\n'))
    return value


def one_line(text: object) -> str:
    """Return *text* without line breaks: what others' errors say may have many."""
    return ' '.join(str(text).split())


def without_password(url: str) -> str:
    return re.sub(r'(?<=[?&])(passw[^=&]*)=[^&]*', r'\1=***', re.sub(r'(?<=//)([^:@/]*):.*@', r'\1:***@', url))


def cut(text: Any, most: int) -> Any:
    return text[:most - 1] + '…' if isinstance(text, str) and len(text) > most else text


def error_text(exc_type: object, exc_value: object) -> str:
    return f'{exc_type}: {exc_value or ""}'


def duration(seconds: float | None) -> str:
    """Return a span of time in two units at most: ``3 ms``, ``1.2 s``, ``4 min``, ``2 d 4 h``; nothing for ``None``."""
    if seconds is None:
        return ''
    if seconds < 0.9995:
        return f'{seconds * 1000:.0f} ms'
    if seconds < 9.95:
        return f'{seconds:.1f} s'.replace('.0', '')
    whole = round(seconds)
    for unit, name, smaller, smaller_name in _SPANS:
        if whole >= unit:
            rest = whole % unit // smaller
            return f'{whole // unit} {name}' + (f' {rest} {smaller_name}' if rest else '')
    return f'{whole} s'


def size(count: float | None) -> str:
    """Return a number of bytes in a unit that fits; nothing for ``None``."""
    if count is None:
        return ''
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f'{count:.0f} {_UNITS[unit]}' if unit == 0 else f'{count:.1f} {_UNITS[unit]}'


def moment(time: str | float | None) -> str:
    """Return a time of a record, or one in seconds since 1970, to the second (UTC); nothing for ``None``."""
    if isinstance(time, (int, float)):
        return datetime.fromtimestamp(time, timezone.utc).strftime('%Y-%m-%d %H:%M:%S')
    return (time or '')[:19]


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return how long it was from one time of a record to another, at least 0; ``None`` if either is not known."""
    if not begin or not end:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def read_status(text: str) -> Status:
    """Return the status of a name, of a number, or of itself, in upper or lower case.

    :raises ValueError: for other texts; its message says which there are.
    """
    for name, status in STATUS_NAMES.items():
        if text.lower() in (name, status.lower(), status.partition(' ')[0]):
            return status
    raise ValueError(f'{", ".join(STATUS_NAMES)}, or the status string')


def read_time(text: str) -> str:
    """Return a time of ISO 8601, UTC if it names no zone, as records keep it: ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC."""
    time = datetime.fromisoformat(_FRACTION.sub(_six_digits, _ZULU.sub('+00:00', text)))
    if time.tzinfo is not None:
        time = time.astimezone(timezone.utc).replace(tzinfo=None)
    return time.isoformat(' ', 'microseconds')


def _six_digits(fraction: re.Match[str]) -> str:
    return '.' + fraction[1][:6].ljust(6, '0')
