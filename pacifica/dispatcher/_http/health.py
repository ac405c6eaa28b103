"""``/health/live`` and ``/health/ready``: for probes of an orchestrator or a load balancer, without credentials."""

from __future__ import annotations

from typing import Any

import cherrypy

from pacifica.dispatcher._http.answers import Refusal, answer
from pacifica.dispatcher._http.operations import operation
from pacifica.dispatcher._http.paths import end_of_path
from pacifica.dispatcher._http.ports import Ready
from pacifica.dispatcher._http.request import query_parameters
from pacifica.dispatcher._http.tools import TOOL

__all__ = ['PREFIX', 'Health']

#: Where they are, below where the application is mounted.
PREFIX = '/health/'

_OK = {'type': 'object', 'required': ['status'], 'properties': {'status': {'const': 'ok'}}}
_NO_STORE = {'Cache-Control': 'no-store'}


class Live:
    """Whether the process answers."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.on': False}

    @operation(right=None, answer=_OK, errors=(404,))
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer that the process is alive; asks neither the database nor the workers."""
        end_of_path(parts)
        query_parameters(())
        return _ok()


class ReadyCheck:
    """Whether events can be taken."""

    exposed = True
    _cp_config = {f'tools.{TOOL}.on': False}

    def __init__(self, ready: Ready | None) -> None:
        self._ready = ready

    @operation(right=None, answer=_OK, errors=(404, 503))
    def GET(self, *parts: str, **_params: Any) -> bytes:
        """Answer that events can be taken, or 503 with the names of the checks that failed, as faults."""
        end_of_path(parts)
        query_parameters(())
        checks = {} if self._ready is None else self._ready()
        failed = [name for name, passed in checks.items() if not passed]
        if failed:
            faults = [(name, 'failed; the log of the service says why') for name in failed]
            raise Refusal(503, f'not ready: {", ".join(failed)}', faults, _NO_STORE)
        return _ok()


class Health:
    """What hangs below ``/health``, by name; nothing is at ``/health`` itself."""

    def __init__(self, ready: Ready | None) -> None:
        self.live = Live()
        self.ready = ReadyCheck(ready)
        self.resources: dict[str, Any] = {'live': self.live, 'ready': self.ready}


def _ok() -> bytes:
    cherrypy.serving.response.headers.update(_NO_STORE)
    return answer({'status': 'ok'})
