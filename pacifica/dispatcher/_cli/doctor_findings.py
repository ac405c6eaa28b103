"""What the checks of ``doctor`` take and return, and how they are run."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pacifica.dispatcher._operate.words import one_line, without_password

_MARGIN = 0.5  # seconds that a check has to say itself that its time is over


class Finding(NamedTuple):
    """What a check has found, safe to show, and what to do about it."""

    status: Literal['ok', 'warning', 'failed', 'skipped']
    found: str
    advice: str = ''


ok = partial(Finding, 'ok')
warning = partial(Finding, 'warning')  # it works, but something should be known
failed = partial(Finding, 'failed')  # events are not received or not run until this is put right
skipped = partial(Finding, 'skipped')  # it was not looked at


class Address(NamedTuple):
    """Where a service is, and whether somebody said so; else it is the client's default."""

    url: str
    configured: bool


def address(
    given: str | None, prefix: str, port: int, whole: str, environment: Mapping[str, str] | None = None,
) -> Address:
    """Return where a Pacifica client finds its service: as an option says, or its variables in the environment.

    :param prefix: how these begin: ``CARTD`` for ``CARTD_PROTO``, ``CARTD_ADDR``, ``CARTD_PORT``.
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
    """What to look at: the values of the command's options."""

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
        parameters = self.database.connect_params
        password = urlsplit(self.broker or '').password or ''
        secrets = (parameters.get('password'), parameters.get('passwd'), password, unquote(password))
        for secret in filter(None, secrets):
            text = text.replace(str(secret), '***')
        return text


class DoctorCheck(NamedTuple):
    name: str
    run: Callable[[Settings], Finding]
    in_main_thread: bool = False  # for code of the user's, which may want signals


def run_checks(checks: Sequence[DoctorCheck], settings: Settings) -> list[tuple[str, Finding]]:
    """Run *checks* in parallel and return what they found, in their order.

    A check that isn't done in its time has failed; its thread is left behind, and ends with the process.
    """
    found: dict[str, Finding] = {}

    def look(check: DoctorCheck) -> None:
        try:
            found[check.name] = check.run(settings)
        except Exception as exc:  # a driver may raise anything; the other checks are worth reporting all the same
            found[check.name] = failed(
                f'{type(exc).__name__}: {settings.told(exc)}', 'this was not foreseen: please report it')

    threads = [threading.Thread(target=look, args=(check,), daemon=True)
               for check in checks if not check.in_main_thread]
    deadline = time.monotonic() + settings.timeout + _MARGIN
    for thread in threads:
        thread.start()
    with redirect_stdout(sys.stderr):  # what the user's modules print is no part of our answer
        for check in checks:
            if check.in_main_thread:
                look(check)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = failed(
        f'no answer in {settings.timeout:g} s', 'check the network and the name of the host, or give it more --timeout')
    return [(check.name, found.get(check.name, late)) for check in checks]
