"""What to look at: the options of ``doctor``, and where the Pacifica clients look for their services without them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from pacifica.dispatcher._cli.errors import one_line
from pacifica.dispatcher._cli.parameters import without_password

__all__ = ['Address', 'Settings', 'address']


@dataclass(frozen=True)
class Address:
    """Where a service is.

    :param configured: whether somebody said so; else it is the client's default.
    """

    url: str
    configured: bool


def address(
    given: str | None, prefix: str, port: int, whole: str, environment: Mapping[str, str] | None = None,
) -> Address:
    """Return where a Pacifica client finds its service.

    :param given: the option's value.
    :param prefix: how the client's environment variables begin: ``CARTD`` for ``CARTD_PROTO``, ``_ADDR``, ``_PORT``.
    :param port: its default port.
    :param whole: the variable that holds a whole URL instead.
    """
    env = os.environ if environment is None else environment
    if given is not None:
        return Address(given.rstrip('/'), True)
    if url := env.get(whole):
        return Address(url.rstrip('/').removesuffix('/upload'), True)
    parts = {name: env.get(f'{prefix}_{name}', '') for name in ('PROTO', 'ADDR', 'PORT')}
    url = f'{parts["PROTO"] or "http"}://{parts["ADDR"] or "127.0.0.1"}:{parts["PORT"] or port}'
    return Address(url, any(parts.values()))


@dataclass(frozen=True)
class Settings:
    """What to look at.

    :param router: ``MODULE:ROUTER``.
    :param database: a :class:`peewee.Database`, not connected.
    :param broker: Celery's broker.
    :param notifications: where Notifications are.
    :param name: the subscription's name.
    :param user: whose subscription it is.
    :param receiver: where the receiver is mounted.
    :param timeout: seconds that each check may take.
    """

    database: Any
    cartd: Address
    ingest: Address
    policy: Address
    router: str | None = None
    broker: str | None = field(default=None, repr=False)
    notifications: str | None = None
    name: str | None = None
    user: str | None = None
    receiver: str | None = None
    timeout: float = 5.0

    def told(self, exc: BaseException) -> str:
        """Return what an error says, in one line, without the passwords of the settings."""
        text = without_password(one_line(exc) or type(exc).__name__)
        for secret in self._secrets():
            text = text.replace(secret, '***')
        return text

    def _secrets(self) -> set[str]:
        parameters = self.database.connect_params
        found = {str(parameters.get(name) or '') for name in ('password', 'passwd')}
        password = urlsplit(self.broker or '').password or ''
        return (found | {password, unquote(password)}) - {''}
