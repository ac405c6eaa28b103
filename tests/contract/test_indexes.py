"""Each statement that runs often uses an index made for it, so that finished events cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.events import received, router_to


@pytest.fixture
def plans(model: Any) -> Iterator[dict[str, str]]:
    """Plans of the statements that selected rows while a queue with many finished and some waiting events worked."""
    queue = model.create_queue(router_to(lambda event: None), 'my.app', 'my.tasks.receive')
    worker = queue.create_worker(retention=3600)
    queue.accept([received() for _ in range(600)])
    model.update(task_status='200 OK', finalized='2999-01-01 00:00:00.000000').execute()
    queue.accept([received() for _ in range(40)])
    database = model._writer.connections.writer.database
    if model._meta.database.param != '?':
        table = 'TABLE receivetaskmodel' if 'mysql' in _kind(model) else 'receivetaskmodel'
        database.execute_sql(f'ANALYZE {table}')
    statements: list[Any] = []
    execute = database.execute_sql

    def recording(statement: str, parameters: Any = None) -> Any:
        if statement.startswith('SELECT'):
            statements.append((statement, parameters))
        return execute(statement, parameters)

    database.execute_sql = recording
    worker.run_once()
    worker._keeper.run_once()
    del database.execute_sql
    yield {statement: _plan(model, execute, statement, parameters) for statement, parameters in statements}


def _kind(model: Any) -> str:
    return type(model._meta.database).__name__.lower()


def _plan(model: Any, execute: Any, statement: str, parameters: Any) -> str:
    explain = 'EXPLAIN QUERY PLAN ' if 'sqlite' in _kind(model) else 'EXPLAIN '
    if 'postgresql' in _kind(model):
        execute('SET enable_seqscan = off')  # so few rows are read fastest without: ask whether an index could serve
    rows = execute(explain + statement, parameters).fetchall()
    return '\n'.join(' '.join(map(str, row)) for row in rows)


def _only(plans: dict[str, str], part: str) -> str:
    [plan] = [plan for statement, plan in plans.items() if part in statement]
    return plan


def test_a_claim_reads_the_index_of_what_is_due_in_its_order(plans: dict[str, str]) -> None:
    plan = _only(plans, 'due <=')

    assert 'receivetaskmodel_claimable' in plan
    assert 'TEMP B-TREE' not in plan
    assert 'filesort' not in plan
    assert 'Sort' not in plan


def test_a_rescue_reads_the_index_of_leases(plans: dict[str, str]) -> None:
    assert 'receivetaskmodel_leased' in _only(plans, 'lease_expires <')


def test_pruning_reads_the_index_of_ends(plans: dict[str, str]) -> None:
    assert 'receivetaskmodel_finalized' in _only(plans, 'finalized <')
