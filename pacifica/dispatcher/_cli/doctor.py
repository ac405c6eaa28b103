"""``doctor``: is everything running that a dispatcher needs? All checks run in parallel, each within its time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from pacifica.dispatcher._cli.doctor_database import check_clock, check_database, check_schema, check_sqlite_file
from pacifica.dispatcher._cli.doctor_disks import check_filesystem, check_staging_directories, check_temporary_directory
from pacifica.dispatcher._cli.doctor_findings import (
    DoctorCheck, Finding, Settings, address, failed, ok, run_checks, skipped, warning,
)
from pacifica.dispatcher._cli.doctor_services import (
    check_broker, check_notifications, check_receiver_alive, check_receiver_ready, check_subscription, service_check,
)
from pacifica.dispatcher._cli.options import database_option, http_url
from pacifica.dispatcher._cli.output import EXIT_FAILED, Column, console, print_json, rich_table, styled
from pacifica.dispatcher._cli.references import find_router, is_routes_file
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher.exceptions import ConfigurationError

_STYLE = {'ok': 'green', 'warning': 'yellow', 'failed': 'bold red', 'skipped': 'dim'}


def check_router(settings: Settings) -> Finding:
    if settings.router is None:
        return skipped('no MODULE:ROUTER was given')
    try:
        found = find_router(settings.router)
    except ConfigurationError as exc:
        wrong = 'the file' if is_routes_file(settings.router) else 'MODULE:ROUTER, or the module'
        return failed(str(exc), f'correct {wrong}')
    routes = len(list(found.router))
    if not routes:
        return warning(f'{found} has no routes: every event will end in 422', 'add routes with add_route()')
    if found.router.warnings:
        return warning(f'{found}: {"; ".join(found.router.warnings)}', 'see whether it is meant')
    return ok(f'{found}, {routes} {"route" if routes == 1 else "routes"}')


#: All that is looked at: functions that take the ``Settings``, return a ``Finding``, and change nothing.
CHECKS = (
    DoctorCheck('router', check_router, in_main_thread=True),
    DoctorCheck('database', check_database),
    DoctorCheck('schema', check_schema),
    DoctorCheck('clock', check_clock),
    DoctorCheck('sqlite-file', check_sqlite_file),
    DoctorCheck('filesystem', check_filesystem),
    DoctorCheck('temporary-directory', check_temporary_directory),
    DoctorCheck('staging-directories', check_staging_directories, in_main_thread=True),
    DoctorCheck('broker', check_broker),
    DoctorCheck('cartd', service_check('Cartd', lambda settings: settings.cartd)),
    DoctorCheck('ingest', service_check('Ingest', lambda settings: settings.ingest)),
    DoctorCheck('policy', service_check('Policy', lambda settings: settings.policy)),
    DoctorCheck('notifications', check_notifications),
    DoctorCheck('subscription', check_subscription),
    DoctorCheck('receiver-alive', check_receiver_alive),
    DoctorCheck('receiver-ready', check_receiver_ready),
)


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
    findings = run_checks(CHECKS, Settings(
        database=database, router=router, **others,
        cartd=address(cartd, 'CARTD', 8081, 'CARTD_CART_API_URL'),
        ingest=address(ingest, 'INGEST', 8066, 'INGEST_UPLOAD_URL'),
        policy=address(policy, 'POLICY', 8181, 'POLICY_URL'),
    ))
    good = all(finding.status != 'failed' for _, finding in findings)
    if as_json:
        print_json({'ok': good, 'checks': [
            {'check': name, 'status': finding.status, 'found': finding.found, 'advice': finding.advice or None}
            for name, finding in findings
        ]}, indent=2)
    else:
        _print_table(findings)
    sys.exit(0 if good else EXIT_FAILED)


def _print_table(findings: Sequence[tuple[str, Finding]]) -> None:
    """Print a table, what to do below what was found."""
    columns = [Column('check', whole=True), Column('status', whole=True), Column('found', fold=True)]
    rows: list[list[object]] = []
    for name, finding in findings:
        found = styled(printable(finding.found))
        if finding.advice and finding.status != 'skipped':
            found.append(f'\n→ {printable(finding.advice)}', style='italic')
        rows.append([name, styled((finding.status, _STYLE[finding.status])), found])
    console().print(rich_table(columns, rows))
