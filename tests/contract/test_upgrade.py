"""A table of the 0.2 series is upgraded in place: nothing is lost, and every row has an end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playhouse.db_url import connect

from support.command_line import run
from support.databases import KINDS, model_in, temporary_database
from support.events import ingest_event
from support.queues import drain, queue_of

TESTS = Path(__file__).parent.parent
WAITING, PROCESSING, OK, UNPROCESSABLE, FAILED, REPEATED = (UUID(int=number) for number in range(6))


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, where the others' may have our tables."""
    with temporary_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def table_of_0_2(database_url: str, python_with_0_2: Path) -> str:
    """URL of a database with a table made and filled by the 0.2.5 distribution."""
    subprocess.run([python_with_0_2, TESTS / 'support' / 'make_0_2_table.py', database_url], check=True)
    return database_url


@pytest.fixture
def model(table_of_0_2: str) -> Iterator[Any]:
    """The model class of the old table."""
    with model_in(table_of_0_2) as model:
        yield model


# In one process of the test run, which makes one environment with 0.2.5.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group('upgrade')]


def test_every_row_is_kept_and_has_a_status_that_ends(model: Any) -> None:
    database = model._meta.database
    before = database.execute_sql('SELECT uuid, event_data, data, task_id, created FROM receivetaskmodel').fetchall()

    done = model.migrate()

    assert done == 'upgraded'
    after = database.execute_sql('SELECT uuid, event_data, data, task_id, created FROM receivetaskmodel').fetchall()
    assert sorted(map(str, after)) == sorted(map(str, before))
    rows = {row.task_id: row for row in model.select()}
    assert {task_id: row.task_status for task_id, row in rows.items()} == {
        WAITING: '202 Accepted', PROCESSING: '500 Internal Server Error', OK: '200 OK',
        UNPROCESSABLE: '422 Unprocessable Entity', FAILED: '500 Internal Server Error', REPEATED: '200 OK',
    }
    assert rows[PROCESSING].exc_type == 'WorkerLostError'
    assert rows[FAILED].exc_type == 'Exception'
    assert [task_id for task_id, row in rows.items() if row.finalized is None] == [WAITING]


def test_doctor_tells_of_it_and_changes_nothing(table_of_0_2: str, tmp_path: Path) -> None:
    database = connect(table_of_0_2)
    tables = {table: [each.name for each in database.get_columns(table)] for table in database.get_tables()}
    rows = database.execute_sql('SELECT * FROM receivetaskmodel ORDER BY task_id').fetchall()

    done = run('doctor', '--json', '--database', table_of_0_2, cwd=tmp_path)

    schema, = (each for each in json.loads(done.stdout)['checks'] if each['check'] == 'schema')
    assert (schema['status'], schema['found']) == ('warning', 'the table is of the 0.2 series')
    assert 'pacifica-dispatcher migrate' in schema['advice']
    assert tables == {table: [each.name for each in database.get_columns(table)] for table in database.get_tables()}
    assert database.execute_sql('SELECT * FROM receivetaskmodel ORDER BY task_id').fetchall() == rows
    database.close()


def test_what_was_accepted_is_run_and_nothing_else(model: Any) -> None:
    seen: list[Any] = []
    queue = queue_of(model, lambda event: seen.append(event.data))

    drain(queue.create_worker())

    assert seen == [[0]]


def test_an_event_that_0_2_has_handled_is_that_event_when_it_comes_again(model: Any) -> None:
    queue = queue_of(model)

    again = queue.delay(ingest_event(source='http://metadata/é', eventID='metadata.ingest.2')).id
    repeated = queue.delay(ingest_event(source='http://metadata/é', eventID='metadata.ingest.4')).id

    assert again == str(OK)
    assert repeated == str(FAILED)  # the first of the two


def test_the_old_columns_hold_what_the_new_ones_do(model: Any) -> None:
    queue = queue_of(model)

    task_id = queue.delay(ingest_event(source='\U0001f600' * 5_000, data=['x' * 100_000])).id

    assert model.get(model.task_id == UUID(task_id)).source == '\U0001f600' * 5_000


def test_creating_tables_as_0_2_services_do_upgrades_too(model: Any) -> None:
    model._meta.database.create_tables([model])

    assert model.select(model.attempts).where(model.task_id == WAITING).scalar() == 0


def test_upgrading_again_changes_nothing(model: Any, table_of_0_2: str) -> None:
    model.create_table()
    before = [row.__data__ for row in model.select().order_by(model.task_id)]
    model.close_connections()

    with model_in(table_of_0_2) as another:
        assert another.migrate() == 'current'

    assert [row.__data__ for row in model.select().order_by(model.task_id)] == before
