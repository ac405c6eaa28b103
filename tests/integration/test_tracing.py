"""Each attempt is a span: linked to the sender's, around the handler's own, and true about how it ended."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from pacifica.dispatcher.exceptions import CancelledError, ConfigurationError
from pacifica.dispatcher.task_context import stage
from support.behaving import behaving_router
from support.celery_apps import app_of, drain
from support.events import ingest_event, router_to
from support.queues import TASK, queue_of, record, run_each

TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
_EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope='module', autouse=True)
def provider() -> None:
    """The SDK, set up as an application would: once a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
    provider.add_span_processor(Failing())
    provider.add_span_processor(SimpleSpanProcessor(FailingExporter()))
    trace.set_tracer_provider(provider)


@pytest.fixture(autouse=True)
def exporter() -> InMemorySpanExporter:
    """Where spans arrive; none yet."""
    _EXPORTER.clear()
    return _EXPORTER


def handle_all(
    model: Any, router: Any, *events: dict[str, Any], isolation: str = 'thread', **settings: Any,
) -> list[str]:
    """Run *events* and return their task ids."""
    queue = queue_of(model, router, tracing=True, **settings)
    ids = [str(queue.delay(event)) for event in events]
    run_each(model, queue.create_worker(1, isolation=isolation))
    return ids


def attempts() -> list[ReadableSpan]:
    return [span for span in _EXPORTER.get_finished_spans() if span.kind is SpanKind.CONSUMER]


def test_an_attempt_is_a_span_that_says_which_event_it_is_about(model: Any) -> None:
    event = ingest_event()
    task_id, = handle_all(model, router_to(lambda event: None), event)
    span, = attempts()
    assert (span.name, span.parent, span.status.status_code) == (f'process {TASK}', None, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        'messaging.system': 'pacifica_dispatcher', 'messaging.operation.name': 'process',
        'messaging.operation.type': 'process', 'messaging.destination.name': TASK, 'messaging.message.id': task_id,
        'cloudevents.event_id': event['eventID'], 'cloudevents.event_source': event['source'],
        'cloudevents.event_spec_version': '0.1', 'cloudevents.event_type': event['eventType'],
        'pacifica_dispatcher.application': 'my.app', 'pacifica_dispatcher.attempt': 1,
        'pacifica_dispatcher.status': '200 OK', 'pacifica_dispatcher.route': '$ → Calling',
    }
    assert not span.links


@pytest.mark.parametrize('event', [
    ingest_event(extensions={'traceparent': TRACEPARENT, 'tracestate': 'vendor=7'}),
    {'specversion': '1.0', 'id': '1', 'source': '/s', 'type': 't', 'traceparent': TRACEPARENT,
     'tracestate': 'vendor=7'},
])
def test_it_is_linked_to_the_span_of_the_sender(model: Any, event: dict[str, Any]) -> None:
    handle_all(model, router_to(lambda event: None), event)
    link, = attempts()[0].links
    assert f'{link.context.trace_id:032x}-{link.context.span_id:016x}' == TRACEPARENT[3:-3]
    assert link.context.trace_state['vendor'] == '7'


@pytest.mark.parametrize('traceparent', ['', 'nonsense', f'00-{"0" * 32}-b7ad6b7169203331-01'])
def test_a_sender_that_speaks_no_trace_context_is_not_linked_to(model: Any, traceparent: str) -> None:
    handle_all(model, router_to(lambda event: None), ingest_event(extensions={'traceparent': traceparent}))
    assert not attempts()[0].links


def test_what_the_handler_traces_is_inside_its_stage_and_its_attempt(model: Any) -> None:
    def handle(event: Any) -> None:
        with stage('download'):
            with trace.get_tracer('theirs').start_as_current_span('GET'):
                pass

    handle_all(model, router_to(handle), ingest_event())
    inner, download, attempt = _EXPORTER.get_finished_spans()
    assert (inner.name, download.name, attempt.name) == ('GET', 'download', f'process {TASK}')
    assert inner.parent is not None and download.parent is not None
    assert inner.parent.span_id == download.context.span_id
    assert download.parent.span_id == attempt.context.span_id


