"""Where the services that some tests need are, and what to do when one is not there.

Each service has an environment variable and a default on the loopback. A missing one skips the test, with the reason;
where ``CI=true`` it fails the test, because there it is a hole in what was tested.
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class Service:
    """A server reached by a URL."""

    name: str
    variable: str
    default: str

    @property
    def url(self) -> str:
        """The URL to use: the environment's, else the default."""
        return os.environ.get(self.variable) or self.default

    def fault(self) -> str | None:
        """Return why the service can't be used, or ``None`` if something listens there."""
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port, f'{self.variable} must name a host and a port: {self.url}'
        try:
            socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS).close()
        except OSError as exc:
            return f'no {self.name} at {parts.hostname}:{parts.port} ({exc}); {self.variable} says where'
        return None


POSTGRESQL = Service('PostgreSQL', 'PACIFICA_TEST_POSTGRESQL', 'postgresql://postgres@127.0.0.1:5432/test')
# Without TLS, which there is none of on the loopback: PyMySQL reads all certificates of the system for each connection.
MARIADB = Service('MariaDB', 'PACIFICA_TEST_MARIADB', 'mysql://root@127.0.0.1:3306/test?ssl_disabled=true')
REDIS = Service('Redis', 'PACIFICA_TEST_REDIS', 'redis://127.0.0.1:6379/0')
RABBITMQ = Service('RabbitMQ', 'PACIFICA_TEST_RABBITMQ', 'amqp://guest:guest@127.0.0.1:5672//')


def in_ci() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get('CI', '').lower() in {'1', 'true', 'yes'}


def absent(reason: str) -> None:
    """Skip the running test, or fail it in CI.

    :param reason: what is missing and how to provide it.
    """
    if in_ci():
        pytest.fail(f'{reason} (CI is set)', pytrace=False)
    pytest.skip(reason)


def require(service: Service) -> str:
    """Return the service's URL, or skip the running test (fail it in CI) if nothing listens there."""
    fault = service.fault()
    if fault is not None:
        absent(fault)
    return service.url


def require_promtool() -> str:
    """Return Prometheus's ``promtool``, which tests alert rules."""
    found = shutil.which(os.environ.get('PACIFICA_TEST_PROMTOOL') or 'promtool')
    if found is None:
        absent('there is no promtool (of Debian\'s package prometheus) on the PATH; PACIFICA_TEST_PROMTOOL says where')
    return str(found)


def require_stack() -> Path:
    """Return the folder of the scripts ``up``, ``reset`` and ``down`` that run the upstream Pacifica services."""
    value = os.environ.get('PACIFICA_STACK')
    if not value:
        absent('PACIFICA_STACK is not set: it names the folder of the scripts that run the Pacifica services')
    folder = Path(str(value))
    if not (folder / 'up').is_file():
        absent(f'PACIFICA_STACK: there is no script "up" in {folder}')
    return folder
