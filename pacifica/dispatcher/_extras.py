"""What the receiver factory adds if it is wanted, and installed: Prometheus's metrics and OpenTelemetry's traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pacifica.dispatcher._engine.extensions import Callbacks, EventLog, Extension, Extensions
from pacifica.dispatcher._engine.outgoing import FinishedEvents
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.hooks import Callback, Notify

if TYPE_CHECKING:
    from pacifica.dispatcher._metrics import Exposition


def extensions(
    queue: QueueName, on_finished: Callback | None, on_failed: Callback | None, receivers: Sequence[Notify],
    metrics: bool, tracing: bool,
) -> Extensions:
    """Return what sees the events of a queue run: log, callbacks, outgoing events, metrics, traces; in this order."""
    found: list[Extension] = [EventLog()]
    if on_finished is not None:
        found.append(Callbacks(on_finished))
    if on_failed is not None:
        found.append(Callbacks(on_failed, only_failed=True))
    if receivers:
        found.append(FinishedEvents(queue.application, receivers))
    if metrics:
        with needing('prometheus_client', 'metrics=True', 'metrics'):
            from pacifica.dispatcher._metrics import CountingObserver
        found.append(CountingObserver(queue))
    if tracing:
        with needing('opentelemetry', 'tracing=True', 'otel'):
            from pacifica.dispatcher._tracing import OpenTelemetrySpans
        found.append(OpenTelemetrySpans(queue))
    return Extensions(*found)


def exposition(connections: Connections) -> Exposition:
    """Return what is shown at ``/metrics``."""
    with needing('prometheus_client', 'metrics=True', 'metrics'):
        from pacifica.dispatcher._metrics import Exposition
    return Exposition(Overview(connections))


@contextmanager
def needing(library: str, what: str, extra: str) -> Iterator[None]:
    """Raise ConfigurationError, saying what to install, if *library* can't be imported inside the ``with`` block."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or '').partition('.')[0] != library.lower():
            raise
        raise ConfigurationError(
            f'{what} needs {library}: install it with pip install "pacifica-dispatcher[{extra}]"') from exc
