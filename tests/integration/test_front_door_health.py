"""Probes get a plain yes or no, need no credentials, and learn nothing else."""

import logging
import socket
import time

import peewee
import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.readiness import Readiness
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher.authentication import BearerTokens, Secret
from pacifica.dispatcher.receiver import create_peewee_model
from support.front_door import MemoryStore, cherrypy_server, wsgi_server
from support.queues import queue_of

STORE = MemoryStore()


def front_door(database, **settings):
    model = create_peewee_model(database)
    queue = queue_of(model, print)
    return model, model.create_cherrypy_app(queue, **settings)


@pytest.mark.parametrize('method, status', [('GET', 200), ('HEAD', 200), ('POST', 405)])
@pytest.mark.parametrize('path', ['/health/live', '/health/ready'])
def test_a_service_that_is_well_says_so(tmp_path, path, method, status):
    model, application = front_door(connect(f'sqlite:///{tmp_path}/events.db'))
    model.create_table()
    with wsgi_server(application) as client:
        answer = client.request(method, path)
    model.close_connections()
    assert answer.status == status
    if method == 'GET':
        assert answer.json() == {'status': 'ok'}
        assert answer.headers['Cache-Control'] == 'no-store'


@pytest.mark.parametrize('path, status', [
    ('/health', 404), ('/health/', 404), ('/health/other', 404), ('/health/live/more', 404), ('/health/ready?x=1', 404),
])
def test_nothing_else_is_there(path, status):
    with wsgi_server(create_application(STORE.accept, STORE)) as client:
        assert client.get(path).status == status


def test_probes_need_no_credentials_and_open_no_other_door():
    application = create_application(
        STORE.accept, STORE, script_name='/events', authenticate=BearerTokens(Secret('t')))
    with cherrypy_server(application) as client:
        assert client.get('/events/health/live').status == client.get('/events/health/ready').status == 200
        assert client.get('/events/').status == client.get('/events/health').status == 401


def test_a_database_that_goes_away_makes_it_unready_and_not_dead(tmp_path):
    folder = tmp_path / 'data'
    folder.mkdir()
    model, application = front_door(connect(f'sqlite:///{folder}/events.db'))
    model.create_table()
    with wsgi_server(application) as client:
        assert client.get('/health/ready').status == 200
        model.close_connections()
        folder.rename(tmp_path / 'gone')
        unready = client.get('/health/ready')
        assert client.get('/health/live').status == 200
        (tmp_path / 'gone').rename(folder)
        assert client.get('/health/ready').status == 200
    model.close_connections()
    assert unready.status == 503
    assert [fault['field'] for fault in unready.json()['faults']] == ['database', 'schema']
    assert str(tmp_path) not in unready.body.decode()


@pytest.mark.parametrize('statement', [
    'DROP TABLE receivetaskworker', 'ALTER TABLE receivetaskmodel RENAME COLUMN history TO something_else',
])
def test_a_table_that_is_not_what_it_should_be_makes_it_unready(tmp_path, statement):
    database = connect(f'sqlite:///{tmp_path}/events.db')
    model, application = front_door(database)
    model.create_table()
    with wsgi_server(application) as client:
        assert client.get('/health/ready').status == 200
        with database:
            database.execute_sql(statement)
        unready = client.get('/health/ready')
    model.close_connections()
    assert unready.status == 503
    assert [fault['field'] for fault in unready.json()['faults']] == ['schema']


def test_a_database_that_never_answers_costs_a_probe_two_seconds():
    with socket.create_server(('127.0.0.1', 0)) as silent:  # takes connections and says nothing
        port = silent.getsockname()[1]
        _, application = front_door(connect(f'postgresql://nobody@127.0.0.1:{port}/nothing?connect_timeout=60'))
        with wsgi_server(application) as client:
            began = time.monotonic()
            assert client.get('/health/ready').status == 503
            assert time.monotonic() - began < 30
            assert client.get('/health/live').status == 200


def test_an_application_that_has_no_database_yet_is_not_ready():
    _, application = front_door(peewee.SqliteDatabase(None))
    with wsgi_server(application) as client:
        assert client.get('/health/ready').status == 503


def test_a_database_in_memory_is_ready_in_its_own_thread():
    connections = Connections(peewee.SqliteDatabase(':memory:'), ensure_schema)
    assert Readiness(connections)() == {'database': True, 'schema': True}
    connections.close()


def test_probes_that_find_all_well_stay_out_of_the_access_log(caplog):
    checks = {'database': True}
    application = create_application(STORE.accept, STORE, ready=lambda: checks)
    with caplog.at_level(logging.INFO), cherrypy_server(application) as client:
        client.get('/health/live')
        client.get('/health/ready')
        client.get('/openapi.json')
        checks['database'] = False
        client.get('/health/ready')
    requested = [record.getMessage() for record in caplog.records if 'HTTP/1.1" ' in record.getMessage()]
    assert ['/openapi.json' in each or '503' in each for each in requested] == [True, True]
