"""The store's own connections: lazy, apart from the application's, and refused where threads can't share them."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.receiver import create_peewee_model
from support.events import ingest_event, router_to
from support.queues import queue_of


def queue_on(database: Any, function: Any = lambda event: None) -> Any:
    return create_peewee_model(database).create_queue(router_to(function), 'my.app', 'my.tasks.receive')


def test_nothing_is_opened_before_first_use(tmp_path: Path) -> None:
    path = tmp_path / 'events.db'
    model = create_peewee_model(connect(f'sqlite:///{path}'))
    queue = queue_of(model)
    model.create_cherrypy_app(queue)
    queue.create_worker()

    assert not path.exists()


@pytest.mark.parametrize('deferred', [peewee.DatabaseProxy(), peewee.SqliteDatabase(None)])
def test_a_database_may_be_initialized_after_the_factories_have_run(deferred: Any, tmp_path: Path) -> None:
    queue = queue_on(deferred)
    with pytest.raises(ConfigurationError, match='not initialized'):
        queue.delay(ingest_event())

    if isinstance(deferred, peewee.Proxy):
        deferred.initialize(peewee.SqliteDatabase(str(tmp_path / 'events.db')))
    else:
        deferred.init(str(tmp_path / 'events.db'))

    assert queue.delay(ingest_event()).id


def test_the_applications_connection_is_left_alone(tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(str(tmp_path / 'events.db'))
    queue = queue_on(database)

    queue.delay(ingest_event())

    assert database.is_closed()
    database.connect()  # which raises if it were open
    queue.delay(ingest_event())
    database.close()


def test_sqlite_commits_to_disk_and_lets_others_read_meanwhile(tmp_path: Path) -> None:
    connections = Connections(peewee.SqliteDatabase(str(tmp_path / 'events.db')), ensure_schema)

    with connections.reading() as reader:
        for session in (connections.writer, reader):
            assert session.execute('PRAGMA journal_mode').fetchone()[0] == 'wal'
            assert session.execute('PRAGMA synchronous').fetchone()[0] == 2  # FULL
    connections.close()


def test_a_connection_that_could_not_be_set_up_is_not_used(tmp_path: Path) -> None:
    connections = Connections(connect(f'sqlite:///{tmp_path / "events.db"}'), lambda session: '')
    writer = connections.writer
    with closing(sqlite3.connect(tmp_path / 'events.db', isolation_level=None)) as other:
        other.execute('BEGIN EXCLUSIVE')
        with pytest.raises(peewee.OperationalError, match='locked'):
            writer.execute('PRAGMA wal_autocheckpoint')
        other.execute('COMMIT')

    assert writer.execute('PRAGMA wal_autocheckpoint').fetchone() == (4000,)
    connections.close()


def test_a_process_that_starts_while_another_makes_the_tables_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / 'events.db'
    with closing(sqlite3.connect(file)) as another:
        another.execute('BEGIN IMMEDIATE')

        def prepare(session: Session) -> str:
            try:
                return ensure_schema(session)
            except peewee.OperationalError:
                another.rollback()
                raise

        connections = Connections(peewee.SqliteDatabase(str(file)), prepare)

        assert connections.prepare() == 'created'
        connections.close()


def test_there_are_as_many_reading_connections_as_are_used_at_once(tmp_path: Path) -> None:
    connections = Connections(peewee.SqliteDatabase(str(tmp_path / 'events.db')), ensure_schema)

    with connections.reading() as first, connections.reading() as second:
        assert first is not second
    with connections.reading() as third:
        assert third in (first, second)

    connections.close()
    assert first.database.is_closed() and second.database.is_closed()


def test_in_memory_events_are_run_in_the_thread_that_accepted_them() -> None:
    seen: list[str] = []
    queue = queue_on(connect('sqlite:///:memory:'), lambda event: seen.append(event.event_id))
    event = ingest_event()

    queue.delay(event)
    queue.create_worker().run_once()

    assert seen == [event['eventID']]


def test_in_memory_the_applications_transactions_are_its_own() -> None:
    database = connect('sqlite:///:memory:')
    queue = queue_on(database)

    queue.delay(ingest_event())

    assert not database.in_transaction()
    database.close()


def test_in_memory_a_worker_is_refused_at_start() -> None:
    worker = queue_on(connect('sqlite:///:memory:')).create_worker()

    with pytest.raises(ConfigurationError, match='use a file, for example sqlite:///events.db'):
        worker.start()


def test_in_memory_another_thread_is_refused() -> None:
    queue = queue_on(connect('sqlite:///:memory:'))
    queue.delay(ingest_event())
    errors: list[Exception] = []

    def send() -> None:
        try:
            queue.delay(ingest_event())
        except ConfigurationError as exc:
            errors.append(exc)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()

    assert len(errors) == 1


def test_a_kind_of_database_that_is_not_known_is_refused() -> None:
    class Strange(peewee.Database):
        pass

    with pytest.raises(ConfigurationError, match='Strange is no database the queue knows'):
        queue_on(Strange('events')).delay(ingest_event())


def test_connections_go_to_another_process_as_settings(tmp_path: Path) -> None:
    path = str(tmp_path / 'events.db')
    connections = Connections(peewee.SqliteDatabase(path, pragmas={'cache_size': -2000}), ensure_schema)

    there = pickle.loads(pickle.dumps(connections))

    assert there.writer.database.database == path
    assert there.writer.execute('PRAGMA cache_size').fetchone()[0] == -2000
    there.close()
