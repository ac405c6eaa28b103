"""What a handler is run with, and which code it is, is kept with the event: on every database, and in the upload."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner
from support.events import ingest_event, wait_until
from support.measuring import Measure
from support.queues import APPLICATION, TASK, drain, queue_of
from support.staging import read_bundle

DEFAULTS = {'threshold': 1, 'mode': 'fast'}
NAME = 'support.measuring:Measure'


class Bench:
    """A queue with one route that has parameters, whose uploads are kept as bundles."""

    def __init__(self, model: Any, writer: Writer, directory: Path) -> None:
        router = Router()
        router.add_route(
            JSONPath.parse_str('$'), StagedEventHandler(None, Measure(), LocalUploaderRunner(directory)),
            name='measure', parameters=DEFAULTS)
        self.queue = queue_of(model, router, max_attempts=1)
        self.operator = Operator(writer)
        self.directory = directory
        self.store = Store(writer, QueueName(APPLICATION, TASK))
        self._records = Records(writer.connections)

    def accept(self, **attributes: Any) -> UUID:
        return UUID(self.queue.delay(ingest_event(**attributes)).id)

    def run(self) -> None:
        wait_until(lambda: drain(self.queue.create_worker()))

    def record(self, task_id: UUID) -> Any:
        return self._records.get(task_id)

    def used(self, task_id: UUID) -> list[Any]:
        """Return the parameters of each attempt so far."""
        return [entry.get('parameters') for entry in self.record(task_id)['history'] if 'attempt' in entry]

    def key_values(self) -> list[dict[str, str]]:
        """Return those of each bundle that say where it comes from, in any order."""
        prefix = 'Pacifica.Dispatcher.'
        return [
            {row['key'].removeprefix(prefix): row['value'] for row in read_bundle(path)[1]
             if str(row.get('key')).startswith(prefix)}
            for path in self.directory.glob('*.tar')]


@pytest.fixture
def bench(model: Any, writer: Writer, tmp_path: Path) -> Bench:
    model.migrate()
    return Bench(model, writer, tmp_path / 'bundles')


def test_the_defaults_are_used_and_kept_with_the_code_that_ran(bench: Bench) -> None:
    task_id = bench.accept()

    bench.run()

    assert bench.used(task_id) == [DEFAULTS]
    [attempt] = bench.record(task_id)['history']
    assert attempt['code']['name'] == NAME
    assert bench.record(task_id)['parameters'] is None


def test_an_event_that_is_retried_with_others_uses_those_and_does_all_again(bench: Bench) -> None:
    task_id = bench.accept()
    bench.run()

    assert bench.operator.retry([task_id], by='me', parameters={'threshold': 5}) == [True]
    bench.run()

    assert bench.used(task_id) == [DEFAULTS, {**DEFAULTS, 'threshold': 5}]
    acts = [entry for entry in bench.record(task_id)['history'] if 'action' in entry]
    assert [(act['action'], act['by'], act['parameters']) for act in acts] == [('retry', 'me', {'threshold': 5})]
    assert sorted(each['parameters'] for each in bench.key_values()) == [
        '{"threshold": 1, "mode": "fast"}', '{"threshold": 5, "mode": "fast"}']


def test_a_retry_keeps_what_was_set_and_adds_to_it(bench: Bench) -> None:
    task_id = bench.accept()
    bench.run()
    bench.operator.retry([task_id], parameters={'threshold': 5})
    bench.run()

    bench.operator.retry([task_id])
    bench.run()
    bench.operator.retry([task_id], parameters={'mode': 'slow'})
    bench.run()

    assert bench.used(task_id)[2:] == [{'threshold': 5, 'mode': 'fast'}, {'threshold': 5, 'mode': 'slow'}]
    assert bench.record(task_id)['parameters'] == {'threshold': 5, 'mode': 'slow'}


def test_a_replay_forgets_what_was_set(bench: Bench) -> None:
    task_id = bench.accept()
    bench.run()
    bench.operator.retry([task_id], parameters={'threshold': 5})
    bench.run()

    bench.operator.retry([task_id], afresh=True, parameters={'mode': 'slow'})
    bench.run()

    assert bench.used(task_id)[-1] == {'threshold': 1, 'mode': 'slow'}


def test_a_retry_without_others_forgets_nothing_that_was_saved(bench: Bench) -> None:
    task_id = bench.accept()
    claimed = bench.store.claim('me', 60)
    assert claimed is not None
    bench.store.save_result(claimed, {'kept': 1})
    bench.store.release([claimed])
    bench.run()

    bench.operator.retry([task_id])
    assert bench.record(task_id)['result'] == {'kept': 1}
    bench.run()
    bench.operator.retry([task_id], parameters={'threshold': 2})

    assert bench.record(task_id)['result'] is None


def test_an_upload_says_what_made_it_whatever_its_event_said_of_its_own(bench: Bench) -> None:
    event = ingest_event()
    event['data'] += [
        {'destinationTable': 'TransactionKeyValue', 'key': f'Pacifica.Dispatcher.{key}', 'value': 'another'}
        for key in ('handler', 'parameters')]
    bench.accept(data=event['data'])

    bench.run()

    [found] = bench.key_values()
    assert found['handler'].startswith(NAME)
    assert found['parameters'] == '{"threshold": 1, "mode": "fast"}'
    assert set(found) == {'source_transaction', 'lineage.1', 'handler', 'parameters'}


def test_a_table_of_before_is_given_the_column(model: Any, writer: Writer, tmp_path: Path) -> None:
    model.migrate()
    model._meta.database.execute_sql('ALTER TABLE receivetaskmodel DROP COLUMN parameters')

    assert model.migrate() == 'upgraded'
    bench = Bench(model, writer, tmp_path)
    task_id = bench.accept()
    bench.run()

    assert bench.used(task_id) == [DEFAULTS]
