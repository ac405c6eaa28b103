"""What has run is known and shown: which handler, and with which parameters, also after a crash of its process."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._cli import main
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.router import Router
from support.databases import connections_to, model_in
from support.events import ingest_event
from support.measuring import Measure
from support.queues import drain, queue_of, run_each


def test_what_a_crashed_process_ran_is_kept_too(tmp_path: Path) -> None:
    router = Router()
    router.add_route(JSONPath.parse_str('$'), StagedEventHandler(None, Measure(), None), parameters={'crash': True})
    with model_in(f'sqlite:///{tmp_path}/events.db') as model, connections_to(model) as connections:
        queue = queue_of(model, router, max_attempts=1)
        task_id = queue.delay(ingest_event()).id

        run_each(model, queue.create_worker(1, isolation='process', poll_interval=0.05))

        record = Records(connections).get(UUID(task_id))
    assert record is not None
    [attempt] = record['history']
    assert attempt['error'].startswith('WorkerLostError')
    assert attempt['parameters'] == {'crash': True}
    assert attempt['code']['name'] == 'support.measuring:Measure'


@pytest.mark.parametrize('again', [['retry', '--failed'], ['replay', '--all']])
def test_who_runs_events_again_with_other_parameters_is_shown_what_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], again: list[str],
) -> None:
    url = f'sqlite:///{tmp_path}/events.db'

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, '--database', url])
        assert not exit_.value.code
        return capsys.readouterr().out

    with model_in(url) as model:
        router = Router()
        router.add_route(
            JSONPath.parse_str('$'), StagedEventHandler(None, Measure(), None), parameters={'mode': 'fast'})
        queue = queue_of(model, router)  # it fails without a threshold
        task_id = queue.delay(ingest_event()).id
        drain(queue.create_worker())

        call(*again, '--set', 'threshold=5', '--set', 'text=as it is', '--by', 'me', '--yes')
        drain(queue.create_worker())

    shown = call('show', task_id)
    assert f'{again[0]} by me, with {{"threshold": 5, "text": "as it is"}}\n' in shown
    assert '      parameters: {"mode": "fast"}\n' in shown
    assert '      parameters: {"mode": "fast", "threshold": 5, "text": "as it is"}\n' in shown
    assert shown.count('      handler: support.measuring:Measure') == 2
    assert json.loads(call('show', task_id, '--json'))['parameters'] == {'threshold': 5, 'text': 'as it is'}
