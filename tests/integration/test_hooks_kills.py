"""Whatever is killed, in whichever of two dispatchers: each end reaches the other, which takes it for one event."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from support.databases import KINDS, table_in
from support.events import ingest_event, wait_until
from support.kills import FINAL, new_dice, post, post_all
from support.processes import Service

SOME = {'count': 60, 'kills': 3}
MANY = {'count': 1_000, 'kills': 30}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(('kind', 'count', 'kills'), [
    pytest.param('sqlite', *SOME.values(), id='sqlite-some', marks=pytest.mark.slow),
    *(pytest.param(kind, *MANY.values(), id=f'{kind}-many', marks=pytest.mark.slow) for kind in KINDS),
])
def test_whatever_is_killed_each_end_arrives_once(kind: str, count: int, kills: int, tmp_path: Path) -> None:
    dice = new_dice()
    (tmp_path / 'other').mkdir()
    with table_in(kind, tmp_path) as (url, model), table_in('sqlite', tmp_path / 'other') as (other_url, other):
        told = Service(other_url, tmp_path / 'told.log', workers=0)
        post(told, ingest_event())
        service = Service(
            url, tmp_path / 'runs.log', workers=1, lease=1.0, notify=f'http://127.0.0.1:{told.port}/receive')
        try:
            task_ids: dict[str, str] = {}
            threads = post_all(
                service, [ingest_event(data={'seconds': dice.uniform(0, 0.02)}) for _ in range(count)], task_ids)
            for number in range(kills):
                enough = min(len(task_ids) + count // (kills * 2), count)
                wait_until(lambda enough=enough: len(task_ids) >= enough, 120)
                if number % 3 == 1:
                    told.kill(0)
                else:
                    service.kill(dice.randrange(2))
            for thread in threads:
                thread.join()
            wait_until(lambda: model.select().where(model.task_status.in_(FINAL)).count() >= 2 * count, 300)
        finally:
            service.stop()
            told.stop()

        outgoing = [row for row in model.select() if row.destination]
        ends = Counter(json.loads(row.data)['taskID'] for row in outgoing)
        assert ends == Counter(task_ids.values())
        assert {row.task_status for row in outgoing} == {'200 OK'}
        arrived = [row.event_id for row in other.select() if row.event_type != 'org.pacifica.metadata.ingest']
        assert sorted(arrived) == sorted(row.event_id for row in outgoing)
        print(f'{kind}: {count} ends told, {len(service.killed) + len(told.killed)} processes killed, '
              f'{sum(row.attempts > 1 for row in outgoing)} sent again')


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_what_a_worker_had_not_sent_when_it_was_killed_is_sent_by_another(tmp_path: Path) -> None:
    """The receiver is down when the event ends, the worker is killed before it is back: between commit and sending."""
    (tmp_path / 'other').mkdir()
    with table_in('sqlite', tmp_path) as (url, model), table_in('sqlite', tmp_path / 'other') as (other_url, other):
        told = Service(other_url, tmp_path / 'told.log', workers=0)
        told.kill(0, restart=False)
        service = Service(
            url, tmp_path / 'runs.log', workers=0, lease=1.0, notify=f'http://127.0.0.1:{told.port}/receive')
        try:
            task_id = post(service, ingest_event(data={'seconds': 0}))
            wait_until(lambda: model.select().where(model.exc_type == 'DeliveryError').count())
            service.kill(0, restart=False)
            assert model.get(model.task_id == task_id).task_status == '200 OK'

            told.start(0)
            service.start(0)

            [row] = wait_until(lambda: list(other.select()), 120)
            wait_until(lambda: other.get(other.task_id == row.task_id).task_status == '200 OK')
        finally:
            service.stop()
            told.stop()

        assert other.select().count() == 1
        assert json.loads(row.data)['taskID'] == task_id
        assert [each.task_status for each in model.select()] == ['200 OK', '200 OK']
