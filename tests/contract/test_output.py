"""What handlers print and log is kept with their events, on every database and engine; and what it costs nobody."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher._engine.output import HALF
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.output import KeptOutput
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions.output import MOST_RUNS
from pacifica.dispatcher._queue.values import Outcome, RunOutput
from pacifica.dispatcher.exceptions import RetryLater
from pacifica.dispatcher.task_context import current_task
from support.events import ingest_event, received, wait_until
from support.printing import printing_router
from support.queues import drain, queue_of, status

Begin = Callable[..., UUID]
#: For what is the same on every database.
ONCE = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


@pytest.fixture
def begin(model: Any) -> Iterator[Begin]:
    """Starts a worker, unless there is one, and gives it an event that says what its handler does."""
    workers: list[Any] = []

    def begun(act: str, isolation: str = 'process', **settings: Any) -> UUID:
        queue = queue_of(model, printing_router(), max_attempts=settings.pop('max_attempts', 1), backoff=0.01)
        if not workers:
            workers.append(queue.create_worker(concurrency=1, isolation=isolation, **settings))
            workers[-1].start()
        return UUID(queue.delay(ingest_event(data=act, contentType='text/plain')).id)

    yield begun
    for worker in workers:
        worker.stop(0)


def runs(model: Any, task_id: object) -> list[KeptOutput]:
    found = Records(model._writer.connections).outputs(UUID(str(task_id)))
    assert found is not None
    return found


def printed(model: Any, task_id: object) -> dict[str, str]:
    """Return what the last run of an event has printed, by stream."""
    streams: dict[str, str] = {}
    for chunk in [*runs(model, task_id)[-1].head, *runs(model, task_id)[-1].tail]:
        streams[chunk.stream] = streams.get(chunk.stream, '') + chunk.text
    return streams


def ended(model: Any, task_id: UUID) -> dict[str, str]:
    """Return what an event has printed, once it has ended."""
    wait_until(lambda: model.get(model.task_id == task_id).finalized, 60)
    return printed(model, task_id)


def run_output(text: str = 'x', omitted: int = 0) -> RunOutput:
    return RunOutput(json.dumps([[1.0, 'stdout', text, 0]]), '[]', omitted, 0.5, 'half')


def rows(model: Any) -> int:
    return int(model._meta.database.execute_sql('SELECT COUNT(*) FROM receivetaskoutput').fetchone()[0])


def test_what_a_handler_prints_is_seen_while_it_runs_and_whole_when_it_has_ended(model: Any, started: Any) -> None:
    go_on: list[bool] = []

    def handle(event: Any) -> None:
        print('before')
        current_task().progress(0.4, 'fitting peak 4 of 10')
        wait_until(lambda: go_on)
        print('after ✓')
        model._meta.database.close()

    queue = queue_of(model, handle)
    started(queue.create_worker())
    task_id = queue.delay(ingest_event()).id

    run, = wait_until(lambda: runs(model, task_id))
    assert (run.attempt, run.head[0].text, run.progress, run.progress_text) == (
        1, 'before\n', 0.4, 'fitting peak 4 of 10')
    go_on.append(True)
    wait_until(lambda: status(model, task_id) == '200 OK')
    assert printed(model, task_id) == {'stdout': 'before\nafter ✓\n'}
    assert len(runs(model, task_id)) == 1


@ONCE
@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_all_ways_to_print_are_kept(
    model: Any, begin: Begin, isolation: str, caplog: pytest.LogCaptureFixture,
) -> None:
    streams = ended(model, begin('all ways', isolation))

    assert streams['log'] == 'WARNING support.printing: logged.once peak=4\n'
    assert 'logged.once' in caplog.messages
    if isolation == 'process':
        assert streams['stdout'] == 'printed\nwithout an endfrom a program\nhanded over\n'
        assert streams['stderr'] == ' from C\nits fault\n'
    else:  # what a program prints by itself is known to be of no thread
        assert streams['stdout'] == 'printed\nwithout an endhanded over\n'


@ONCE
def test_each_event_has_its_own_and_a_silent_one_nothing(model: Any, begin: Begin) -> None:
    first, silent, last = begin('all ways'), begin('silent'), begin('fine')

    assert ended(model, last) == {'stdout': 'fine\n'}
    assert runs(model, silent) == []
    assert 'fine' not in ended(model, first)['stdout']


@ONCE
@pytest.mark.slow
def test_what_is_printed_just_before_the_end_is_never_missed(model: Any, begin: Begin) -> None:
    task_ids = [begin('fine') for _ in range(200)]

    assert all(ended(model, task_id) == {'stdout': 'fine\n'} for task_id in task_ids)


@ONCE
def test_a_crash_keeps_what_was_printed_before(model: Any, begin: Begin) -> None:
    assert ended(model, begin('crash')) == {'stdout': 'last words\nand some'}


@ONCE
def test_a_handler_that_is_killed_at_its_limit_keeps_its_output_and_its_progress(model: Any, begin: Begin) -> None:
    task_id = begin('hang', handler_timeout=0.5)

    assert ended(model, task_id) == {'stdout': 'soon to be killed\n'}
    assert model.get(model.task_id == task_id).exc_type == 'HandlerTimeoutError'
    assert runs(model, task_id)[0].progress_text == 'fitting peak 4 of 10'


@ONCE
def test_a_handler_that_is_cancelled_keeps_its_output(model: Any, begin: Begin) -> None:
    task_id = begin('hang')
    wait_until(lambda: runs(model, task_id))

    Operator(model._writer).cancel([task_id])

    assert ended(model, task_id)['stdout'] == 'soon to be killed\n'


@ONCE
@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_of_a_tight_loop_the_last_progress_is_kept(model: Any, begin: Begin, isolation: str) -> None:
    task_id = begin('progress', isolation)

    wait_until(lambda: model.get(model.task_id == task_id).finalized, 60)

    run, = runs(model, task_id)
    assert (run.progress, run.progress_text) == (0.9999, 'step 9999')


@ONCE
@pytest.mark.parametrize('isolation', ['process', 'thread'])
def test_the_stage_of_a_silent_handler_is_known_while_it_runs(
    model: Any, begin: Begin, isolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = tmp_path / 'gate'
    monkeypatch.setenv('TEST_GATE', str(gate))
    task_id = begin('stages', isolation)

    wait_until(lambda: [each.progress_text for each in runs(model, task_id)] == ['fit'])
    gate.touch()
    wait_until(lambda: model.get(model.task_id == task_id).finalized, 60)

    run, = runs(model, task_id)
    assert (run.progress_text, run.head, run.tail) == ('', [], [])


@ONCE
@pytest.mark.parametrize('act', ['close', 'put over'])
def test_a_handler_that_closes_its_output_harms_no_other_event(model: Any, begin: Begin, act: str) -> None:
    harming, other = begin(act), begin('all ways')

    assert ended(model, other)['stdout'].startswith('printed\n')
    assert status(model, harming) == '200 OK'


@ONCE
def test_what_a_program_prints_that_was_left_behind_is_no_other_event_s_before_that_begins(
    model: Any, begin: Begin, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, 'pacifica.dispatcher._engine.handler_process')
    leaving = begin('leave a program')
    wait_until(lambda: model.get(model.task_id == leaving).finalized, 60)
    time_after = time.monotonic() + 0.2
    wait_until(lambda: time.monotonic() > time_after)

    ended(model, begin('fine'))

    assert 'handlers.printed_for_no_event' in caplog.messages


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096


@ONCE
@pytest.mark.parametrize('megabytes', [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_a_program_may_print_without_end_and_the_service_stays_small(
    model: Any, begin: Begin, megabytes: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('TEST_BYTES', str(megabytes << 20))
    ended(model, begin('fine'))
    sizes = [resident()]
    task_id = begin('much')
    wait_until(lambda: sizes.append(resident()) or model.get(model.task_id == task_id).finalized)

    run, = runs(model, task_id)
    head, tail = (''.join(chunk.text for chunk in half) for half in (run.head, run.tail))
    assert (len(head), len(tail), run.omitted) == (HALF, HALF, (megabytes << 20) - 2 * HALF)
    assert head.startswith('0123456789abcde\n') and tail.endswith('abcde\n')
    assert max(sizes) - sizes[0] < 20 << 20


def test_the_output_of_an_attempt_that_is_tried_again_stays(model: Any, begin: Begin) -> None:
    task_id = begin('again', 'thread', max_attempts=2)

    assert ended(model, task_id) == {'stdout': 'attempt 2\n'}
    assert [(run.attempt, run.head[0].text) for run in runs(model, task_id)] == [
        (1, 'attempt 1\n'), (2, 'attempt 2\n')]


def test_output_that_was_not_written_is_written_with_the_end_of_the_attempt(store: Store) -> None:
    store.accept([received(), received()])
    done, waiting = store.claim('me', 60), store.claim('me', 60)
    assert done and waiting

    assert store.finish(done, Outcome.succeeded()._replace(output=run_output('done')))
    assert store.finish(waiting, Outcome.wait(RetryLater(), 5)._replace(output=run_output('waits', 5 << 30)))

    [end], [wait] = (Records(store.connections).outputs(each.task_id) or [] for each in (done, waiting))
    assert (end.head[0].text, end.tail, end.omitted, end.attempt) == ('done', [], 0, 1)
    assert (wait.head[0].text, wait.omitted) == ('waits', 5 << 30)


def test_a_lost_lease_writes_no_output(store: Store) -> None:
    store.accept([received()])
    lost = store.claim('me', 60)
    assert lost
    store.release([lost])
    held = store.claim('other', 60)
    assert held

    assert not store.keep_output(lost, run_output('lost'))
    assert not store.finish(lost, Outcome.succeeded()._replace(output=run_output('lost')))
    assert store.keep_output(held, run_output('held'))

    run, = Records(store.connections).outputs(held.task_id) or []
    assert run.head[0].text == 'held'


def test_what_is_written_again_replaces_all_but_a_beginning_that_is_the_same(store: Store) -> None:
    store.accept([received()])
    claimed = store.claim('me', 60)
    assert claimed
    store.keep_output(claimed, run_output('first'))

    store.keep_output(claimed, RunOutput(None, '[[2.0, "log", "last", 600000]]', 599_995, 1.0, 'done'))

    run, = Records(store.connections).outputs(claimed.task_id) or []
    assert (run.head[0].text, run.tail[0], run.omitted) == ('first', (2.0, 'log', 'last', 600_000), 599_995)
    assert (run.progress, run.progress_text) == (1.0, 'done')


def test_of_events_that_are_claimed_together_each_has_its_own(store: Store) -> None:
    from pacifica.dispatcher._queue.transitions import Claim

    store.accept([received(), received()])
    claims = store._writer.run(*[Claim(store.name, 'me', 60)] * 2)
    assert claims[0].token == claims[1].token

    for claimed in claims:
        store.keep_output(claimed, run_output(str(claimed.task_id)))

    for claimed in claims:
        run, = Records(store.connections).outputs(claimed.task_id) or []
        assert run.head[0].text == str(claimed.task_id)


def test_it_is_deleted_with_its_event(model: Any) -> None:
    queue = queue_of(model, lambda event: current_task().output('stdout', b'x'))
    queue.accept([received(), received()])
    drain(queue.create_worker())
    assert rows(model) == 2

    assert queue.prune(-60) == 2

    assert rows(model) == 0


@ONCE
def test_of_an_event_that_runs_again_and_again_the_latest_runs_are_kept(model: Any) -> None:
    queue = queue_of(model, lambda event: current_task().output('stdout', b'x'))
    task_id = UUID(queue.delay(ingest_event()).id)
    worker = queue.create_worker()
    for _ in range(MOST_RUNS + 3):
        drain(worker)
        Operator(model._writer).retry([task_id])

    assert len(runs(model, task_id)) == MOST_RUNS


@ONCE
def test_output_that_the_database_would_not_take_keeps_no_event_from_ending(
    model: Any, store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.accept([received()])
    claimed = store.claim('me', 60)
    assert claimed
    store.connections.writer.statement_limit = 20_000  # as of a MySQL whose max_allowed_packet is small

    assert store.finish(claimed, Outcome.succeeded()._replace(output=run_output('é' * 10_000, 7)))

    run, = Records(store.connections).outputs(claimed.task_id) or []
    assert (run.head, run.tail) == ([], []) and run.omitted > 20_000


@ONCE
def test_print_goes_where_it_went_and_is_left_alone_outside_of_events(
    model: Any, started: Any, capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout
    queue = queue_of(model, lambda event: print('in a handler'))
    first, second = started(queue.create_worker()), started(queue.create_worker())
    print('outside', file=sys.stdout)
    task_id = queue.delay(ingest_event()).id
    wait_until(lambda: status(model, task_id) == '200 OK')
    first.stop()
    assert sys.stdout is not before and sys.stdout.encoding == before.encoding and sys.stdout.isatty() is False
    second.stop()

    assert sys.stdout is before
    assert capsys.readouterr().out == 'outside\nin a handler\n'
    assert printed(model, task_id) == {'stdout': 'in a handler\n'}


@ONCE
def test_a_stream_that_was_put_in_place_meanwhile_stays(
    model: Any, started: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    import io

    monkeypatch.setattr(sys, 'stdout', sys.stdout)
    worker = started(queue_of(model).create_worker())
    mine = sys.stdout = io.StringIO()

    worker.stop()

    assert sys.stdout is mine


@ONCE
def test_without_a_log_of_the_application_s_none_is_set_up(
    model: Any, started: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.root, 'handlers', [])
    queue = queue_of(model, lambda event: logging.getLogger('mine').warning('seen on stderr'))
    worker = started(queue.create_worker())
    assert logging.root.handlers == []
    task_id = queue.delay(ingest_event()).id

    wait_until(lambda: status(model, task_id) == '200 OK')

    assert printed(model, task_id) == {'stderr': 'seen on stderr\n'}
    worker.stop()
