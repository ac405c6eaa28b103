"""What the list's address says: which events are wanted, and where the page begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.tasks import parse_time
from pacifica.dispatcher._queue.search import Filter
from pacifica.dispatcher._queue.status import Status

__all__ = ['FIELDS', 'NUMBERS', 'PageQuery']

#: The fields of the form.
FIELDS = ('q', 'status', 'transaction', 'parent', 'type', 'source', 'since', 'until')
#: What an act adds to the address of the page that tells how it went.
NUMBERS = ('retried', 'left', 'more')


@dataclass(frozen=True)
class PageQuery:
    """A page of the list: the fields that were given and aren't empty, the same to search with, and its beginning."""

    given: Mapping[str, str]
    wanted: Filter
    before: str | None

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> PageQuery:
        """Return what the *parameters* of an address or a form say; refuse those whose value makes no sense."""
        given = {name: parameters[name].strip() for name in FIELDS if parameters.get(name, '').strip()}
        faults: list[tuple[str, str]] = []
        times = {name: parse_time(given.get(name), name, faults) for name in ('since', 'until')}
        status = None
        if 'status' in given:
            try:
                status = Status(given['status'])
            except ValueError:
                faults.append(('status', f'must be one of {", ".join(Status)}'))
        if faults:
            raise Refusal(422, '; '.join(f'{field} {what}' for field, what in faults), faults)
        wanted = Filter(
            status=status, event_type=given.get('type'), source=given.get('source'),
            transaction_id=given.get('transaction'), parent_transaction=given.get('parent'), since=times['since'],
            until=times['until'], text=given.get('q'),
        )
        return cls(given, wanted, parameters.get('before') or None)

    def link(self, **changed: str | None) -> str:
        """Return the address of the list with this query, *changed*, relative to the list."""
        named = {**self.given, **changed}
        return '?' + urlencode({name: value for name, value in named.items() if value is not None})
