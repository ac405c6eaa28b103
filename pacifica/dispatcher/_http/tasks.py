"""``/``, ``/status/{id}``, ``/get/{id}`` and ``/output/{id}``: what became of the events; ``/cancel/{id}`` ends one.

Pages of the list follow each other by the last task seen, so that tasks which arrive meanwhile neither repeat nor hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, answer, revalidated
from pacifica.dispatcher._http.resource import TASK_ID, Parameter, Resource, operation, with_database
from pacifica.dispatcher._http.tools import require_same_site, sender
from pacifica.dispatcher._operate.actions import CANCEL
from pacifica.dispatcher._operate.words import STATUS_NAMES, read_status, read_time
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.status import Status

#: Tasks on a page: by default, and at most.
_LIMIT = 1000

_PARAMETERS = (
    Parameter('limit', 'query', {'type': 'integer', 'minimum': 1, 'maximum': _LIMIT, 'default': _LIMIT},
              'how many tasks at most'),
    Parameter('after', 'query', {'type': 'string', 'format': 'uuid'}, 'only tasks that come after this one'),
    Parameter('status', 'query', {'type': 'string', 'enum': [*STATUS_NAMES, *map(str, Status)]},
              'only tasks with this status: its string, or waiting, processing, ok, failed or unrouted'),
    Parameter('since', 'query', {'type': 'string', 'format': 'date-time'},
              'only tasks created then or later; UTC if it names no zone'),
    Parameter('source', 'query', {'type': 'string'}, 'only tasks of events with this source'),
    Parameter('type', 'query', {'type': 'string'}, 'only tasks of events of this type'),
    Parameter('transaction', 'query', {'type': 'string'}, 'only tasks of events about this transaction'),
    Parameter('parent', 'query', {'type': 'string'}, 'only tasks of events about transactions made from this one'),
    Parameter('project', 'query', {'type': 'string'}, 'only tasks of events of this project'),
    Parameter('instrument', 'query', {'type': 'string'}, 'only tasks of events of this instrument'),
    Parameter('submitter', 'query', {'type': 'string'}, 'only tasks of events that this user submitted'),
    Parameter('route', 'query', {'type': 'string'}, 'only tasks that the route of this name has run'),
    Parameter('kv', 'query', {'type': 'string', 'pattern': '^$|='},
              'only tasks of events with this key-value, `KEY=VALUE`. With it, and with `file`, a page looks at some '
              'thousand events and may have fewer tasks than `limit`, or none: `Link` says whether there are more'),
    Parameter('file', 'query', {'type': 'string'},
              'only tasks of events with a file of this name or path; `*`, `?` and `[…]` stand for other characters'),
)

#: The parameters that are the whole text of a column, which some call otherwise.
_COLUMNS = {
    'type': 'event_type', 'transaction': 'transaction_id', 'parent': 'parent_transaction',
    **{name: name for name in ('source', 'project', 'instrument', 'submitter', 'route')},
}

_Found = tuple[Sequence[Mapping[str, Any]], str | UUID | None]  # tasks, and the last one looked at if there are more

_TEXT = {'type': ['string', 'null']}
_ID = {'type': 'string', 'format': 'uuid'}
_LISTED = {'taskID': _ID, 'created': {'type': 'string'}, 'updated': {'type': 'string'}, 'deleted': _TEXT}
#: The keys of the 0.2 series that hold text, then those that came since.
_TEXTS = (
    'eventType', 'eventTypeVersion', 'source', 'eventID', 'eventTime', 'schemaURL', 'contentType', 'eventData', 'data',
    'taskStatus', 'taskApplicationName', 'taskName', 'exceptionType', 'exceptionValue',
    'cloudEventsVersion', 'route', 'finalized', 'transactionID', 'project', 'instrument', 'submitter',
)
_RECORD = {
    'type': 'object',
    'required': ['taskID', 'taskStatus', 'eventData', 'data'],
    'properties': {
        **_LISTED, **dict.fromkeys(_TEXTS, _TEXT), 'exceptionTraceback': {}, 'attempts': {'type': 'integer'},
        'fileCount': {'type': ['integer', 'null']}, 'fileBytes': {'type': ['integer', 'null']},
        'result': {'type': ['object', 'null']}, 'parameters': {'type': ['object', 'null']},
        'history': {'type': 'array', 'items': {'type': 'object'}},
    },
}
_CHUNK = {
    'type': 'array', 'minItems': 3, 'maxItems': 3,
    'prefixItems': [{'type': 'number'}, {'enum': ['stdout', 'stderr', 'log']}, {'type': 'string'}],
}
_RUN = {
    'type': 'object',
    'required': ['attempt', 'began', 'updated', 'progress', 'progressText', 'output', 'omitted', 'omittedAfter'],
    'properties': {
        'attempt': {'type': 'integer'}, 'began': {'type': 'number'}, 'updated': {'type': 'number'},
        'progress': {'type': ['number', 'null']}, 'progressText': {'type': 'string'},
        'output': {'type': 'array', 'items': _CHUNK}, 'omitted': {'type': 'integer'},
        'omittedAfter': {'type': 'integer'},
    },
}
_OUTPUT = {
    'type': 'object', 'required': ['taskID', 'attempts'],
    'properties': {'taskID': _ID, 'attempts': {'type': 'array', 'items': _RUN}},
}
_OF_A_TASK: dict[str, Any] = {
    'right': 'read', 'errors': (503,), 'parameters': (TASK_ID,), 'revalidates': True,
    'answer_headers': {'ETag': 'names this state of the answer'},
}


class TaskStatus(Resource):
    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(answer={'type': 'string'}, **_OF_A_TASK)
    def GET(self, task_id: UUID) -> bytes:
        """Answer the status of a task as a JSON string."""
        return _found(task_id, with_database(lambda: self._records.status(task_id)))


class TaskRecord(Resource):
    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(answer=_RECORD, **_OF_A_TASK)
    def GET(self, task_id: UUID) -> bytes:
        """Answer all that is known of a task as a JSON object."""
        return _found(task_id, with_database(lambda: self._records.get(task_id)))


class TaskOutput(Resource):
    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(answer=_OUTPUT, **_OF_A_TASK)
    def GET(self, task_id: UUID) -> bytes:
        """Answer what the handler of a task has printed and logged, and how far it says it is.

        By attempt, the oldest first, also while it runs: ``[time, stream, text]`` with times in seconds since 1970. Of
        each, the first and the last 256 KiB are kept; ``omitted`` bytes between, after the first ``omittedAfter``
        items, are not.
        """
        runs = with_database(lambda: self._records.outputs(task_id))
        attempts = None if runs is None else [{
            'attempt': run.attempt, 'began': run.began, 'updated': run.updated, 'progress': run.progress,
            'progressText': run.progress_text, 'output': [chunk[:3] for chunk in (*run.head, *run.tail)],
            'omitted': run.omitted, 'omittedAfter': len(run.head),
        } for run in runs]
        return _found(task_id, None if attempts is None else {'taskID': str(task_id), 'attempts': attempts})


class TaskCancel(Resource):
    def __init__(self, records: Records, operator: Operator) -> None:
        self._records = records
        self._operator = operator

    @operation(right='operate', answer={'type': 'string'}, errors=(409, 503), parameters=(TASK_ID,))
    def POST(self, task_id: UUID) -> bytes:
        """End a task that waits or runs, and answer its status: that of a running one changes when its handler ends."""
        require_same_site()
        done, status = with_database(lambda: self._cancel(task_id))
        if status is None:
            raise Refusal(404, f'there is no task {task_id}')
        if not done:
            raise Refusal(409, f'nothing was changed: {CANCEL.why_not(status)}')
        return answer(status)

    def _cancel(self, task_id: UUID) -> tuple[bool, str | None]:
        [done] = CANCEL.run(self._operator, [task_id], sender())
        return done, self._records.status(task_id)


def _found(task_id: UUID, value: object) -> bytes:
    if value is None:
        raise Refusal(404, f'there is no task {task_id}')
    return revalidated(answer(value))


class TaskList(Resource):
    """The list of tasks.

    :param search: reads the data of events; without it none is found by them.
    """

    def __init__(self, records: Records, search: Search | None = None) -> None:
        self._records = records
        self._search = search

    @operation(
        right='read',
        answer={'type': 'array', 'items': {'type': 'object', 'required': list(_LISTED), 'properties': _LISTED}},
        errors=(503,),
        parameters=_PARAMETERS,
        answer_headers={'Link': 'where the next page is, rel="next", if there is one'},
    )
    def GET(self, parameters: dict[str, str]) -> bytes:
        """Answer a page of tasks, newest first."""
        query = ListQuery.parse(parameters)
        equal = by_column(parameters)
        find = self._by_data if query.key_value or query.file else self._by_columns
        tasks, last = with_database(lambda: find(query, equal))
        if last is not None:
            given = {each.name: parameters[each.name] for each in _PARAMETERS if each.name in parameters}
            following = urlencode({**given, 'after': last})
            cherrypy.serving.response.headers['Link'] = f'<?{following}>; rel="next"'  # RFC 8288, relative to this page
        return answer(tasks)

    def _by_columns(self, query: ListQuery, equal: Mapping[str, Any]) -> _Found:
        tasks = self._records.page(
            limit=query.limit + 1,  # one more, to know whether there is a next page
            after=query.after, status=query.status, since=query.since, **equal)
        return tasks[:query.limit], tasks[query.limit - 1]['taskID'] if len(tasks) > query.limit else None

    def _by_data(self, query: ListQuery, equal: Mapping[str, Any]) -> _Found:
        before = None if self._search is None or query.after is None else self._search.cursor(query.after)
        if self._search is None or (query.after is not None and before is None):
            return [], None
        page = self._search.page(Filter(
            status=query.status, since=query.since, key_value=query.key_value, file=query.file, **equal,
        ), limit=query.limit, before=before)
        return [{key: row[key] for key in _LISTED} for row in page.rows], page.last


class ListQuery(NamedTuple):
    """The parameters of the list that aren't the whole text of a column."""

    limit: int
    after: UUID | None
    status: Status | None
    since: str | None
    key_value: str | None
    file: str | None

    @classmethod
    def parse(cls, given: dict[str, str]) -> ListQuery:
        """Return them as they are in a query; refuse it by naming each parameter whose value makes no sense."""
        faults: list[tuple[str, str]] = []
        limit, after = _LIMIT, None
        if (text := given.get('limit')) is not None:
            if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _LIMIT:
                limit = int(text)
            else:
                faults.append(('limit', f'must be a number from 1 to {_LIMIT}'))
        if 'after' in given:
            try:
                after = UUID(given['after'])
            except ValueError:
                faults.append(('after', 'must be the UUID of a task'))
        status = parse_status(given.get('status'), faults)
        since = parse_time(given.get('since'), 'since', faults)
        key_value = parse_key_value(given.get('kv'), faults)
        if faults:
            raise Refusal(422, '; '.join(f'{field} {what}' for field, what in faults), faults)
        return cls(limit, after, status, since, key_value, given.get('file') or None)


def by_column(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the wanted text of each column that a parameter is the whole text of, by column; ``None`` for any."""
    return {column: given.get(name) for name, column in _COLUMNS.items()}


def parse_status(text: str | None, faults: list[tuple[str, str]]) -> Status | None:
    """Return the status that people, or records, call so; add to *faults* if there is none."""
    if text is None:
        return None
    try:
        return read_status(text)
    except ValueError as exc:
        faults.append(('status', f'must be {exc}'))
        return None


def parse_key_value(text: str | None, faults: list[tuple[str, str]]) -> str | None:
    """Return *text*, ``None`` if it is empty; add to *faults* if it is not ``KEY=VALUE``."""
    if text and '=' not in text:
        faults.append(('kv', 'must be KEY=VALUE'))
    return text or None


def parse_time(text: str | None, field: str, faults: list[tuple[str, str]]) -> str | None:
    """Return a time of ISO 8601, UTC if it names no zone, as records show it; add to *faults* if *field* holds none."""
    if text is None:
        return None
    try:
        return read_time(text)
    except (ValueError, OverflowError):
        faults.append((field, 'must be a date or time of ISO 8601, for example 2026-11-24T10:39:01Z'))
        return None
