"""The manual, the dashboard and the alerts speak of the metrics that there are, all of them, by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from pacifica.dispatcher._lineage import step
from pacifica.dispatcher._metrics import CountingObserver, definitions, subscription_observer
from pacifica.dispatcher._metrics.definitions import DATABASE, DISK, PREFIX
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.exceptions import RetryLater
from pacifica.dispatcher.task_context import stage
from support.databases import connections_to, model_in
from support.documents import PROJECT
from support.events import dumps, ingest_event, router_to
from support.front_door import wsgi_server
from support.metrics import Scrape
from support.promql import parse

DOCS = PROJECT / 'docs'
DASHBOARD = json.loads((DOCS / 'grafana' / 'pacifica-dispatcher.json').read_text('utf-8'))
ALERTS = yaml.safe_load((DOCS / 'grafana' / 'alerts.yaml').read_text('utf-8'))
PANELS = [panel for panel in DASHBOARD['panels'] if panel['type'] != 'row']
RULES = [rule for group in ALERTS['groups'] for rule in group['rules']]
QUERIES = [
    *((panel['title'], target['expr']) for panel in PANELS for target in panel['targets']),
    *((rule['alert'], rule['expr']) for rule in RULES),
]
TESTS = yaml.safe_load((PROJECT / 'tests' / 'acceptance' / 'alerts.test.yaml').read_text('utf-8'))['tests']
TESTED = sorted({series['series'] for test in TESTS for series in test['input_series']})
#: Labels and metrics of Prometheus itself, or of a rule's own.
EVERYWHERE = {'instance', 'job', 'le'}
OF_PROMETHEUS: dict[str, set[str]] = {'up': set()}
#: With it, what a process has counted since it started is as good as an increase.
STARTED = 'process_start_time_seconds'


@pytest.fixture(scope='module')
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrape]:
    """A scrape of a service that has done everything that is counted."""
    folder = tmp_path_factory.mktemp('scrape')
    name = QueueName(f'app-{uuid4().hex}', 'my.tasks.receive')

    def handle(event: Any) -> None:
        with stage('download', files=1, bytes=1):
            pass
        if event.data == 'retry':
            raise RetryLater(60)

    router = router_to(handle)
    next(iter(router)).concurrency = 4
    observer = CountingObserver(name)
    observer.rescued(0, 1)
    observer.missed()
    subscription_observer('mine')(True, True)
    with model_in(f'sqlite:///{folder}/events.db') as model, connections_to(model) as connections:
        queue = model.create_queue(router, *name, metrics=True)
        worker = queue.create_worker()
        store = Store(Writer(connections), name)
        store.beat(Heartbeat('a' * 32, name, 'here:1', 'threads', 4, 30.0))
        store.begin_outage('Cartd at http://archive:8081', 'Connection refused')
        with wsgi_server(model.create_cherrypy_app(queue, metrics=True)) as client:
            own = {'destinationTable': 'TransactionKeyValue', 'key': 'Pacifica.Dispatcher.lineage.1',
                   'value': step(name.application, next(iter(router)).name)}
            for data in ([own], 'waits', 'retry', 'ends'):
                client.request('POST', '/receive', dumps(ingest_event(data=data)).encode(),
                               {'Content-Type': 'application/json'})
            assert worker.run_once() and worker.run_once() and worker.run_once()
            yield Scrape(client.get('/metrics').body.decode())


def documented() -> dict[str, tuple[str, str, str]]:
    """Return name → type, labels and text of each metric in the manual's table."""
    rows = re.findall(
        r'^   \* - ``(\w+)``\n     - (\w+)\n     - (.*)\n     - (.*)\n',
        (DOCS / 'monitoring.rst').read_text('utf-8'), re.MULTILINE)
    return {name: (kind, labels, text) for name, kind, labels, text in rows}


def defined() -> dict[str, tuple[str, str, str]]:
    """Return the same of each metric in the code."""
    found = {}
    for metric in vars(definitions).values():
        if isinstance(metric, MetricWrapperBase):
            family, = metric.describe()
            name = family.name + ('_total' if family.type == 'counter' else '')
            found[name] = (family.type, _listed(metric._labelnames), family.documentation)
    for name, (text, labels) in {**DATABASE, **DISK}.items():
        found[PREFIX + name] = ('gauge', _listed(labels), text)
    return found


def _listed(labels: Any) -> str:
    return ', '.join(f'``{label}``' for label in labels) or 'none'


