"""Whatever is killed, whenever, workers, their children, receivers and brokers: what was accepted ends, and runs once
unless its worker died.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.brokers import OwnRabbitMQ, OwnRedis, OwnServer, own_server
from support.celery_processes import CeleryService, running
from support.events import ingest_event, wait_until
from support.kills import FINAL, check_ends, new_dice, post_all

SOME = {'count': 120, 'kills': 8}
MANY = {'count': 2_000, 'kills': 40}


def harm(service: CeleryService, server: OwnServer, dice: random.Random, turn: int) -> None:
    """Kill something: the receiver, a worker with its children, or a child; now and then the broker."""
    if turn % 4 == 3:
        server.kill()
        if isinstance(server, OwnRabbitMQ) and dice.random() < 0.5:
            server.empty()
        server.start()
        return
    number = dice.randrange(len(service.processes))
    if number and dice.random() < 0.5:
        service.kill_child(number, dice)
    else:
        service.kill(number)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(('kind', 'broker', 'count', 'kills'), [
    pytest.param('sqlite', OwnRedis, *SOME.values(), id='sqlite-redis-some', marks=pytest.mark.slow),
    pytest.param('postgresql', OwnRabbitMQ, *SOME.values(), id='postgresql-rabbitmq-some', marks=pytest.mark.slow),
    *(pytest.param(kind, broker, *MANY.values(), id=f'{kind}-{broker.program}-many', marks=pytest.mark.slow)
      for kind, broker in (('sqlite', OwnRedis), ('postgresql', OwnRedis), ('postgresql', OwnRabbitMQ),
                           ('mysql', OwnRabbitMQ))),
])
def test_whatever_is_killed_every_accepted_event_ends_and_none_runs_twice_without_a_kill(
    kind: str, broker: type[OwnServer], count: int, kills: int, tmp_path: Path,
) -> None:
    dice = new_dice()
    with own_server(broker, tmp_path / 'broker') as server, \
            running(kind, tmp_path, {'broker': server.url}) as (service, model):
        events = [ingest_event(data={'seconds': dice.uniform(0, 0.05)}) for _ in range(count)]
        task_ids: dict[str, str] = {}
        threads = post_all(service, events, task_ids)

        def began() -> int:
            service.restart_ended()
            return len(service.runs())

        for turn in range(kills):
            # A kill after each share of events that began to run: it finds workers at work, not just starting.
            enough = count * (turn + 1) // (kills + 1)
            wait_until(lambda enough=enough: began() >= enough, 300)
            harm(service, server, dice, turn)
        for thread in threads:
            thread.join()

        def ended() -> int:
            service.restart_ended()
            return int(model.select().where(model.task_status.in_(FINAL)).count())

        wait_until(lambda: ended() >= count, 600)

        assert len(task_ids) == count
        check_ends(service, model, task_ids)
        print(f'{kind}, {server.program}: {count} events, {kills} kills, {len(service.killed)} processes died, '
              f'{sum(len(lines) > 2 for lines in service.runs().values())} events run again')


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize('broker', [OwnRedis, OwnRabbitMQ])
def test_messages_that_a_broker_lost_are_sent_again(broker: type[OwnServer], tmp_path: Path) -> None:
    with own_server(broker, tmp_path / 'broker') as server, \
            running('sqlite', tmp_path, {'broker': server.url}, workers=0) as (service, model):
        events = [ingest_event(data={'seconds': 0}) for _ in range(30)]
        for thread in post_all(service, events, {}):
            thread.join()
        server.kill()
        if isinstance(server, OwnRabbitMQ):
            server.empty()
        server.start()
        service.add_worker()

        wait_until(lambda: model.select().where(model.task_status == '200 OK').count() == 30, 120)

    assert all(len(lines) == 2 for lines in service.runs().values())
