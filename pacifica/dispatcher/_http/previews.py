"""``/preview/{id}/{n}``: an image that a handler has made to be looked at, in which nothing can run."""

from __future__ import annotations

from uuid import UUID

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, revalidated
from pacifica.dispatcher._http.resource import TASK_ID, Parameter, Resource, operation, with_database
from pacifica.dispatcher._queue.previews import Previews

_NUMBER = Parameter('n', 'path', {'type': 'integer', 'minimum': 1}, 'the number of the image')
_VERSION = Parameter('v', 'query', {'type': 'string'}, 'anything: an address that a browser has not kept')
# An SVG that is opened by itself is a document: without scripts, an origin, or a way to load anything.
_HEADERS = {
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    'X-Content-Type-Options': 'nosniff',
    'Cross-Origin-Resource-Policy': 'same-origin',
}


class TaskPreview(Resource):
    def __init__(self, previews: Previews) -> None:
        self._previews = previews

    @operation(
        right='read', answer={}, media='image/*', errors=(503,), parameters=(TASK_ID, _NUMBER, _VERSION),
        revalidates=True, answer_headers={'ETag': 'names this state of the answer'})
    def GET(self, task_id: UUID, number: str = '') -> bytes:
        """Answer an image that the handler of a task has made: PNG, JPEG, WebP or SVG."""
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Refusal(422, f'{number[:100]!r} is no number', [('n', 'must be the number of an image')])
        found = with_database(lambda: self._previews.content(task_id, int(number)))
        if found is None:
            raise Refusal(404, f'there is no image {number} of {task_id}')
        headers = cherrypy.serving.response.headers
        headers.update(_HEADERS)
        dict.__setitem__(headers, 'Content-Type', found[0])  # as it is: no charset is added to it
        return revalidated(found[1])