def family_of(name: str) -> str:
    return re.sub(r'_(bucket|sum|count)$', '', name)


def test_the_manual_lists_every_metric_as_it_is() -> None:
    assert documented() == defined()


def test_every_metric_is_in_a_scrape_of_a_service_that_has_done_everything(scrape: Scrape) -> None:
    assert {family_of(name) for name in scrape.label_names() if name.startswith(PREFIX)} \
        - {name for name in scrape.label_names() if name.endswith('_created')} == set(defined())


@pytest.mark.parametrize('query', [query for _, query in QUERIES], ids=[title for title, _ in QUERIES])
def test_every_query_asks_for_what_is_there(scrape: Scrape, query: str) -> None:
    there = scrape.label_names() | OF_PROMETHEUS
    parsed = parse(query)
    assert parsed.selectors
    labels = set(EVERYWHERE)
    for selector in parsed.selectors:
        assert selector.name in there
        assert selector.labels <= there[selector.name] | EVERYWHERE
        is_gauge = defined().get(family_of(selector.name), ('gauge',))[0] == 'gauge'
        assert selector.rate == (not is_gauge) or (STARTED in query and not selector.ranged)
        labels |= there[selector.name]
    assert parsed.grouped_by <= labels


@pytest.mark.parametrize('series', TESTED)
def test_the_rules_are_tested_with_what_is_there(scrape: Scrape, series: str) -> None:
    selector, = parse(series).selectors
    there = scrape.label_names() | OF_PROMETHEUS
    assert selector.name in there
    assert selector.labels == there[selector.name] | {'job', 'instance'}


def test_the_manual_explains_each_alert() -> None:
    explained = re.findall(r'^   \* - ``(PacificaDispatcher\w+)``$', (DOCS / 'monitoring.rst').read_text('utf-8'), re.M)
    assert explained == [rule['alert'] for rule in RULES]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {family_of(selector.name) for panel in PANELS for target in panel['targets']
             for selector in parse(target['expr']).selectors}
    assert shown == set(defined())


def test_the_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD['panels']:
        place = panel['gridPos']
        cells = {(x, y) for x in range(place['x'], place['x'] + place['w'])
                 for y in range(place['y'], place['y'] + place['h'])}
        assert place['x'] + place['w'] <= 24 and not cells & taken
        taken |= cells
    assert len({panel['id'] for panel in DASHBOARD['panels']}) == len(DASHBOARD['panels'])


def test_the_dashboard_uses_the_variables_that_it_has() -> None:
    has = {variable['name'] for variable in DASHBOARD['templating']['list']}
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r'\$\{?([a-z]\w*)', text)) == has


def test_every_alert_says_what_is_wrong_and_names_labels_that_its_query_has() -> None:
    assert len({rule['alert'] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) <= {'alert', 'expr', 'for', 'labels', 'annotations'}
        assert rule['labels']['severity'] in ('warning', 'critical')
        assert re.fullmatch(r'\d+m', rule.get('for', '1m'))
        text = rule['annotations']['summary'] + rule['annotations']['description']
        used = set(re.findall(r'\$labels\.(\w+)', text))
        assert used <= parse(rule['expr']).grouped_by


@pytest.mark.parametrize('wrong', [
    'sum(rate(a_total[5m])', 'rate(a_total)', 'a_total[5m]', 'summ(a)', 'a{b=c}', 'a{b="c"', 'a ? b', 'sum(a))',
])
def test_what_is_no_query_is_noticed(wrong: str) -> None:
    """Else the tests above would say nothing."""
    with pytest.raises(ValueError):
        parse(wrong)


def test_names_are_as_prometheus_wants_them() -> None:
    assert QueueName._fields == ('application', 'task')  # whose values are labels in this order
    for name, (kind, _, text) in defined().items():
        assert (kind == 'counter') == name.endswith('_total')
        assert kind != 'histogram' or name.endswith('_seconds')
        assert name.startswith(PREFIX) and text.endswith('.')


def test_the_manual_names_the_files_that_are_there() -> None:
    named = set(re.findall(r':download:`[^`<]*<([^>`]+)>`', (DOCS / 'monitoring.rst').read_text('utf-8')))
    assert {Path(name).name for name in named} == {'pacifica-dispatcher.json', 'alerts.yaml'}
    assert all((DOCS / name).is_file() for name in named)
