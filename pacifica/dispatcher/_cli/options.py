"""Arguments and options that several commands share; a value that can't work is refused, saying what to write."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import click

from pacifica.dispatcher._cli.composing import combined, converting, options
from pacifica.dispatcher._cli.configuration import config_option
from pacifica.dispatcher._cli.references import ROUTER, router_reference
from pacifica.dispatcher._operate.archive import TransactionUrl
from pacifica.dispatcher._operate.words import read_status, read_time, without_password
from pacifica.dispatcher._parameters import parse
from pacifica.dispatcher._units import seconds_of, seconds_or_bare

if TYPE_CHECKING:
    import peewee

    from pacifica.dispatcher._queue.filters import Filter
    from pacifica.dispatcher.router import Route

_F = TypeVar('_F', bound=Callable[..., Any])


# Times

@converting
def duration(value: str) -> float:
    """Return the seconds of a length of time: ``90s``, ``15m``, ``2h``, ``30d``, ``1w`` or several of these."""
    return _checked(seconds_of(value), value)


@converting
def seconds(value: str) -> float:
    """Return :func:`duration` of *value*, whose unit is seconds if it has none."""
    return _checked(seconds_or_bare(value), value)


def _checked(found: float | None, value: str) -> float:
    if found is None:
        raise click.BadParameter(
            f'{value!r} is no length of time of at most a hundred years: write for example 90s, 15m, 2h, 30d or 1w')
    return found


@converting
def moment(value: str) -> str:
    """Return a time, given in ISO 8601 or as how long ago it was, as the table keeps it."""
    ago = seconds_of(value)
    try:
        if ago is not None:
            value = (datetime.now(timezone.utc) - timedelta(seconds=ago)).isoformat()
        return read_time(value)
    except (ValueError, OverflowError) as exc:
        raise click.BadParameter(
            f'{value!r} is no time: write ISO 8601, for example 2026-11-24 or 2026-11-24T10:39:01Z, or how long ago, '
            'for example 15m, 2h or 3d') from exc


# Which database, and whose events

@converting
def _database(value: str) -> peewee.Database:
    """Return the database object for a URL as :func:`playhouse.db_url.connect` takes it; nothing is connected yet."""
    from playhouse import db_url

    shown, scheme = without_password(value), value.partition(':')[0]
    if scheme not in db_url.schemes:
        raise click.BadParameter(
            f'{shown!r} is not the URL of a database: write sqlite:///FILE, postgresql://USER@HOST/NAME or '
            'mysql://USER@HOST/NAME',
        )
    if scheme.startswith('sqlite') and not value.startswith(f'{scheme}:///'):  # it would be another file, or none
        name = value[len(scheme) + 1:].lstrip('/')
        raise click.BadParameter(f'{value!r} has no file: write {scheme}:///{name}')
    try:
        made: Any = db_url.connect(value, unquote_user=True, unquote_password=True)
    except (ValueError, TypeError, RuntimeError) as exc:  # their text may quote a password, so it is not shown
        raise click.BadParameter(
            f'{shown!r} names no database, or no valid port: write what has a meaning in a URL (/ : @ ? #) as %XX',
        ) from exc
    if scheme.startswith('sqlite'):
        import sqlite3  # here, since the help of a command needs no database

        try:
            sqlite3.connect(':memory:', timeout=made.timeout, **made.connect_params).close()
        except (TypeError, ValueError) as exc:
            raise click.BadParameter(f'{value!r} has a setting that SQLite does not take: {exc}') from exc
    return cast('peewee.Database', made)


database_option = options(
    config_option,
    click.option(
        '--database', callback=_database, envvar=['PACIFICA_DISPATCHER_DATABASE', 'DATABASE_URL'],
        default='sqlite:///pacifica-dispatcher.db', show_default=True, show_envvar=True, metavar='URL',
        help='Where events are kept: sqlite:///FILE, postgresql://USER@HOST/NAME, mysql://USER@HOST/NAME.'),
)

#: The argument ``MODULE:ROUTER`` and the options that say where its events are, and whose.
router_options = options(
    click.argument('reference', metavar=ROUTER, callback=router_reference),
    database_option,
    click.option('--name', metavar='NAME', default=None, envvar=['PACIFICA_DISPATCHER_NAME'],
                 help='The application whose events these are; must be the same for every process that '
                      'receives or works on them.  [default: MODULE, FILE]'),
    click.option('--task-name', metavar='NAME', default=None, envvar=['PACIFICA_DISPATCHER_TASK_NAME'],
                 help='The task whose events these are, likewise.  [default: NAME.receive]'),
)

tracing_option = click.option(
    '--tracing', is_flag=True,
    help='Make each attempt a span of OpenTelemetry\'s; needs the extra otel, and an SDK that is set up, for '
         'example by starting this with opentelemetry-instrument.')

#: Comes after a command's ``--metrics-port``.
metrics_host_option = click.option(
    '--metrics-host', default='127.0.0.1', show_default=True, metavar='ADDRESS',
    help='Address to serve that on; whoever reaches it may read.')


#: The command gets it as ``parameters``.
set_option = click.option(
    '--set', 'parameters', multiple=True, callback=converting(parse), metavar='NAME=VALUE',
    help='Run with this parameter, in the place of the route\'s; VALUE is JSON, or else a text. May be repeated.')


# Which events

json_option = click.option('--json', 'as_json', is_flag=True, help='Print JSON, for programs.')


def _by(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    """Return who acts: by default the user who is logged in."""
    if value:
        return value
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # as it is in a container whose user has no name; which, says the Python
        return f'user {os.getuid()}' if hasattr(os, 'getuid') else 'somebody'


def by_option(what_for: str) -> Callable[[_F], _F]:
    return click.option('--by', metavar='NAME', default=None, callback=_by,
                        help=f'Who does this, {what_for}.  [default: the login name]')


def as_task_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as exc:
        raise click.BadParameter(
            f'{value!r} is no task id, which is a UUID as "pacifica-dispatcher list" shows it') from exc


@converting
def _status(value: str) -> str:
    """Return the status that people, or the table, call so."""
    try:
        return read_status(value)
    except ValueError as exc:
        raise click.BadParameter(f'{value!r} is no status: write {exc}') from exc


@converting
def _key_value(value: str) -> str:
    if '=' not in value.strip('='):
        raise click.BadParameter(f'{value!r} is no key-value: write KEY=VALUE')
    return value


def route_of(jsonpath: str) -> Route:
    """Return a route of that path, for what it matches."""
    from pacifica.dispatcher.event_handlers import NoopEventHandler
    from pacifica.dispatcher.router import Route

    return Route.parse(jsonpath, NoopEventHandler())


def _filter(**values: Any) -> Filter:
    from pacifica.dispatcher._queue.filters import Filter

    return Filter(**values)


def filter_options(*, status: bool = True) -> Callable[[_F], _F]:
    """Return what adds the options that say which events are ``wanted``, a ``Filter``.

    :param status: whether ``--status`` and ``--group`` are among them.
    """
    return combined('wanted', _filter, *(_FILTER_OPTIONS if status else _FILTER_OPTIONS[2:]))


_FILTER_OPTIONS = (
    click.option('--status', callback=_status, metavar='STATUS', default=None,
                 help='In this status: waiting, processing, ok, failed or unrouted, or the status string.'),
    click.option('--group', metavar='GROUP', default=None,
                 help='Failed as others did: a group of equal failures, as "status" names it.'),
    click.option('--type', 'event_type', metavar='TYPE', default=None, help='Of this type, as the event names it.'),
    click.option('--source', metavar='SOURCE', default=None, help='From this source, as the event names it.'),
    click.option('--transaction', 'transaction_id', metavar='ID', help='About this transaction of the archive.'),
    click.option('--parent', 'parent_transaction', metavar='ID', help='About transactions made from this one.'),
    click.option('--project', metavar='ID', help='Of this project.'),
    click.option('--instrument', metavar='ID', help='Of this instrument.'),
    click.option('--submitter', metavar='ID', help='Submitted by this user.'),
    click.option('--route-name', 'route', metavar='NAME', help='That the route of this name has run.'),
    click.option('--kv', 'key_value', callback=_key_value, metavar='KEY=VALUE', help='With this key-value.'),
    click.option('--file', metavar='PATTERN',
                 help='With a file of this name or path; * and ? stand for other characters.'),
    click.option('--since', callback=moment, metavar='TIME', default=None,
                 help='Accepted then or later: ISO 8601, UTC if it names no zone, or how long ago, such as 2h or 3d.'),
    click.option('--until', callback=moment, metavar='TIME', default=None, help='Accepted before that, likewise.'),
    click.option('--text', metavar='TEXT', default=None,
                 help='With this whole task id, event id or transaction; else with this in the event\'s id, source, '
                      'type or route, or in its error, in upper or lower case.'),
)


# Services

@converting
def http_url(value: str) -> str:
    """Check the URL of an HTTP service, which must have no credentials in it."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ('http', 'https') and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if '@' in value.partition('//')[2].partition('/')[0]:
        raise click.BadParameter('a URL with a user or password in it can be seen by others: use --user and its kin')
    if not fine:
        raise click.BadParameter(f'{value!r} is no URL of a service: write http://HOST:PORT/PATH or https://…')
    return value


@converting
def transaction_url(value: str) -> str:
    """Check the address of the archive's page of a transaction."""
    TransactionUrl(value)
    return value
