"""The database crashes and comes back, again and again, under a service that is told nothing of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import MariaDB, PostgreSQL, own_server
from support.databases import model_in
from support.events import ingest_event, wait_until
from support.kills import FINAL, ended_in, post_all, runs_without_reason
from support.processes import Service


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('kind', [PostgreSQL, MariaDB])
def test_a_database_that_crashes_costs_time_and_no_event_and_no_second_run(kind: Any, tmp_path: Path) -> None:
    with own_server(kind) as server, model_in(server.url) as model:
        model.create_table()
        service = Service(server.url, tmp_path / 'runs.log', workers=1, lease=5.0)
        events = [ingest_event(data={'seconds': 0.02}) for _ in range(400)]
        task_ids: dict[str, str] = {}
        threads: list[threading.Thread] = []
        try:
            threads = post_all(service, events, task_ids)
            for share in (50, 150, 250):
                wait_until(lambda share=share: len(task_ids) >= share, 120)
                server.crash()
                server.start()
            for thread in threads:
                thread.join()
            model.close_connections()
            model._meta.database.close()
            wait_until(lambda: model.select().where(model.task_status.in_(FINAL)).count() == len(events), 90)
            statuses = {row.task_status for row in model.select(model.task_status).distinct()}
        finally:
            service.stop()

        assert len(set(task_ids.values())) == len(events)
        assert statuses == {'200 OK'}
        assert runs_without_reason(service) == {}
        assert {event['eventID'] for event in events} == ended_in(service)
