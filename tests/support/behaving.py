"""A handler that misbehaves on demand, in a module of its own so that other processes can import it."""

from __future__ import annotations

import os
import time
from typing import Any

from jsonpath2.path import Path

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task, stage


class Behaving(EventHandler):
    """Does what the event says; lives at the top of a module, so that other processes can have it."""

    def handle(self, event: Any) -> None:
        """Hang, crash, exit, or save a result."""
        if event.data == 'hang':
            time.sleep(3600)
        if event.data == 'crash':
            os.abort()
        if event.data == 'exit':
            os._exit(0)
        if event.data == 'raise':
            raise SystemExit('not today')
        task = current_task()
        assert task is not None
        task.save_result(process=os.getpid())
        if event.data == 'trace':
            with stage('handle'):
                task.save_result(**trace_of_the_caller())


def trace_of_the_caller() -> dict[str, str]:
    """Return what OpenTelemetry says the current span is."""
    from opentelemetry import trace

    span = trace.get_current_span().get_span_context()
    return {'trace': f'{span.trace_id:032x}', 'span': f'{span.span_id:016x}'}


def behaving_router() -> Router:
    router = Router()
    router.add_route(Path.parse_str('$'), Behaving())
    return router
