"""``/metrics``: for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cherrypy

from pacifica.dispatcher._http.operations import operation
from pacifica.dispatcher._http.paths import end_of_path
from pacifica.dispatcher._http.ports import Metrics
from pacifica.dispatcher._http.request import query_parameters

__all__ = ['MetricsPage', 'counting']


class MetricsPage:
    """What is counted, as Prometheus reads it."""

    exposed = True

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @operation(right='read', answer={'type': 'string'}, errors=(404,), media='text/plain')
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer all metrics, in Prometheus's text format or, if ``Accept`` prefers that, in that of OpenMetrics."""
        end_of_path(parts)
        query_parameters(())
        content_type, text = self._metrics.expose(cherrypy.serving.request.headers.get('Accept') or '')
        cherrypy.serving.response.headers.update({'Content-Type': content_type, 'Cache-Control': 'no-store'})
        return text


def counting(metrics: Metrics) -> Callable[[], None]:
    """Return what counts the current request, a delivery, once it has been answered; a hook of CherryPy's."""
    def count() -> None:
        request, response = cherrypy.serving.request, cherrypy.serving.response
        if request.method == 'POST':
            metrics.received(int(str(response.status)[:3]), getattr(request, 'dispatcher_accepted', 0))

    return count
