"""A full disk costs a sender no time, makes the service unready while it lasts, and what is done stays done."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from support.disks import fill
from support.events import dumps, ingest_event, wait_until
from support.front_door import Answer, Client, wsgi_server
from support.queues import queue_of


def post(client: Client) -> Answer:
    return client.request('POST', '/receive', dumps(ingest_event()).encode(), {'Content-Type': 'application/json'})


def test_a_full_disk_is_said_at_once_and_its_end_is_found_out(small_disk: Path) -> None:
    model = create_peewee_model(connect(f'sqlite:///{small_disk}/events.db'))
    with wsgi_server(model.create_cherrypy_app(queue_of(model))) as client:
        stored = {post(client).json() for _ in range(3)}
        assert client.get('/health/ready').status == 200
        filling = fill(small_disk)
        wait_until(lambda: post(client).status == 503)  # until what SQLite's log had left of itself is used up

        began = time.monotonic()
        refused = [post(client) for _ in range(5)]
        each = (time.monotonic() - began) / 5
        unready, listed = client.get('/health/ready'), client.get('/')
        filling.unlink()
        wait_until(lambda: client.get('/health/ready').status == 200)
        after = post(client)
    model.close_connections()

    print(f'{each:.4f} s for a 503')
    assert {answer.status for answer in refused} == {503}
    assert all(answer.headers['Retry-After'] for answer in refused)
    assert each < 0.1
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
