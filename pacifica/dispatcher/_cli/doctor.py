"""``doctor``: is everything running that a dispatcher needs? All checks run in parallel, each within its time."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import click

from pacifica.dispatcher._cli.options import database_option, http_url
from pacifica.dispatcher._cli.output import EXIT_FAILED, Column, console, rich_table, styled
from pacifica.dispatcher._operate.words import one_line, without_password

_STYLE = {'ok': 'green', 'warning': 'yellow', 'failed': 'bold red', 'skipped': 'dim'}
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


@click.command('doctor')
@click.argument('router', metavar='[MODULE:ROUTER]', required=False)
@database_option
@click.option('--broker', metavar='URL', envvar='CELERY_BROKER_URL', show_envvar=True,
              help='Celery\'s broker, if you use it: redis://HOST/0, amqp://USER@HOST//.')
@click.option('--cartd', metavar='URL', callback=http_url,
              help='Where files are downloaded from.  [default: as pacifica-downloader, CARTD_ADDR and CARTD_PORT]')
@click.option('--ingest', metavar='URL', callback=http_url,
              help='Where results are uploaded to.  [default: as pacifica-uploader, INGEST_ADDR and INGEST_PORT]')
@click.option('--policy', metavar='URL', callback=http_url,
              help='Where Policy is.  [default: as pacifica-uploader, POLICY_ADDR and POLICY_PORT]')
@click.option('--notifications', metavar='URL', callback=http_url, envvar='NOTIFICATIONS_URL', show_envvar=True,
              help='Where Notifications are.')
@click.option('--name', metavar='NAME', help='The subscription\'s name.')
@click.option('--user', metavar='NAME', envvar='NOTIFICATIONS_USER', show_envvar=True,
              help='Whose subscription it is (Http-Remote-User).')
@click.option('--receiver', metavar='URL', callback=http_url, help='Where the receiver is mounted.')
@click.option('--timeout', type=click.FloatRange(min=0.1), default=5.0, show_default=True, metavar='SECONDS',
              help='How long each check may take; all run at once.')
@click.option('--json', 'as_json', is_flag=True, help='Print JSON: "ok", and "checks" with "check", "status", "found" '
                                                      'and "advice".')
def doctor_command(
    router: str | None, database: Any, cartd: str | None, ingest: str | None, policy: str | None,
    as_json: bool, **others: Any,
) -> None:
    """Look whether everything is there that a dispatcher needs, and say what to do where it isn't.

    Looks at the router, the database and its table, the clocks, the disk, Celery's broker, Pacifica's services, the
    subscription and the receiver; what was not named, and isn't found at its default either, is skipped. Nothing is
    changed, passwords are not shown. The exit status is 0 if no check failed, else 1.
    """
    from pacifica.dispatcher._cli.doctor_checks import CHECKS

    findings = run_checks(CHECKS, Settings(
        database=database, router=router, **others,
        cartd=address(cartd, 'CARTD', 8081, 'CARTD_CART_API_URL'),
        ingest=address(ingest, 'INGEST', 8066, 'INGEST_UPLOAD_URL'),
        policy=address(policy, 'POLICY', 8181, 'POLICY_URL'),
    ))
    good = all(finding.status != 'failed' for _, finding in findings)
    if as_json:
        click.echo(json.dumps({'ok': good, 'checks': [
            {'check': name, 'status': finding.status, 'found': finding.found, 'advice': finding.advice or None}
            for name, finding in findings
        ]}, indent=2, ensure_ascii=False))
    else:
        _print_table(findings)
    sys.exit(0 if good else EXIT_FAILED)


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
    for check in checks:
        if check.in_main_thread:
            look(check)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = failed(
        f'no answer in {settings.timeout:g} s', 'check the network and the name of the host, or give it more --timeout')
    return [(check.name, found.get(check.name, late)) for check in checks]


def _print_table(findings: Sequence[tuple[str, Finding]]) -> None:
    """Print a table, what to do below what was found."""
    columns = [Column('check', whole=True), Column('status', whole=True), Column('found', fold=True)]
    rows: list[list[object]] = []
    for name, finding in findings:
        found = styled(finding.found)
        if finding.advice and finding.status != 'skipped':
            found.append(f'\n→ {finding.advice}', style='italic')
        rows.append([name, styled((finding.status, _STYLE[finding.status])), found])
    console().print(rich_table(columns, rows))