@pytest.mark.parametrize('error, status', [
    (KeyError('no'), '500 Internal Server Error'), (OSError('no'), '202 Accepted'),
])
def test_a_failure_is_what_the_span_says(model: Any, error: Exception, status: str) -> None:
    def handle(event: Any) -> None:
        raise error

    handle_all(model, router_to(handle), ingest_event(), retry_for=[OSError])
    span, = attempts()
    assert span.attributes is not None
    assert span.status.status_code is StatusCode.ERROR and span.status.description == str(error)
    assert span.attributes['error.type'] == type(error).__name__
    assert span.attributes['pacifica_dispatcher.status'] == status
    event, = span.events
    assert event.name == 'exception' and 'in handle' in str((event.attributes or {})['exception.stacktrace'])


def test_an_event_without_a_route_is_an_error_too(model: Any) -> None:
    handle_all(model, router_to(print, '$[?(@["eventType"] = "other")]'), ingest_event())
    span, = attempts()
    assert (span.attributes or {})['error.type'] == 'RouteNotFoundRouterError'


def test_the_trace_goes_on_in_a_handler_that_runs_in_a_process_of_its_own(model: Any) -> None:
    saved, crashed = handle_all(
        model, behaving_router(), ingest_event(data='trace'), ingest_event(data='crash'), isolation='process',
        max_attempts=1)
    first, second = attempts()
    with_result = model.get(model.task_id == saved)
    assert f'"trace":"{first.context.trace_id:032x}"' in with_result.result.replace(' ', '')
    assert f'"span":"{first.context.span_id:016x}"' in with_result.result.replace(' ', '')
    assert (second.attributes or {})['error.type'] == 'WorkerLostError'


class Failing(SpanProcessor):
    """A processor that fails as a span begins, or as it ends, while *when* says so."""

    when = ''

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.when == 'start':
            raise RuntimeError('no start')

    def on_end(self, span: Any) -> None:
        if self.when == 'end':
            raise RuntimeError('no end')
        if self.when == 'cancelled' and span.name == 'handle':
            raise CancelledError('cancelled while it ran')  # as the signal to a handler's process does, anywhere


class FailingExporter(SpanExporter):
    """An exporter that fails while *Failing.when* says so; the SDK logs that."""

    def export(self, spans: Any) -> SpanExportResult:
        if Failing.when == 'export':
            raise RuntimeError('no export')
        return SpanExportResult.SUCCESS


@pytest.mark.parametrize('when', ['start', 'end', 'export'])
def test_a_tracer_that_fails_costs_events_and_their_stages_nothing_and_is_logged_once_in_a_while(
    model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, when: str,
) -> None:
    def handle(event: Any) -> None:
        with stage('handle'):
            runs.append(event.event_id)
        if event.data:
            with stage('fail'):
                raise KeyError('no')

    runs: list[Any] = []
    monkeypatch.setattr(Failing, 'when', when)
    ids = handle_all(model, router_to(handle), *(ingest_event(data=data) for data in (0, 0, 1)))
    assert len(runs) == len(set(runs)) == 3
    assert [(row.task_status, row.exc_type) for row in map(partial(record, model), ids)] == [
        ('200 OK', None), ('200 OK', None), ('500 Internal Server Error', 'KeyError')]
    assert caplog.messages.count('tracing.failed') == (when != 'export')


def test_an_event_that_is_cancelled_while_its_stage_is_traced_ends(
    model: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handle(event: Any) -> None:
        with stage('handle'):
            pass

    monkeypatch.setattr(Failing, 'when', 'cancelled')
    task_id, = handle_all(model, router_to(handle), ingest_event())
    assert record(model, task_id).exc_type == 'CancelledError'


def test_with_celery_too(model: Any) -> None:
    app = app_of(model, tracing=True)
    app.tasks[TASK].delay(ingest_event())
    drain(app)
    span, = attempts()
    assert (span.attributes or {})['pacifica_dispatcher.status'] == '200 OK'


def test_without_tracing_there_is_no_span(model: Any) -> None:
    queue = queue_of(model, print)
    queue.delay(ingest_event())
    assert queue.create_worker().run_once()
    assert not _EXPORTER.get_finished_spans()


def test_without_the_library_the_error_names_the_extra(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'pacifica.dispatcher._tracing', raising=False)
    monkeypatch.setitem(sys.modules, 'opentelemetry', None)
    with pytest.raises(ConfigurationError, match=re.escape('pip install "pacifica-dispatcher[otel]"')):
        queue_of(model, print, tracing=True)


def test_who_wants_neither_traces_nor_metrics_imports_neither() -> None:
    program = ('import sys, pacifica.dispatcher.receiver; '
               'print({"opentelemetry", "prometheus_client"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', program], check=True, capture_output=True, text=True)
    assert done.stdout == 'set()\n'
