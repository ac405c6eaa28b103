"""``/``, ``/status/{id}`` and ``/get/{id}``: what became of the events."""

from __future__ import annotations

from typing import Any

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, answer, revalidated
from pacifica.dispatcher._http.filters import PARAMETERS, Filters
from pacifica.dispatcher._http.operations import operation
from pacifica.dispatcher._http.paths import TASK_ID, end_of_path, task_id_in, with_database
from pacifica.dispatcher._http.ports import Records
from pacifica.dispatcher._http.request import query_parameters

__all__ = ['Record', 'Status', 'Tasks']

_TEXT = {'type': ['string', 'null']}
_ID = {'type': 'string', 'format': 'uuid'}
_LISTED = {'taskID': _ID, 'created': {'type': 'string'}, 'updated': {'type': 'string'}, 'deleted': _TEXT}
#: The keys of the 0.2 series that hold text, then those that came since.
_TEXTS = (
    'eventType', 'eventTypeVersion', 'source', 'eventID', 'eventTime', 'schemaURL', 'contentType', 'eventData', 'data',
    'taskStatus', 'taskApplicationName', 'taskName', 'exceptionType', 'exceptionValue',
    'cloudEventsVersion', 'route', 'finalized', 'transactionID',
)
_RECORD = {
    'type': 'object',
    'required': ['taskID', 'taskStatus', 'eventData', 'data'],
    'properties': {
        **_LISTED, **dict.fromkeys(_TEXTS, _TEXT), 'exceptionTraceback': {}, 'attempts': {'type': 'integer'},
        'result': {'type': ['object', 'null']}, 'history': {'type': 'array', 'items': {'type': 'object'}},
    },
}
_TAG = {'ETag': 'names this state of the answer'}


class Status:
    """The status of a task."""

    exposed = True

    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(
        right='read', answer={'type': 'string'}, errors=(404, 422, 503), parameters=(TASK_ID,), revalidates=True,
        answer_headers=_TAG,
    )
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer the status of a task as a JSON string."""
        query_parameters(())
        task_id = task_id_in(parts)
        status = with_database(lambda: self._records.status(task_id))
        if status is None:
            raise Refusal(404, f'there is no task {task_id}')
        return revalidated(answer(status))


class Record:
    """All that is known of a task."""

    exposed = True

    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(
        right='read', answer=_RECORD, errors=(404, 422, 503), parameters=(TASK_ID,), revalidates=True,
        answer_headers=_TAG,
    )
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer all that is known of a task as a JSON object."""
        query_parameters(())
        task_id = task_id_in(parts)
        record = with_database(lambda: self._records.get(task_id))
        if record is None:
            raise Refusal(404, f'there is no task {task_id}')
        return revalidated(answer(record))


class Tasks:
    """The tasks, newest first."""

    exposed = True

    def __init__(self, records: Records) -> None:
        self._records = records

    @operation(
        right='read',
        answer={'type': 'array', 'items': {'type': 'object', 'required': list(_LISTED), 'properties': _LISTED}},
        errors=(404, 422, 503),
        parameters=PARAMETERS,
        answer_headers={'Link': 'where the next page is, rel="next", if there is one'},
    )
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer a page of tasks, newest first."""
        end_of_path(parts)
        filters = Filters.parse(query_parameters(tuple(parameter.name for parameter in PARAMETERS)))
        tasks = list(with_database(lambda: self._records.page(**filters.arguments())))
        if len(tasks) > filters.limit:
            del tasks[filters.limit:]
            cherrypy.serving.response.headers['Link'] = filters.next_link(tasks[-1]['taskID'])
        return answer(tasks)
