"""A handler in a process harms nobody, and nothing outlives it: what it started, what it made, and who owns it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher.event_handlers import CommandEventHandler, StagedEventHandler
from pacifica.dispatcher.router import Router
from support import uploading
from support.behaving import Behaving, behaving_router
from support.events import ingest_event, wait_until
from support.pacifica_fakes import FakeIngest
from support.processes import is_alive, state_of
from support.queues import queue_of

Start = Callable[..., Any]
IMPORT_NAME = 'support.behaving:ROUTER'
#: For what is the same on every database.
ONCE = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


@pytest.fixture
def start(model: Any) -> Iterator[Start]:
    """Starts a worker whose handlers run in processes, and returns its queue."""
    workers = []

    def started(router: Router | None = None, max_attempts: int = 1, **settings: Any) -> Any:
        queue = queue_of(model, router or behaving_router(), max_attempts=max_attempts)
        settings = {'concurrency': 2, 'isolation': 'process', **settings}
        workers.append(queue.create_worker(**settings))
        workers[-1].start()
        return queue

    yield started
    for worker in workers:
        worker.stop(0)


def begin(queue: Any, act: str) -> UUID:
    return UUID(queue.delay(ingest_event(data=act, contentType='text/plain')).id)


def ended(model: Any, task_id: UUID) -> Any:
    """Return the record of an event once it has ended."""
    wait_until(lambda: model.get(model.task_id == task_id).finalized, 60)
    return model.get(model.task_id == task_id)


def saved(model: Any, task_id: UUID) -> dict[str, Any]:
    """Return what the handler has saved, once it has."""
    from json import loads

    return loads(wait_until(lambda: model.get(model.task_id == task_id).result, 60))


@ONCE
def test_a_handler_may_use_processes_of_its_own(model: Any, start: Start) -> None:
    task_id = begin(start(), 'pool')

    assert ended(model, task_id).task_status == '200 OK'
    assert saved(model, task_id)['squares'] == [1, 2]


@ONCE
def test_a_handler_may_end_a_process_of_its_own(model: Any, start: Start) -> None:
    task_id = begin(start(), 'end')

    assert ended(model, task_id).task_status == '200 OK'
    assert saved(model, task_id)['exit_code'] == -signal.SIGTERM


@ONCE
@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_a_handler_that_forks_and_returns_ends_once_and_its_copy_too(
    model: Any, start: Start, isolation: str, capfd: pytest.CaptureFixture[str],
) -> None:
    queue = start(isolation=isolation)
    records = Records(model._writer.connections)  # which read nothing while the process forks; the model may
    task_id = begin(queue, 'fork')

    wait_until(lambda: records.status(task_id) == '200 OK')
    wait_until(lambda: not is_alive(saved(model, task_id)['copy']), 60)
    assert ended(model, begin(queue, 'fine')).task_status == '200 OK'


@ONCE
def test_at_its_limit_a_handler_ends_with_every_program_that_it_started(model: Any, start: Start) -> None:
    task_id = begin(start(handler_timeout=2), 'programs')

    assert ended(model, task_id).exc_type == 'HandlerTimeoutError'
    result = saved(model, task_id)
    wait_until(lambda: not any(map(is_alive, [result['process'], *result['programs']])), 60)


@ONCE
def test_a_crash_leaves_the_stage_the_route_and_the_traceback_and_no_directory(model: Any, start: Start) -> None:
    task_id = begin(start(), 'crash in stage')

    record = ended(model, task_id)
    assert (record.exc_type, record.exc_value) == (
        'WorkerLostError', 'the handler\'s process was killed by SIGABRT')
    assert record.route == '$ → Behaving' and '_stage_in_and_crash' in record.exc_traceback
    assert '"fine"' in record.history and '"last"' in record.history
    assert not Path(saved(model, task_id)['directory']).exists()


@ONCE
def test_a_crash_is_tried_again_after_a_pause(model: Any, start: Start) -> None:
    queue = start(max_attempts=2)
    task_id = begin(queue, 'crash')

    record = ended(model, task_id)

    assert record.attempts == 2
    assert (record.finalized - record.created).total_seconds() >= 2


@ONCE
def test_a_handler_that_holds_the_interpreter_keeps_nobody_waiting(model: Any, start: Start) -> None:
    queue = start()
    holding = begin(queue, 'interpreter')
    wait_until(lambda: model.get(model.task_id == holding).task_status == '102 Processing', 60)

    others = [begin(queue, 'fine') for _ in range(20)]

    assert {ended(model, each).task_status for each in others} == {'200 OK'}
    assert model.get(model.task_id == holding).task_status == '102 Processing'


@ONCE
def test_a_memory_limit_is_a_memory_error(model: Any, start: Start) -> None:
    queue = start(memory_limit=4 << 30)

    assert ended(model, begin(queue, 'memory')).exc_type == 'MemoryError'
    assert ended(model, begin(queue, 'fine')).task_status == '200 OK'


@ONCE
def test_what_a_handler_logs_is_in_the_service_s_log_with_its_task(
    model: Any, start: Start, caplog: pytest.LogCaptureFixture,
) -> None:
    task_id = begin(start(), 'log')

    ended(model, task_id)

    [record] = [each for each in caplog.records if each.name == 'support.behaving']
    assert record.getMessage() == 'said by a handler' and vars(record)['here'] != os.getpid()
    assert vars(record)['task_id'] == str(task_id) and vars(record)['odd'] == {'own': 'odd'}


@ONCE
def test_a_router_is_imported_by_its_name_and_need_not_be_picklable(model: Any, start: Start) -> None:
    router = behaving_router()
    router.unpicklable = lambda: None  # type: ignore[attr-defined]  # as a closure of a user's would be
    queue = start(router, import_name=IMPORT_NAME)

    assert ended(model, begin(queue, 'fine')).task_status == '200 OK'


@ONCE
@pytest.mark.parametrize('act', ['programs', 'stubborn'])
def test_a_running_event_is_cancelled_with_all_that_it_started(model: Any, start: Start, act: str) -> None:
    task_id = begin(start(), act)
    result = saved(model, task_id)

    assert Operator(model._writer).cancel([task_id], by='me') == [True]

    record = ended(model, task_id)
    assert (record.task_status, record.exc_type) == ('500 Internal Server Error', 'CancelledError')
    assert record.exc_value.startswith('cancelled by me while it ran')
    wait_until(lambda: not any(map(is_alive, [result['process'], *result['programs']])) or act == 'programs', 60)


@ONCE
def test_in_a_thread_a_cancelled_event_ends_at_its_next_stage(model: Any, start: Start) -> None:
    task_id = begin(start(isolation='thread'), 'stages')
    wait_until(lambda: model.get(model.task_id == task_id).task_status == '102 Processing', 60)

    Operator(model._writer).cancel([task_id])

    record = ended(model, task_id)
    assert (record.exc_type, record.exc_value) == ('CancelledError', 'cancelled while it ran')


def test_what_was_cancelled_and_is_to_run_again_ends_instead(model: Any) -> None:
    queue = queue_of(model, behaving_router())
    task_id = begin(queue, 'fine')
    store = queue._store
    held = store.claim('lost', 60)
    Operator(model._writer).cancel([task_id], by='me')
    store.release([held])

    assert queue.create_worker().run_once()

    record = model.get(model.task_id == task_id)
    assert (record.exc_type, record.exc_value) == ('CancelledError', 'cancelled by me while it ran')
    assert Operator(model._writer).retry([task_id]) == [True]
    assert queue.create_worker().run_once()
    assert model.get(model.task_id == task_id).task_status == '200 OK'


@ONCE
def test_a_service_that_was_stopped_beyond_its_lease_uploads_nothing(
    model: Any, start: Start, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeIngest() as ingest:
        monkeypatch.setenv('TEST_INGEST_PORT', str(ingest.port))
        router = uploading.router()
        with service_of(database_url, tmp_path, 'support.uploading', lease=2, TEST_GATE=tmp_path / 'gate') as service:
            task_id = begin(queue_of(model, router), 'x')
            handler = saved(model, task_id)['process']
            with model._meta.database.atomic('IMMEDIATE'):  # stopped in a transaction, it would keep SQLite locked
                for pid in (service.pid, handler):
                    os.kill(pid, signal.SIGSTOP)
                wait_until(lambda: {state_of(service.pid), state_of(handler)} == {'T'})
            start(router, max_attempts=3, isolation='thread')
            assert ended(model, task_id).task_status == '200 OK'
            (tmp_path / 'gate').touch()
            for pid in (handler, service.pid):
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: (tmp_path / 'gate.passed').exists(), 60)

            assert ended(model, begin(queue_of(model, router), 'y')).task_status == '200 OK'
            wait_until((tmp_path / 'gate.lost').exists, 60)

    assert len(ingest.jobs) == 2


SERVICE = '''
import sys
from playhouse.db_url import connect
from pacifica.dispatcher.receiver import create_peewee_model
from importlib import import_module

if __name__ == '__main__':
    model = create_peewee_model(connect(sys.argv[1]))
    _, url, module, lease = sys.argv
    queue = model.create_queue(import_module(module).ROUTER, 'my.app', 'my.tasks.receive')
    worker = queue.create_worker(
        concurrency=1, isolation='process', lease=float(lease), import_name=f'{module}:ROUTER')
    worker.run()
'''


@contextmanager
def service_of(database_url: str, directory: Path, module: str, lease: float, **env: object) -> Iterator[Any]:
    """Run a service whose handlers run in processes; kill it at the end."""
    (directory / 'service.py').write_text(SERVICE)
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1]),
                   **{name: str(value) for name, value in env.items()}}
    service = subprocess.Popen(
        [sys.executable, str(directory / 'service.py'), database_url, module, str(lease)], env=environment)
    try:
        yield service
    finally:
        service.kill()
        service.wait()


def test_a_killed_service_takes_its_handlers_along_and_its_events_run_again_at_once(
    model: Any, start: Start, database_url: str, tmp_path: Path,
) -> None:
    queue = queue_of(model, behaving_router())
    with service_of(database_url, tmp_path, 'support.behaving', lease=600):
        task_id = begin(queue, 'programs')
        first = saved(model, task_id)

    wait_until(lambda: not any(map(is_alive, [first['process'], *first['programs']])), 60)
    start(max_attempts=2)

    wait_until(lambda: saved(model, task_id)['process'] != first['process'], 60)  # with a lease of ten minutes
    assert model.get(model.task_id == task_id).attempts == 2


@ONCE
def test_a_template_that_is_killed_costs_a_waiting_event_nothing(
    model: Any, start: Start, caplog: pytest.LogCaptureFixture,
) -> None:
    queue = start()
    handler = Path(f'/proc/{saved(model, begin(queue, "fine"))["process"]}/stat').read_text()
    template = int(handler.rpartition(') ')[2].split()[1])

    os.kill(template, signal.SIGKILL)
    wait_until(lambda: not is_alive(template), 60)

    assert ended(model, begin(queue, 'fine')).attempts == 1
    assert 'handlers.template_lost' in caplog.messages


def router_of(handler: Any, **limits: Any) -> Router:
    router = Router()
    router.add_route(JSONPath.parse_str('$'), handler, name='limited', **limits)
    return router


@ONCE
@pytest.mark.parametrize('everywhere', [None, 3600])
def test_a_route_has_a_time_limit_of_its_own(model: Any, start: Start, everywhere: float | None) -> None:
    queue = start(router_of(Behaving(), timeout=1), handler_timeout=everywhere)
    task_id = begin(queue, 'programs')

    assert ended(model, task_id).exc_value == (
        'the handler ran longer than the timeout of its route, 1 seconds, and was killed')
    result = saved(model, task_id)
    wait_until(lambda: not any(map(is_alive, [result['process'], *result['programs']])), 60)
    assert ended(model, begin(queue, 'fine')).task_status == '200 OK'


@ONCE
def test_a_route_can_t_have_more_time_than_the_worker_gives(model: Any, start: Start) -> None:
    task_id = begin(start(router_of(Behaving(), timeout=3600), handler_timeout=1), 'hang')

    assert 'longer than handler_timeout, 1 seconds' in ended(model, task_id).exc_value


@ONCE
def test_the_memory_limit_of_a_route_is_that_of_its_handlers_alone(model: Any, start: Start) -> None:
    router = Router()
    router.add_route(
        JSONPath.parse_str('$[?(@["data"] = "memory")]'), Behaving(), name='limited', memory_limit=4 << 30)
    router.add_route(JSONPath.parse_str('$'), Behaving())
    queue = start(router, concurrency=1)

    failed = ended(model, begin(queue, 'memory'))
    assert (failed.exc_type, failed.route) == ('MemoryError', 'limited')
    limits = saved(model, begin(queue, 'limits'))['memory']
    assert limits[0] == limits[1]


@ONCE
def test_in_a_thread_a_route_with_a_limit_fails_rather_than_run_without_it(model: Any, start: Start) -> None:
    task_id = begin(start(router_of(Behaving(), timeout=1), isolation='thread'), 'fine')

    assert ended(model, task_id).exc_type == 'ConfigurationError'


PROGRAM = 'echo $$ > "$PIDS"; sleep 3600 & echo $! >> "$PIDS"; wait'


@ONCE
@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_a_cancelled_event_ends_its_program_with_all_that_it_started(
    model: Any, start: Start, tmp_path: Path, isolation: str,
) -> None:
    pids = tmp_path / 'pids'
    command = CommandEventHandler(PROGRAM, shell=True, environment={'PIDS': str(pids)})
    task_id = begin(start(router_of(StagedEventHandler(None, command, None)), isolation=isolation), 'any')
    started = wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2 and pids.read_text().split(), 60)

    assert Operator(model._writer).cancel([task_id], by='me') == [True]

    assert ended(model, task_id).exc_type == 'CancelledError'
    wait_until(lambda: not any(is_alive(int(pid)) for pid in started), 60)


@ONCE
def test_a_program_ends_with_the_process_of_its_handler(model: Any, start: Start, tmp_path: Path) -> None:
    pids = tmp_path / 'pids'
    command = CommandEventHandler(PROGRAM, shell=True, environment={'PIDS': str(pids)})
    task_id = begin(start(router_of(StagedEventHandler(None, command, None)), handler_timeout=2), 'any')

    assert ended(model, task_id).exc_type == 'HandlerTimeoutError'
    wait_until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()), 60)
