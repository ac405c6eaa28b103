"""Every dependency has a lower bound, and ``tox -e lowest`` tests with exactly these."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from support.lowest import lower_bounds


def test_every_dependency_has_a_lower_bound() -> None:
    bounds = lower_bounds()
    assert {'cherrypy', 'peewee', 'celery', 'psycopg'} <= bounds.keys()
    assert ('tomli' in bounds) is (sys.version_info < (3, 11))


def test_a_dependency_without_lower_bound_is_refused(tmp_path: Path) -> None:
    setup = tmp_path / 'setup.cfg'
    setup.write_text(
        '[options]\ninstall_requires =\n    click\n'
        '[options.extras_require]\ncelery =\npostgresql =\nmysql =\nmetrics =\notel =\n',
    )
    with pytest.raises(ValueError, match='"name>=version", not \'click\''):
        lower_bounds(setup)


@pytest.mark.skipif('PACIFICA_LOWEST' not in os.environ, reason='only in "tox -e lowest"')
def test_the_lower_bounds_are_what_is_installed() -> None:
    bounds = lower_bounds()
    assert {name: version(name) for name in bounds} == bounds
