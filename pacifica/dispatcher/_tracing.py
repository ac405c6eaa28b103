"""A span for each attempt at an event: the one door for OpenTelemetry, extra ``otel``.

Only the API is used: which spans are kept, and where they go, is for the application's SDK to say. Attributes follow
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, as far as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pacifica.dispatcher._engine.extensions import Carrier, Extension
from pacifica.dispatcher._queue.values import ClaimedEvent, Outcome, QueueName

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class OpenTelemetrySpans(Extension):
    """Traces the attempts at the events of a queue."""

    def __init__(self, queue: QueueName) -> None:
        self._queue = queue

    @contextmanager
    def attempt(self, claimed: ClaimedEvent) -> Iterator[Callable[[Outcome], None]]:
        """Make a span ``process TASK`` of kind CONSUMER, linked to that in which the event was made, if it says so."""
        event = claimed.identity
        attributes = {
            'messaging.system': 'pacifica_dispatcher',
            'messaging.operation.name': 'process',
            'messaging.operation.type': 'process',
            'messaging.destination.name': self._queue.task,
            'messaging.message.id': str(claimed.task_id),
            'cloudevents.event_id': event.event_id,
            'cloudevents.event_source': event.source,
            'cloudevents.event_spec_version': event.spec_version,
            'cloudevents.event_type': event.event_type,
            'cloudevents.event_subject': event.subject,
            'pacifica_dispatcher.application': self._queue.application,
            'pacifica_dispatcher.attempt': claimed.attempt,
        }
        with _tracer().start_as_current_span(
            f'process {self._queue.task}', kind=SpanKind.CONSUMER, links=_links(event.traceparent, event.tracestate),
            attributes={name: value for name, value in attributes.items() if value is not None},
        ) as span:
            yield lambda outcome: _end(span, outcome)

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Make a span of a part of an attempt; an exception that ends it is recorded."""
        return _tracer().start_as_current_span(name)

    def carrier(self) -> Carrier:
        """Return the current span as W3C trace context."""
        carrier: dict[str, str] = {}
        _TRACE_CONTEXT.inject(carrier)
        return carrier

    @contextmanager
    def resumed(self, carrier: Carrier) -> Iterator[None]:
        """Make the span of another process the current one."""
        token = context.attach(_TRACE_CONTEXT.extract(carrier))
        try:
            yield
        finally:
            context.detach(token)


@lru_cache(maxsize=1)
def _tracer() -> trace.Tracer:
    """Return the tracer; made at first use, when the application has had time to set the SDK up."""
    return trace.get_tracer('pacifica.dispatcher')


def _links(traceparent: str | None, tracestate: str | None) -> list[Link]:
    """Return the link to the sender's span, from the CloudEvents extension for distributed tracing."""
    if traceparent is None:
        return []
    carrier = {'traceparent': traceparent, **({'tracestate': tracestate} if tracestate else {})}
    sender = trace.get_current_span(_TRACE_CONTEXT.extract(carrier, context.Context())).get_span_context()
    return [Link(sender)] if sender.is_valid else []


def _end(span: Span, outcome: Outcome) -> None:
    """Say on *span* how the attempt ended."""
    span.set_attribute('pacifica_dispatcher.status', str(outcome.status))
    if outcome.route is not None:
        span.set_attribute('pacifica_dispatcher.route', outcome.route)
    if outcome.exc_type is None:
        return
    details: dict[str, Any] = {'exception.type': outcome.exc_type, 'exception.message': outcome.exc_value or ''}
    if outcome.exc_traceback:
        details['exception.stacktrace'] = outcome.exc_traceback
    span.set_attribute('error.type', outcome.exc_type)
    span.add_event('exception', details)
    span.set_status(Status(StatusCode.ERROR, outcome.exc_value))
