"""``pacifica-dispatcher migrate`` says what it did."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from playhouse.db_url import connect

from pacifica.dispatcher._queue.dialect import dialect_of
from support.databases import model_in, temporary_database


def migrate(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'pacifica.dispatcher', 'migrate', '--database', url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_makes_the_table_once(tmp_path: Path) -> None:
    url = f'sqlite:///{tmp_path / "events.db"}'

    first, second = migrate(url), migrate(url)

    assert (first.returncode, first.stdout) == (0, 'made the table\n')
    assert (second.returncode, second.stdout) == (0, 'the table is up to date\n')


def test_a_database_that_cant_be_opened_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = migrate(f'sqlite:///{tmp_path / "no such folder" / "events.db"}')

    assert done.returncode == 2
    assert done.stdout == ''
    assert len(done.stderr.splitlines()) == 1
    assert 'unable to open database file' in done.stderr


@pytest.mark.timeout(30)
@pytest.mark.parametrize('kind', ['postgresql', 'mysql'])
def test_databases_of_one_server_do_not_wait_for_each_other(kind: str, tmp_path: Path) -> None:
    with temporary_database(kind, tmp_path) as one, temporary_database(kind, tmp_path) as other, \
            closing(connect(one)) as migrated:
        for statement in dialect_of(migrated).lock_schema:
            migrated.execute_sql(statement)

        with model_in(other) as model:
            assert model.migrate() == 'created'
