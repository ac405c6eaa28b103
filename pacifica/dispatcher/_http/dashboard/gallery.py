"""``/dashboard/previews``: the latest images that handlers have made, of all events, or of a route or an instrument."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.dashboard.rendering import page
from pacifica.dispatcher._http.resource import end_of_path, query_parameters, with_database
from pacifica.dispatcher._http.tools import TOOL
from pacifica.dispatcher._queue.previews import Previews

_PAGE = 60
_FIELDS = ('route', 'instrument')


class Gallery:
    """A page of images, the newest first."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.right': 'read'}

    def __init__(self, previews: Previews) -> None:
        self._previews = previews

    def GET(self, *parts: str, **_params: Any) -> bytes:
        end_of_path(parts)
        parameters = query_parameters((*_FIELDS, 'before', 'fragment'))
        given = {name: parameters[name] for name in _FIELDS if parameters.get(name)}
        before = _before(parameters.get('before'))
        found = with_database(lambda: self._previews.latest(_PAGE + 1, before=before, **given))
        routes, instruments = with_database(self._previews.choices)
        older = None
        if len(found) > _PAGE:
            older = '?' + urlencode({**given, 'before': repr(found[_PAGE - 1].image.created)})
        return page('previews.html', found=found[:_PAGE], given=given, routes=routes, instruments=instruments,
                    older=older, later=before is not None)


def _before(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as exc:
        raise Refusal(422, 'before is no place in this list', [('before', 'must be what a link said')]) from exc
