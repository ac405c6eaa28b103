"""What a check of ``doctor`` is given, the settings, and what it returns, a finding."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pacifica.dispatcher._operate.words import one_line, without_password

__all__ = ['Address', 'DoctorCheck', 'Finding', 'Settings', 'address', 'failed', 'ok', 'skipped', 'warning']


@dataclass(frozen=True)
class Finding:
    """What a check has found: made by a constructor for each status.

    :param found: what was found, safe to show.
    :param advice: what to do about it; empty if there is nothing to do.
    """

    status: Literal['ok', 'warning', 'failed', 'skipped']
    found: str
    advice: str = ''


def ok(found: str) -> Finding:
    """All is well."""
    return Finding('ok', found)


def warning(found: str, advice: str) -> Finding:
    """It works, but something should be known."""
    return Finding('warning', found, advice)


def failed(found: str, advice: str) -> Finding:
    """Events are not received or not run until this is put right."""
    return Finding('failed', found, advice)


def skipped(found: str, advice: str = '') -> Finding:
    """It was not looked at."""
    return Finding('skipped', found, advice)


class Address(NamedTuple):
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


class DoctorCheck(NamedTuple):
    """A check.

    :param run: returns what it found.
    :param in_main_thread: for what runs code of the user's, which may want signals.
    """

    name: str
    run: Callable[[Settings], Finding]
    in_main_thread: bool = False
