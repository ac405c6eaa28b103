"""Whatever is killed, whenever: what was accepted ends, and runs once unless its worker died."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from support.databases import KINDS, table_in
from support.events import ingest_event, wait_until
from support.kills import FINAL, check_ends, new_dice, post, post_all
from support.processes import Service


@contextmanager
def running(kind: str, directory: Path, **settings: Any) -> Iterator[tuple[Service, Any]]:
    with table_in(kind, directory) as (url, model):
        service = Service(url, directory / 'runs.log', **settings)
        try:
            yield service, model
        finally:
            service.stop()


SOME = {'count': 150, 'kills': 6}
MANY = {'count': 2_000, 'kills': 40}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(('kind', 'count', 'kills', 'isolation'), [
    pytest.param('sqlite', *SOME.values(), 'process', id='sqlite-some', marks=pytest.mark.slow),
    *(pytest.param(kind, *MANY.values(), 'thread', id=f'{kind}-many', marks=pytest.mark.slow) for kind in KINDS),
    *(pytest.param(kind, 1_000, 20, 'process', id=f'{kind}-process', marks=pytest.mark.slow) for kind in KINDS),
])
def test_whatever_is_killed_every_accepted_event_ends_and_none_runs_twice_without_a_kill(
    kind: str, count: int, kills: int, isolation: str, tmp_path: Path,
) -> None:
    dice = new_dice()
    with running(kind, tmp_path, isolation=isolation) as (service, model):
        events = [ingest_event(data={'seconds': dice.uniform(0, 0.05)}) for _ in range(count)]
        task_ids: dict[str, str] = {}
        threads = post_all(service, events, task_ids)
        for _ in range(kills):
            accepted = len(task_ids)
            enough = min(accepted + count // (kills * 2), count)
            wait_until(lambda enough=enough: len(task_ids) >= enough, 120)
            service.kill(dice.randrange(3))
        for thread in threads:
            thread.join()

        wait_until(lambda: model.select().where(model.task_status.in_(FINAL)).count() >= count, 120)

        assert len(task_ids) == count
        check_ends(service, model, task_ids)
        print(f'{kind}: {count} events, {len(service.killed)} processes killed, '
              f'{sum(len(lines) > 2 for lines in service.runs().values())} events run again')


@pytest.mark.timeout(300)
def test_the_event_of_a_killed_worker_runs_elsewhere_soon_after_its_lease(tmp_path: Path) -> None:
    lease = 3.0
    with running('sqlite', tmp_path, workers=1, lease=lease) as (service, model):
        event = ingest_event(data={'seconds': 60})
        post(service, event)
        first = wait_until(lambda: service.runs().get(event['eventID']))[0]
        number = next(number for number, process in enumerate(service.processes) if process.pid == first[1])

        killed_at = time.time()
        service.kill(number, restart=False)

        second = wait_until(lambda: service.runs()[event['eventID']][1:], 120)[0]
        assert second[1] != first[1]
        assert second[2] - killed_at < lease + 60
        print(f'lease {lease} s: run elsewhere {second[2] - killed_at:.1f} s after SIGKILL')


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_an_event_that_kills_every_worker_ends_in_500(tmp_path: Path) -> None:
    with running('sqlite', tmp_path, workers=1, lease=0.5) as (service, model):
        event = ingest_event(data={'seconds': 60})
        task_id = post(service, event)
        for attempt in range(1, 4):
            runs = wait_until(lambda attempt=attempt: service.runs().get(event['eventID'], [])[attempt - 1:], 60)
            service.kill(next(
                number for number, process in enumerate(service.processes) if process.pid == runs[0][1]))

        wait_until(lambda: model.get(model.task_id == UUID(task_id)).task_status in FINAL, 120)

        row = model.get(model.task_id == UUID(task_id))
        assert (row.task_status, row.exc_type, row.attempts) == ('500 Internal Server Error', 'WorkerLostError', 3)


@pytest.mark.timeout(300)
def test_on_sigterm_running_handlers_end_and_the_rest_waits_uncounted(tmp_path: Path) -> None:
    with running('sqlite', tmp_path, workers=0) as (service, model):
        short = ingest_event(data={'seconds': 1})
        endless = ingest_event(data={'seconds': 600})
        for event in (short, endless):
            post(service, event)
        wait_until(lambda: len(service.runs()) == 2)

        service.processes[0].terminate()
        service.processes[0].wait(30)

        rows = {row.event_id: row for row in model.select()}
        assert (rows[short['eventID']].task_status, rows[short['eventID']].attempts) == ('200 OK', 1)
        assert (rows[endless['eventID']].task_status, rows[endless['eventID']].attempts) == ('202 Accepted', 0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(('kind', 'count', 'kills'), [
    pytest.param('sqlite', 60, 3, id='sqlite-some', marks=pytest.mark.slow),
    *(pytest.param(kind, 1_000, 20, id=f'{kind}-limited', marks=pytest.mark.slow) for kind in KINDS),
])
def test_whatever_is_killed_no_more_run_at_once_than_the_limit_and_all_run(
    kind: str, count: int, kills: int, tmp_path: Path,
) -> None:
    dice, limit = new_dice(), 3
    with running(kind, tmp_path, concurrency=limit) as (service, model):
        events = [ingest_event(data={'seconds': dice.uniform(0, 0.05)}) for _ in range(count)]
        task_ids: dict[str, str] = {}
        threads = post_all(service, events, task_ids)
        for number in range(kills):
            enough = count * (number + 1) // (kills + 1)
            wait_until(lambda enough=enough: len(service.runs()) >= enough, 300)
            service.kill(dice.randrange(3))
        for thread in threads:
            thread.join()

        wait_until(lambda: model.select().where(model.task_status.in_(FINAL)).count() >= count, 300)

        check_ends(service, model, task_ids)
        assert len(service.runs()) == count
        assert most_at_once(service) == limit


def most_at_once(service: Service) -> int:
    """Return how many handlers ran at the same time at most; a killed one until it was killed."""
    changes = []
    for lines in service.runs().values():
        for index, (what, pid, at) in enumerate(lines):
            if what == 'start':
                ended = next((end for other, owner, end in lines[index:] if (other, owner) == ('end', pid)), None)
                changes += [(at, 1), (service.killed[pid] if ended is None else ended, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
