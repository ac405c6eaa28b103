"""What a handler in a process of its own has run is known, however that ended."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.router import Router
from support.databases import connections_to, model_in
from support.events import ingest_event
from support.measuring import Measure
from support.queues import queue_of, run_each


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
