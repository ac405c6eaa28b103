"""The resources ``/dashboard/``, ``/dashboard/events``, ``/dashboard/events/{id}`` and ``/dashboard/static/{name}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode
from uuid import UUID

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, revalidated
from pacifica.dispatcher._http.body import raw_body
from pacifica.dispatcher._http.dashboard import charts
from pacifica.dispatcher._http.dashboard.output import shown
from pacifica.dispatcher._http.dashboard.rendering import may_operate, page, render_error, secure
from pacifica.dispatcher._http.resource import end_of_path, query_parameters, task_id_in, with_database
from pacifica.dispatcher._http.tasks import parse_time
from pacifica.dispatcher._http.tools import TOOL, require_same_site, user
from pacifica.dispatcher._operate import timeline
from pacifica.dispatcher._operate.actions import CANCEL, MOST_COUNTED, RETRIABLE, RETRY, retry_all
from pacifica.dispatcher._operate.report import MOST_LANES, StatusReport
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Filter, Search
from pacifica.dispatcher._queue.status import Status

_T = TypeVar('_T')
_PAGE = 50
_MAX_FORM = 64 * 1024
_MOST_CHARACTERS = 200_000  # of an event that a page shows
_BUTTONS = {action.name: action for action in (RETRY, CANCEL)}
#: The fields of the list's form, and what an act adds to the address of the page that tells how it went.
_FIELDS = ('q', 'status', 'transaction', 'parent', 'type', 'source', 'since', 'until')
_NUMBERS = ('retried', 'left', 'more')
_TYPES = {'.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml'}


class Dashboard:
    """The overview; the other pages hang off it by name, for CherryPy's own dispatchers too."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.right': 'read', 'request.max_body': _MAX_FORM}
    render_error = staticmethod(render_error)

    def __init__(self, records: Records, search: Search, overview: Overview, operator: Operator) -> None:
        self._overview = overview
        self.events = Events(records, search, operator)
        self.static = Static()
        self.resources: dict[str, Any] = {'events': self.events, 'static': self.static}

    def GET(self, *parts: str, **_params: Any) -> bytes:
        end_of_path(parts)
        query_parameters(('fragment',))
        if cherrypy.serving.request.path_info.count('/') < 2:
            return _see('dashboard/', 308)
        return with_database(self._page)

    def _page(self) -> bytes:
        report = StatusReport(self._overview)
        spans = [{
            'title': f'The last {span}', 'number': number, 'throughput': charts.throughput_chart(ended),
            'seconds': charts.seconds_chart(ended), 'rows': charts.table(ended),
        } for number, (span, ended) in enumerate(report.ended.items())]
        return page('overview.html', report=report, spans=spans, statuses=Status, most_lanes=MOST_LANES)


