"""``/health/live`` and ``/health/ready`` for the probes of an orchestrator or a load balancer; ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, answer
from pacifica.dispatcher._http.resource import Resource, operation

if TYPE_CHECKING:
    from pacifica.dispatcher._metrics import Exposition

#: Where the probes are, below where the application is mounted.
HEALTH = '/health/'

#: Returns the name of each check and whether it passes, within a few seconds; raises nothing.
Ready = Callable[[], Mapping[str, bool]]

_OK = {'type': 'object', 'required': ['status'], 'properties': {'status': {'const': 'ok'}}}
_NO_STORE = {'Cache-Control': 'no-store'}


class Live(Resource):
    @operation(right=None, answer=_OK)
    def GET(self) -> bytes:
        """Answer that the process is alive; asks neither the database nor the workers."""
        return _ok()


class ReadyCheck(Resource):
    def __init__(self, ready: Ready | None) -> None:
        self._ready = ready

    @operation(right=None, answer=_OK, errors=(503,))
    def GET(self) -> bytes:
        """Answer that events can be taken, or 503 with the names of the checks that failed, as faults."""
        checks = {} if self._ready is None else self._ready()
        failed = [name for name, passed in checks.items() if not passed]
        if failed:
            faults = [(name, 'failed; the log of the service says why') for name in failed]
            raise Refusal(503, f'not ready: {", ".join(failed)}', faults, _NO_STORE)
        return _ok()


def _ok() -> bytes:
    cherrypy.serving.response.headers.update(_NO_STORE)
    return answer({'status': 'ok'})


class Health:
    """The resources below ``/health``, by name; ``/health`` itself is none."""

    def __init__(self, ready: Ready | None) -> None:
        self.live = Live()
        self.ready = ReadyCheck(ready)
        self.resources: dict[str, Any] = {'live': self.live, 'ready': self.ready}


class Metrics(Resource):
    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    @operation(right='read', answer={'type': 'string'}, media='text/plain')
    def GET(self) -> bytes:
        """Answer all metrics, in Prometheus's text format or, if ``Accept`` prefers that, in that of OpenMetrics."""
        content_type, text = self._exposition.expose(cherrypy.serving.request.headers.get('Accept') or '')
        cherrypy.serving.response.headers.update({'Content-Type': content_type, **_NO_STORE})
        return text


def counting(exposition: Exposition) -> Callable[[], None]:
    """Return a hook for CherryPy that counts the current request, a delivery, once it has been answered."""
    def count() -> None:
        request, response = cherrypy.serving.request, cherrypy.serving.response
        if request.method == 'POST':
            exposition.received(int(str(response.status)[:3]), getattr(request, 'dispatcher_accepted', 0))

    return count
