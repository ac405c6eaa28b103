"""What the receiver factory adds if it is wanted, and installed: metrics and traces.

Prometheus's and OpenTelemetry's libraries are imported here, on demand, and nowhere without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pacifica.dispatcher._engine.callbacks import Callbacks
from pacifica.dispatcher._engine.event_log import EventLog
from pacifica.dispatcher._engine.observers import Observers
from pacifica.dispatcher._engine.spans import Spans
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.transitions import QueueName
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.hooks import Callback

if TYPE_CHECKING:
    from pacifica.dispatcher._metrics import Exposition

__all__ = ['exposition', 'needing', 'observers', 'spans']


def observers(
    queue: QueueName, on_finished: Callback | None, on_failed: Callback | None, metrics: bool,
) -> Observers:
    """Return who is told how the attempts at a queue's events end: the log, the application's callbacks, the metrics.

    :raises ConfigurationError: if metrics are wanted and not installed.
    """
    told = Observers()
    told.add(EventLog())
    if on_finished is not None:
        told.add(Callbacks(on_finished))
    if on_failed is not None:
        told.add(Callbacks(on_failed, only_failed=True))
    if metrics:
        with needing('prometheus_client', 'metrics=True', 'metrics'):
            from pacifica.dispatcher._metrics import CountingObserver
        told.add(CountingObserver(queue))
    return told


def spans(queue: QueueName, tracing: bool) -> Spans | None:
    """Return what traces the attempts at a queue's events; ``None`` if nobody wants that.

    :raises ConfigurationError: if it is wanted and not installed.
    """
    if not tracing:
        return None
    with needing('opentelemetry', 'tracing=True', 'otel'):
        from pacifica.dispatcher._tracing import OpenTelemetrySpans
    return OpenTelemetrySpans(queue)


def exposition(connections: Connections) -> Exposition:
    """Return what is shown at ``/metrics``.

    :raises ConfigurationError: if metrics are not installed.
    """
    with needing('prometheus_client', 'metrics=True', 'metrics'):
        from pacifica.dispatcher._metrics import Exposition
    return Exposition(Overview(connections))


@contextmanager
def needing(package: str, what: str, extra: str) -> Iterator[None]:
    """Say which extra to install if *package* can't be imported inside the ``with`` block."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or '').partition('.')[0] != package:
            raise
        raise ConfigurationError(
            f'{what} needs {package}: install it with pip install "pacifica-dispatcher[{extra}]"'
        ) from exc
