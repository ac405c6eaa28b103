"""What every test shares: what is tested, which tests run, and where the services are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import signal
from collections.abc import Iterator
from typing import Any

import cherrypy
import pytest
from hypothesis import settings

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from support import isolation, services
from support.databases import connections_to
from support.queues import APPLICATION, TASK

# A failing example is printed so that it can be pasted into a test; CI tries the same examples on every run, and more.
settings.register_profile('default', print_blob=True, deadline=None, max_examples=50)
settings.register_profile('ci', settings.get_profile('default'), derandomize=True, max_examples=100)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE') or ('ci' if services.in_ci() else 'default'))

DISTRIBUTIONS = (
    'pacifica-dispatcher', 'cherrypy', 'cheroot', 'peewee', 'msgspec', 'jsonpath2', 'cloudevents', 'cloudevents-python',
    'pacifica-downloader', 'pacifica-uploader', 'pacifica-namespace', 'celery', 'psycopg', 'pymysql', 'click', 'rich',
    'prometheus-client', 'opentelemetry-api', 'jinja2',
)

# CherryPy logs to the screen from its import on until an application says otherwise; no test may depend on which did.
cherrypy.log.screen = False

# A shell starts what is to run in the background with SIGINT ignored, and what tests start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return '(none)'


def pytest_report_header() -> list[str]:
    """Say which files are under test, and with what beside them."""
    spec = importlib.util.find_spec('pacifica.dispatcher')
    return [
        f'testing: {spec.origin if spec else "pacifica.dispatcher is not installed"}',
        f'on {platform.python_implementation()} {platform.python_version()}, with '
        + ', '.join(f'{name} {_version(name)}' for name in DISTRIBUTIONS),
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that let the long tests and the measurements run."""
    parser.addoption('--slow', action='store_true', help='run the tests marked slow too')
    parser.addoption('--screenshots', action='store_true', help='write the pages of the dashboard to docs/screenshots')
    parser.addoption('--bench', action='store_true', help='run the measurements (marked benchmark) too')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for, saying how to ask."""
    for marker, option in (('slow', '--slow'), ('benchmark', '--bench')):
        if not config.getoption(option):
            skip = pytest.mark.skip(reason=f'marked {marker}: run with {option}')
            for item in items:
                if marker in item.keywords:
                    item.add_marker(skip)


@pytest.fixture(autouse=True)
def leaves_all_as_it_was() -> Iterator[None]:
    """Fail a test that leaves logging, environment, signal handlers or the like otherwise than it found them."""
    with isolation.unchanged():
        yield


@pytest.fixture(scope='session')
def postgresql_url() -> str:
    """URL of a PostgreSQL database that tests may write to: ``PACIFICA_TEST_POSTGRESQL``."""
    return services.require(services.POSTGRESQL)


@pytest.fixture(scope='session')
def mariadb_url() -> str:
    """URL of a MariaDB or MySQL database that tests may write to: ``PACIFICA_TEST_MARIADB``."""
    return services.require(services.MARIADB)


@pytest.fixture(scope='session')
def rabbitmq_url() -> str:
    """URL of a RabbitMQ that tests may write to: ``PACIFICA_TEST_RABBITMQ``."""
    return services.require(services.RABBITMQ)


@pytest.fixture
def connections(model: Any) -> Iterator[Connections]:
    """Connections of the test's own to the table of *model*, as another process has them."""
    with connections_to(model) as connections:
        yield connections


@pytest.fixture
def writer(connections: Connections) -> Writer:
    """What writes to the table through them."""
    return Writer(connections)


@pytest.fixture
def store(writer: Writer) -> Store:
    """The queue that ``queue_of`` makes, as another process sees it."""
    return Store(writer, QueueName(APPLICATION, TASK))