class Events:
    """The list of events, and the page of each."""

    exposed = True
    _cp_config = Dashboard._cp_config

    def __init__(self, records: Records, search: Search, operator: Operator) -> None:
        self._records = records
        self._search = search
        self._operator = operator

    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer a page of the list, or the page of the event whose id the path ends in."""
        return self._one(task_id_in(parts)) if parts else self._list()

    def POST(self, *parts: str, **_params: Any) -> bytes:
        """Do what a button says, and lead back to the page it was on."""
        query_parameters(())
        if not may_operate():
            raise Refusal(403, 'these credentials don\'t give the right to operate')
        require_same_site()
        form = _form()
        if parts:
            task_id = task_id_in(parts)
            with_database(lambda: self._press(form.get('action', ''), task_id))
            return _see('?' + urlencode({'done': form['action']}))
        query = PageQuery.parse(form)
        if query.wanted.status not in (None, *RETRIABLE):
            raise Refusal(422, f'only events in {" or ".join(RETRIABLE)} are retried all at once')
        done = _from_place(lambda: retry_all(self._search, self._operator, query.wanted, query.before, user()))
        return _see(query.link(retried=str(done.retried), left=str(done.left), more=done.more))

    def _press(self, name: str, task_id: UUID) -> None:
        """Do what the button *name* of an event's page says."""
        if self._records.status(task_id) is None:
            raise Refusal(404, f'there is no event {task_id}')
        action = _BUTTONS.get(name)
        if action is None:
            raise Refusal(422, 'the action must be retry or cancel', [('action', 'must be retry or cancel')])
        if not all(action.run(self._operator, [task_id], user())):
            raise Refusal(409, f'nothing was changed: {action.why_not(self._records.status(task_id))}')

    def _list(self) -> bytes:
        parameters = query_parameters((*_FIELDS, *_NUMBERS, 'before', 'fragment'))
        query = PageQuery.parse(parameters)
        wanted = query.wanted if query.given else replace(query.wanted, routed=True)
        found = _from_place(lambda: self._search.page(wanted, limit=_PAGE, before=query.before))
        return page(
            'events.html', query=query, page=found, statuses=Status,
            again=query.wanted.status or RETRIABLE[0], can_retry=query.wanted.status in (None, *RETRIABLE),
            retried=_number(parameters.get('retried')), left=_number(parameters.get('left')),
            more=parameters.get('more') or None, most=MOST_COUNTED,
        )

    def _one(self, task_id: UUID) -> bytes:
        parameters = query_parameters(('done', 'fragment'))
        record = with_database(lambda: self._records.get(task_id))
        if record is None:
            raise Refusal(404, f'there is no event {task_id}')
        runs = with_database(lambda: self._records.outputs(task_id)) or []
        event = timeline.document(record['eventData'])
        return page(
            'event.html', record=record, entries=timeline.entries(record), uploads=timeline.uploads(record),
            skip_reason=timeline.skip_reason(record), event=event[:_MOST_CHARACTERS],
            whole=len(event) <= _MOST_CHARACTERS, outputs=shown(runs), latest=runs[-1] if runs else None,
            done=parameters.get('done'),
            can_retry=record['taskStatus'] in RETRY.possible, can_cancel=record['taskStatus'] in CANCEL.possible,
        )


@dataclass(frozen=True)
class PageQuery:
    """A page of the list: the fields that were given and aren't empty, the same to search with, and its beginning."""

    given: Mapping[str, str]
    wanted: Filter
    before: str | None

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> PageQuery:
        """Return what the *parameters* of an address or a form say; refuse those whose value makes no sense."""
        given = {name: parameters[name].strip() for name in _FIELDS if parameters.get(name, '').strip()}
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


class Static:
    """The style sheet, the script and the icon, which need no right: pages for those without one need them too."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.right': None}

    def __init__(self) -> None:
        folder = Path(__file__).with_name('static')
        self._files = {file.name: (_TYPES[file.suffix], file.read_bytes())
                       for file in folder.iterdir() if file.suffix in _TYPES}

    def GET(self, *parts: str, **_params: Any) -> bytes:
        query_parameters(())
        if len(parts) != 1 or parts[0] not in self._files:
            raise Refusal(404, 'there is no such file here')
        content_type, content = self._files[parts[0]]
        secure(content_type, 'no-cache')
        return revalidated(content)


def _form() -> dict[str, str]:
    """Return the fields of the form that the current request sends."""
    content_type = cherrypy.serving.request.headers.get('Content-Type', '')
    if content_type.partition(';')[0].strip().lower() != 'application/x-www-form-urlencoded':
        raise Refusal(415, 'this takes the forms of the dashboard\'s pages')
    try:
        fields = parse_qs(raw_body().decode('ascii'), errors='strict', max_num_fields=50)
    except ValueError as exc:  # of which UnicodeError is one
        raise Refusal(400, 'this is no form in UTF-8') from exc
    return {name: values[-1] for name, values in fields.items()}


def _from_place(query: Callable[[], _T]) -> _T:
    try:
        return with_database(query)
    except ValueError as exc:
        raise Refusal(422, 'before is no place in this list', [('before', 'must be what a link said')]) from exc


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _see(location: str, status: int = 303) -> bytes:
    """Answer that the client find what it wants at *location*, relative to this page."""
    response = cherrypy.serving.response
    secure('text/plain; charset=utf-8', 'no-store')
    response.status = status
    response.headers['Location'] = location
    return b''
