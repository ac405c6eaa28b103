"""Lets pytest collect ``bench_*.py``, here and nowhere else, and gives them what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.contending import Contenders
from benchmarks.environments import python_of
from benchmarks.table import Row, text


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect measurements as the tests they are; a file that is named on the command line is collected anyway."""
    named = parent.session.isinitpath(file_path)
    return pytest.Module.from_parent(parent, path=file_path) if file_path.match('bench_*.py') and not named else None


@pytest.fixture(scope='module')
def rows() -> Iterator[list[Row]]:
    """Where measurements put their rows; the table is printed at the end."""
    collected: list[Row] = []
    yield collected
    if collected:
        print(f'\n\n{text(collected)}', flush=True)


@pytest.fixture(scope='session')
def environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a contender's Python."""
    temporary = tmp_path_factory.mktemp('environments')
    return lambda name: python_of(name, temporary)


@pytest.fixture(scope='session')
def contenders(environments: Callable[[str], Path]) -> Contenders:
    """The services that are measured."""
    return Contenders(environments)
