"""A database that is away, or silent, or full, costs 503s; the service stays alive, and says so in two lines."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import MariaDB, PostgreSQL, own_server
from support.databases import model_in
from support.events import ingest_event, wait_until
from support.metrics import Scrape
from support.outages import Answer, Load, Serving, ask, serving


def pause(seconds: float) -> None:
    """Let an outage last."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until)


def of_the_outage(service: Serving, before: int) -> list[str]:
    """Return what was logged after so many lines, without what each request and each event has its own line for."""
    usual = ('"POST /receive HTTP/1.1" 200', '"GET /metrics', 'front_door.accepted', 'event.finished')
    return [line for line in service.lines()[before:] if not any(each in line for each in usual)]


def slow_share(answers: Iterable[Answer], usual: Iterable[Answer]) -> float:
    """Return the share of *answers* that took more than 0.1 s, or than the *usual* ones take on a loaded machine."""
    most = max(0.1, *(5 * answer.seconds for answer in usual))
    answers = list(answers)
    slow = [answer.seconds for answer in answers if answer.seconds > most]
    print(f'{len(slow)} of {len(answers)} took more than {most:.2f} s, {max(slow, default=0):.2f} at most; '
          f'{sum(answer.seconds > 0.1 for answer in answers)} more than 0.1 s')
    return len(slow) / len(answers)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('seconds', [15, 30])
def test_while_the_database_is_away_everybody_gets_an_answer_soon(tmp_path: Path, seconds: int) -> None:
    with own_server(PostgreSQL) as server, serving(server.url, tmp_path) as service:
        url, before = service.url, len(service.lines())
        with Load(f'{url}/receive', 20, posts=True) as posts, Load(f'{url}/health/live', 5) as live, \
                Load(f'{url}/metrics', 1) as metrics:
            pause(2)
            server.crash()
            away = time.monotonic()
            pause(seconds)
            until = time.monotonic()
            server.start()
            wait_until(lambda: any('database.back' in line for line in service.lines()))
            pause(1)
        log = of_the_outage(service, before)
        with model_in(server.url) as model:
            stored = {str(row.task_id) for row in model.select(model.task_id)}

    print('\n'.join(log))
    usual = [answer for answer in live.answers if answer.sent < away - 0.5]
    refused = [answer for answer in posts.answers if away < answer.sent < until]
    # In the first second all threads of the server may wait, so that a failover refuses nothing.
    probes = [answer for answer in (*live.answers, *metrics.answers) if away + 1.2 < answer.sent < until]
    assert {answer.status for answer in refused} == {503}
    assert slow_share(refused, usual) <= 0.1
    assert {answer.status for answer in probes} == {200}
    assert slow_share(probes, usual) <= 0.05
    assert len(log) <= 10
    assert sum('database.away' in line for line in log) == sum('database.back' in line for line in log) == 1
    assert {answer.body.decode().strip('"') for answer in posts.answers if answer.status == 200} <= stored
    assert {Scrape(answer.body.decode()).total('database_up') for answer in metrics.answers
            if away + 7 < answer.sent < until} == {0}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', [PostgreSQL, MariaDB])
def test_a_server_that_hangs_leaves_the_service_alive_and_is_noticed(kind: Any, tmp_path: Path) -> None:
    with own_server(kind) as server, serving(server.url, tmp_path) as service:
        url = service.url
        assert ask(f'{url}/receive', ingest_event()).status == 200
        with Load(f'{url}/receive', 20, posts=True) as posts, Load(f'{url}/', 5) as reads, \
                Load(f'{url}/health/live', 5) as live, Load(f'{url}/metrics', 1) as metrics:
            pause(2)
            server.freeze()
            try:
                began = time.monotonic()
                wait_until(lambda: any('database.away' in line for line in service.lines()), 60)
                noticed = time.monotonic()
                pause(3)
            finally:
                until = time.monotonic()
                server.thaw()
            wait_until(lambda: ask(f'{url}/receive', ingest_event()).status == 200)
        log = service.lines()

    usual = [answer for answer in live.answers if answer.sent < began - 0.5]
    probes = [answer for answer in (*live.answers, *metrics.answers) if began + 1.2 < answer.sent < until]
    others = [*posts.answers, *reads.answers]
    print(f'noticed after {noticed - began:.1f} s')
    assert {answer.status for answer in probes} == {200}
    assert slow_share(probes, usual) <= 0.05
    assert {answer.status for answer in others} == {200, 503}
    assert slow_share([answer for answer in others if noticed + 0.5 < answer.sent < until], usual) <= 0.05
    assert sum('database.away' in line for line in log) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_outage_of_a_second_refuses_nothing(tmp_path: Path) -> None:
    with own_server(PostgreSQL) as server, serving(server.url, tmp_path) as service:
        with Load(f'{service.url}/receive', 5, posts=True) as posts:
            pause(1)
            server.freeze()
            pause(1)
            server.thaw()
            pause(1)
    assert {answer.status for answer in posts.answers} == {200}
