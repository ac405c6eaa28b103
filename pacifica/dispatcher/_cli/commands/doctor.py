"""``doctor``: is everything there?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.client import http_url
from pacifica.dispatcher._cli.parameters import database_option

if TYPE_CHECKING:
    import peewee

__all__ = ['command']


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
def command(
    router: str | None, database: peewee.Database, cartd: str | None, ingest: str | None, policy: str | None,
    as_json: bool, **others: Any,
) -> None:
    """Look whether everything is there that a dispatcher needs, and say what to do where it isn't.

    Looks at the router, the database and its table, the clocks, the disk, Celery's broker, Pacifica's services, the
    subscription and the receiver; what was not named, and isn't found at its default either, is skipped. Nothing is
    changed, passwords are not shown. The exit status is 0 if no check failed, else 1.
    """
    from pacifica.dispatcher._cli.doctor import report, running
    from pacifica.dispatcher._cli.doctor.checks import CHECKS
    from pacifica.dispatcher._cli.doctor.settings import Settings, address
    from pacifica.dispatcher._cli.errors import EXIT_FAILED

    findings = running.run(CHECKS, Settings(
        database=database, router=router, **others,
        cartd=address(cartd, 'CARTD', 8081, 'CARTD_CART_API_URL'),
        ingest=address(ingest, 'INGEST', 8066, 'INGEST_UPLOAD_URL'),
        policy=address(policy, 'POLICY', 8181, 'POLICY_URL'),
    ))
    good = all(finding.status != 'failed' for _, finding in findings)
    if as_json:
        click.echo(report.as_json(findings, good))
    else:
        report.print_table(findings)
    sys.exit(0 if good else EXIT_FAILED)
