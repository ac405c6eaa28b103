"""The list of events: a page of what a query finds, and what is done to many of them at once, once confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.dashboard.forms import see
from pacifica.dispatcher._http.dashboard.rendering import page
from pacifica.dispatcher._http.resource import query_parameters, with_database
from pacifica.dispatcher._http.tasks import by_column, parse_key_value, parse_status, parse_time
from pacifica.dispatcher._http.tools import sender
from pacifica.dispatcher._operate.actions import BY_NAME, MOST_COUNTED, Action, act_on_all, count_all, status_of_all
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.status import Status

_T = TypeVar('_T')
_PAGE = 50
#: The fields of the list's form, with what the terminal calls the first one; what an act adds to the list's address.
_FIELDS = (
    'q', 'text', 'status', 'transaction', 'parent', 'project', 'instrument', 'submitter', 'route', 'kv', 'file', 'type',
    'source', 'since', 'until', 'group',
)
_TOLD = ('action', 'done', 'left', 'more')


class EventList:
    """The list of events, with the buttons that act on those that are chosen."""

    def __init__(self, search: Search, operator: Operator) -> None:
        self._search = search
        self._operator = operator

    def page(self) -> bytes:
        """Answer a page of the list."""
        parameters = query_parameters((*_FIELDS, *_TOLD, 'before', 'fragment'))
        query = PageQuery.parse(parameters)
        found = _from_place(lambda: self._search.page(query.shown, limit=_PAGE, before=query.before))
        return page(
            'events.html', query=query, page=found, statuses=Status, actions=BY_NAME.values(),
            action=BY_NAME.get(parameters.get('action', '')), done=_number(parameters.get('done')),
            left=_number(parameters.get('left')), more=parameters.get('more') or None, most=MOST_COUNTED,
        )

    def act(self, form: Mapping[str, Sequence[str]]) -> bytes:
        """Do what a button of the list says to the events that are chosen, or ask first whether that is meant."""
        action = BY_NAME.get(form.get('action', [''])[-1])
        if action is None:
            names = ' or '.join(BY_NAME)
            raise Refusal(422, f'the action must be {names}', [('action', f'must be {names}')])
        query = PageQuery.parse({name: values[-1] for name, values in form.items()})
        if 'all' in form:
            return self._act_on_all(action, query, 'confirmed' in form)
        chosen = _task_ids(form.get('id', ()))
        if not chosen:
            raise Refusal(422, 'no event is chosen: check some in the list, or "all that match"')
        if 'confirmed' not in form:
            return page('confirm.html', action=action, query=query, count=len(chosen), chosen=chosen, most=MOST_COUNTED)
        done = sum(with_database(lambda: action.run(self._operator, chosen, sender())))
        return see(query.link(action=action.name, done=str(done), left=str(len(chosen) - done)))

    def _act_on_all(self, action: Action, query: PageQuery, confirmed: bool) -> bytes:
        try:
            wanted = replace(query.shown, status=status_of_all(action, query.wanted.status))
        except ValueError as exc:
            raise Refusal(422, str(exc)) from exc
        if not confirmed:
            count = _from_place(lambda: count_all(action, self._search, wanted, query.before))
            return page('confirm.html', action=action, query=query, count=count, chosen=(), most=MOST_COUNTED)
        done = _from_place(lambda: act_on_all(action, self._search, self._operator, wanted, query.before, sender()))
        return see(query.link(action=action.name, done=str(done.done), left=str(done.left), more=done.more))


@dataclass(frozen=True)
class PageQuery:
    """A page of the list: the fields that were given and aren't empty, the same to search with, and its beginning."""

    given: Mapping[str, str]
    wanted: Filter
    before: str | None

    @property
    def shown(self) -> Filter:
        """What is shown: of all events those that a route matched, unless something is asked for."""
        return self.wanted if self.given else replace(self.wanted, routed=True)

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> PageQuery:
        """Return what the *parameters* of an address or a form say; refuse those whose value makes no sense."""
        given = {name: parameters[name].strip() for name in _FIELDS if parameters.get(name, '').strip()}
        if 'text' in given:
            given.setdefault('q', given.pop('text'))
        faults: list[tuple[str, str]] = []
        times = {name: parse_time(given.get(name), name, faults) for name in ('since', 'until')}
        status = parse_status(given.get('status'), faults)
        key_value = parse_key_value(given.get('kv'), faults)
        if faults:
            raise Refusal(422, '; '.join(f'{field} {what}' for field, what in faults), faults)
        wanted = Filter(
            status=status, key_value=key_value, file=given.get('file'), since=times['since'], until=times['until'],
            text=given.get('q'), group=given.get('group'), **by_column(given),
        )
        return cls(given, wanted, parameters.get('before') or None)

    def link(self, **changed: str | None) -> str:
        """Return the address of the list with this query, *changed*, relative to the list."""
        named = {**self.given, **changed}
        return '?' + urlencode({name: value for name, value in named.items() if value is not None})


def _task_ids(texts: Sequence[str]) -> list[UUID]:
    try:
        return [UUID(text) for text in dict.fromkeys(texts)]
    except ValueError as exc:
        raise Refusal(422, 'id is no task id', [('id', 'must be a UUID')]) from exc


def _from_place(query: Callable[[], _T]) -> _T:
    try:
        return with_database(query)
    except ValueError as exc:
        raise Refusal(422, 'before is no place in this list', [('before', 'must be what a link said')]) from exc


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
