"""The root of the tree of resources, and the document that describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cherrypy

from pacifica.dispatcher._http.answers import answer, revalidated
from pacifica.dispatcher._http.dashboard import Dashboard
from pacifica.dispatcher._http.health import Health
from pacifica.dispatcher._http.metrics import MetricsPage
from pacifica.dispatcher._http.openapi import document
from pacifica.dispatcher._http.operations import operation
from pacifica.dispatcher._http.paths import end_of_path
from pacifica.dispatcher._http.ports import Metrics, Ready, Records
from pacifica.dispatcher._http.reading import Record, Status, Tasks
from pacifica.dispatcher._http.receive import Receive
from pacifica.dispatcher._http.request import query_parameters
from pacifica.dispatcher.authentication import Scheme

__all__ = ['Root']


class OpenApi:
    """The OpenAPI document."""

    exposed = True

    def __init__(self, root: Root, schemes: Sequence[Scheme]) -> None:
        self._root = root
        self._challenges = [getattr(scheme, 'challenge', '').partition(' ')[0] for scheme in schemes]

    @operation(right='read', answer={'type': 'object'}, errors=(404,), revalidates=True)
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer the OpenAPI 3.1 document of what is here."""
        end_of_path(parts)
        query_parameters(())
        base = cherrypy.serving.request.wsgi_environ.get('dispatcher.mounted', '')
        return revalidated(answer(document(self._root.by_path(), base, self._challenges)))


class Root(Tasks):
    """The list of tasks; the other resources hang off it by name, for CherryPy's own dispatchers too.

    ``resources`` has them by the first part of their path. The dashboard is for people: the document that describes the
    API doesn't list it.
    """

    def __init__(
        self, receive: Receive, records: Records, schemes: Sequence[Scheme], ready: Ready | None = None,
        metrics: Metrics | None = None, dashboard: Dashboard | None = None,
    ) -> None:
        super().__init__(records)
        self.receive = receive
        self.status = Status(records)
        self.get = Record(records)
        self.health = Health(ready)
        self.openapi_json = OpenApi(self, schemes)  # CherryPy's dispatchers look for a "." as "_"
        self.resources: dict[str, Any] = {
            'receive': self.receive, 'status': self.status, 'get': self.get, 'openapi.json': self.openapi_json,
            'health': self.health,
        }
        if metrics is not None:
            self.metrics = self.resources['metrics'] = MetricsPage(metrics)
        if dashboard is not None:
            self.dashboard = self.resources['dashboard'] = dashboard

    def by_path(self) -> dict[str, Any]:
        """Return each resource by its path, as a template."""
        paths = {
            '/': self, '/receive': self.receive, '/status/{task_id}': self.status, '/get/{task_id}': self.get,
            '/openapi.json': self.openapi_json, '/health/live': self.health.live, '/health/ready': self.health.ready,
        }
        return {**paths, **({'/metrics': self.metrics} if 'metrics' in self.resources else {})}
