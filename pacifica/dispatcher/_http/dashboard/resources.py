"""The resources ``/dashboard/``, ``/dashboard/events``, ``/dashboard/events/{id}`` and ``/dashboard/static/{name}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, revalidated
from pacifica.dispatcher._http.dashboard import charts
from pacifica.dispatcher._http.dashboard.event import EventPage
from pacifica.dispatcher._http.dashboard.forms import MAX_FORM, read_form, see
from pacifica.dispatcher._http.dashboard.gallery import Gallery
from pacifica.dispatcher._http.dashboard.listing import EventList
from pacifica.dispatcher._http.dashboard.rendering import compile_templates, may_operate, page, render_error, secure
from pacifica.dispatcher._http.resource import end_of_path, query_parameters, task_id_in, with_database
from pacifica.dispatcher._http.tools import TOOL, require_same_site, sender
from pacifica.dispatcher._operate.actions import CANCEL, RETRY, Action
from pacifica.dispatcher._operate.archive import TransactionUrl
from pacifica.dispatcher._operate.parameters import changed_in
from pacifica.dispatcher._operate.report import MOST_GROUPS, MOST_LANES, MOST_ROUTES, StatusReport
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher.exceptions import ConfigurationError

_BUTTONS = {'retry': RETRY, 'set': RETRY, 'cancel': CANCEL}  # "set" retries with other parameters
_NAMES = 'retry, set or cancel'
_TYPES = {'.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml'}


class Dashboard:
    """The overview; the other pages hang off it by name, for CherryPy's own dispatchers too."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.right': 'read', 'request.max_body': MAX_FORM}
    render_error = staticmethod(render_error)

    def __init__(
        self, records: Records, search: Search, overview: Overview, operator: Operator, previews: Previews,
        archive: TransactionUrl | None,
    ) -> None:
        compile_templates()
        self._overview = overview
        self.events = Events(records, search, operator, EventPage(records, search, previews, archive))
        self.previews = Gallery(previews)
        self.static = Static()
        self.resources: dict[str, Any] = {
            'events': self.events, 'previews': self.previews, 'static': self.static}

    def GET(self, *parts: str, **_params: Any) -> bytes:
        end_of_path(parts)
        query_parameters(('fragment',))
        if cherrypy.serving.request.path_info.count('/') < 2:
            return see('dashboard/', 308)
        return with_database(self._page)

    def _page(self) -> bytes:
        report = StatusReport(self._overview, ended=False)
        spans = [{
            'title': f'The last {span}', 'number': number, 'throughput': charts.throughput_chart(ended),
            'seconds': charts.seconds_chart(ended), 'rows': charts.table(ended),
        } for number, (span, ended) in enumerate(report.ended.items())]
        return page(
            'overview.html', report=report, spans=spans, statuses=Status, most_lanes=MOST_LANES,
            most_groups=MOST_GROUPS, routes=[
                (route, charts.sparkline(route.ended['day'])) for route in report.routes[:MOST_ROUTES]])


class Events:
    """The list of events, and the page of each."""

    exposed = True
    _cp_config = Dashboard._cp_config

    def __init__(self, records: Records, search: Search, operator: Operator, event_page: EventPage) -> None:
        self._event_page = event_page
        self._records = records
        self._list = EventList(search, operator)
        self._operator = operator

    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer a page of the list, or the page of the event whose id the path ends in."""
        return self._one(task_id_in(parts)) if parts else self._list.page()

    def POST(self, *parts: str, **_params: Any) -> bytes:
        """Do what a button says, and lead back to the page it was on."""
        query_parameters(())
        if not may_operate():
            raise Refusal(403, 'these credentials don\'t give the right to operate')
        require_same_site()
        form = read_form()
        if parts:
            task_id = task_id_in(parts)
            name, lines = form.get('action', [''])[-1], form.get('parameters', [''])[-1]
            return see('?' + urlencode({'done': with_database(lambda: self._press(name, task_id, lines)).name}))
        return self._list.act(form)

    def _press(self, name: str, task_id: UUID, lines: str) -> Action:
        """Do what the button *name* of an event's page says, and return what that was."""
        record = self._records.get(task_id)
        if record is None:
            raise Refusal(404, f'there is no event {task_id}')
        action = _BUTTONS.get(name)
        if action is None:
            raise Refusal(422, f'the action must be {_NAMES}', [('action', f'must be {_NAMES}')])
        try:
            parameters = changed_in(record, lines) if name == 'set' else None
        except ConfigurationError as exc:
            raise Refusal(422, f'nothing was changed: {exc}', [('parameters', str(exc))]) from exc
        if not all(action.run(self._operator, [task_id], sender(), parameters)):
            raise Refusal(409, f'nothing was changed: {action.why_not(self._records.status(task_id))}')
        return action

    def _one(self, task_id: UUID) -> bytes:
        parameters = query_parameters(('done', 'file', 'fragment'))
        values = with_database(lambda: self._event_page.values(
            task_id, file=parameters.get('file', '').strip() or None, changing=bool(parameters.get('fragment'))))
        if values is None:
            raise Refusal(404, f'there is no event {task_id}')
        return page('event.html', done=parameters.get('done'), **values)


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
