"""The query of ``GET /``: which tasks, how many, and where the next page is.

Called by the list resource. Pages follow each other by the id of the last task seen, so that tasks which arrive
meanwhile neither repeat nor hide any.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.operations import Parameter

__all__ = ['DEFAULT_LIMIT', 'MAX_LIMIT', 'PARAMETERS', 'Filters', 'parse_time']

#: Tasks on a page, if the client doesn't say, and at most.
DEFAULT_LIMIT = MAX_LIMIT = 1000

PARAMETERS = (
    Parameter('limit', 'query', {'type': 'integer', 'minimum': 1, 'maximum': MAX_LIMIT, 'default': DEFAULT_LIMIT},
              'how many tasks at most'),
    Parameter('after', 'query', {'type': 'string', 'format': 'uuid'}, 'only tasks that come after this one'),
    Parameter('status', 'query', {'type': 'string'}, 'only tasks with this status'),
    Parameter('since', 'query', {'type': 'string', 'format': 'date-time'},
              'only tasks created then or later; UTC if it names no zone'),
    Parameter('source', 'query', {'type': 'string'}, 'only tasks of events with this source'),
    Parameter('type', 'query', {'type': 'string'}, 'only tasks of events of this type'),
)


# What Python 3.10 doesn't know of ISO 8601: the zone Z, and fractions that haven't three or six digits.
_ZULU = re.compile('[Zz]$')
_FRACTION = re.compile(r'\.(\d+)', re.ASCII)


class Filters(NamedTuple):
    """The page that a client asks for, as the ``Records`` protocol takes it."""

    limit: int
    after: UUID | None
    status: str | None
    since: str | None
    source: str | None
    event_type: str | None
    given: dict[str, str]

    @classmethod
    def parse(cls, given: dict[str, str]) -> Filters:
        """Return the filters in a query.

        :raises Refusal: 422, naming each parameter whose value makes no sense.
        """
        faults: list[tuple[str, str]] = []
        limit = _limit(given.get('limit'), faults)
        after = _uuid(given.get('after'), faults)
        since = parse_time(given.get('since'), 'since', faults)
        if faults:
            message = '; '.join(f'{field} {what}' for field, what in faults)
            raise Refusal(422, message, faults)
        kept = {parameter.name: given[parameter.name] for parameter in PARAMETERS if parameter.name in given}
        return cls(limit, after, given.get('status'), since, given.get('source'), given.get('type'), kept)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for ``Records.page``; one task more than asked for, to know whether there are more."""
        return {
            'limit': self.limit + 1, 'after': self.after, 'status': self.status, 'since': self.since,
            'source': self.source, 'event_type': self.event_type,
        }

    def next_link(self, last: str) -> str:
        """Return the ``Link`` header (RFC 8288) to the page after the task *last*, relative to this one."""
        return f'<?{urlencode({**self.given, "after": last})}>; rel="next"'


def _six_digits(fraction: re.Match[str]) -> str:
    return '.' + fraction[1][:6].ljust(6, '0')


def _limit(text: str | None, faults: list[tuple[str, str]]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    faults.append(('limit', f'must be a number from 1 to {MAX_LIMIT}'))
    return DEFAULT_LIMIT


def _uuid(text: str | None, faults: list[tuple[str, str]]) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        faults.append(('after', 'must be the UUID of a task'))
        return None


def parse_time(text: str | None, field: str, faults: list[tuple[str, str]]) -> str | None:
    """Return a time of ISO 8601, UTC if it names no zone, as records show it; add to *faults* if *field* holds none."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(_FRACTION.sub(_six_digits, _ZULU.sub('+00:00', text)))
        if time.tzinfo is not None:
            time = time.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        faults.append((field, 'must be a date or time of ISO 8601, for example 2026-11-24T10:39:01Z'))
        return None
    return time.isoformat(' ', 'microseconds')
