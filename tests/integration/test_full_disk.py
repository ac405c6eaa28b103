"""A full disk costs a sender no time, makes the service unready while it lasts, and what is done stays done."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from pacifica.dispatcher.receiver import create_peewee_model
from support.database_servers import PostgreSQL, own_server
from support.databases import model_in
from support.disks import fill, small_filesystem
from support.events import dumps, ingest_event, wait_until
from support.front_door import Answer, Client, wsgi_server
from support.queues import queue_of, status


def post(client: Client) -> Answer:
    return client.request('POST', '/receive', dumps(ingest_event()).encode(), {'Content-Type': 'application/json'})


def test_a_full_disk_is_said_at_once_and_its_end_is_found_out(small_disk: Path) -> None:
    model = create_peewee_model(connect(f'sqlite:///{small_disk}/events.db'))
    with wsgi_server(model.create_cherrypy_app(queue_of(model))) as client:
        stored = {post(client).json() for _ in range(3)}
        assert client.get('/health/ready').status == 200
        filling = fill(small_disk)
        wait_until(lambda: post(client).status == 503)  # until what SQLite's log had left of itself is used up

        refused, took = [], []
        for _ in range(10):
            began = time.monotonic()
            refused.append(post(client))
            took.append(time.monotonic() - began)
        unready, listed = client.get('/health/ready'), client.get('/')
        filling.unlink()
        wait_until(lambda: client.get('/health/ready').status == 200)
        after = post(client)
    model.close_connections()

    print('seconds for a 503:', [round(each, 3) for each in took])
    assert {answer.status for answer in refused} == {503}
    assert all(answer.headers['Retry-After'] for answer in refused)
    assert min(took) < 0.1 and max(took) < 4  # on a loaded machine; nobody has waited for five seconds
    assert unready.status == 503
    assert [fault['field'] for fault in unready.json()['faults']] == ['database']
    assert listed.status == 200 and stored <= {task['taskID'] for task in listed.json()}
    assert after.status == 200


def test_on_a_full_disk_a_row_is_inserted_and_only_its_commit_fails(small_disk: Path) -> None:
    """So whoever wants to know whether there is room must commit."""
    model = create_peewee_model(connect(f'sqlite:///{small_disk}/events.db'))
    model.create_table()
    fill(small_disk)
    database = model._meta.database
    statement = "INSERT INTO receivetaskreconciliation (id, due) VALUES ('a', 0)"

    database.execute_sql('BEGIN IMMEDIATE')
    database.execute_sql(statement)
    database.execute_sql('ROLLBACK')

    with pytest.raises(Exception, match='full'):
        for number in range(1000):
            database.execute_sql('BEGIN IMMEDIATE')
            database.execute_sql(statement.replace("'a'", f"'{number}'"))
            database.execute_sql('COMMIT')
    database.close()
    model.close_connections()


def test_what_a_handler_did_is_written_once_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    model = create_peewee_model(connect(f'sqlite:///{small_disk}/events.db'))
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.event_id)
        fill(small_disk)

    queue = queue_of(model, handle)
    worker = queue.create_worker(concurrency=1)
    worker.start()
    try:
        task_id = queue.delay(ingest_event(data='x' * 50_000, contentType='text/plain')).id
        wait_until(lambda: model._writer.connections.availability.fault or status(model, task_id) == '200 OK')
        (small_disk / 'filling').unlink()
        wait_until(lambda: status(model, task_id) == '200 OK')
    finally:
        worker.stop(5)
    model.close_connections()

    assert len(seen) == 1
    assert len([record for record in caplog.records if record.levelname in ('WARNING', 'ERROR')]) <= 2


@pytest.mark.slow
def test_a_full_disk_of_a_server_is_said_at_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix='pacifica-') as directory, \
            small_filesystem(Path(directory) / 'small', '150m') as place:
        os.chmod(directory, 0o755)  # PostgreSQL runs as another user
        monkeypatch.setattr('tempfile.tempdir', str(place))
        with own_server(PostgreSQL) as server, model_in(server.url) as model:
            queue, availability = queue_of(model), model._writer.connections.availability
            stored = [queue.delay(ingest_event()).id]
            filling = fill(place)
            took = []
            while len(took) < 10:
                began = time.monotonic()
                try:
                    stored.append(queue.delay(ingest_event(data='x' * 20_000, contentType='text/plain')).id)
                except DatabaseUnavailableError:
                    took.append(time.monotonic() - began)
            assert availability.fault is not None and availability.fault.readable
            filling.unlink()
            wait_until(lambda: availability.fault is None)
            stored.append(queue.delay(ingest_event()).id)
            found = {str(row.task_id) for row in model.select(model.task_id)}
            model._meta.database.close()
    print('seconds for an error:', [round(each, 3) for each in took])
    assert min(took) < 1 and max(took) < 4  # each is a new connection
    assert found == set(stored)
