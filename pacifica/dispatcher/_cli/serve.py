"""``serve``: receiver and worker in one process; ``work``: a worker alone."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.composing import combined, options
from pacifica.dispatcher._cli.configuration import SERVICE
from pacifica.dispatcher._cli.options import http_url, metrics_host_option, moment, tracing_option, transaction_url
from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._cli.references import RouterReference, authentication
from pacifica.dispatcher._cli.reloading import Reload
from pacifica.dispatcher._cli.serving import LOG_LEVELS, HttpServer, configure_log, open_queue, running, serving_metrics
from pacifica.dispatcher._cli.supervisor import Supervised, supervise
from pacifica.dispatcher._cli.worker_options import period, queue_options
from pacifica.dispatcher.authentication import Authenticate, Secret
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher.hooks import Notify


def _notify(notify: str | None, notify_token_env: str | None) -> Notify | None:
    """Return who gets a CloudEvent for each event that has ended, ``None`` if nobody does."""
    from pacifica.dispatcher.hooks import Notify

    if notify is None:
        if notify_token_env is not None:
            raise UsageFault('--notify-token-env is the token for --notify: give that too')
        return None
    try:
        return Notify(notify, token=None if notify_token_env is None else Secret.from_environment(notify_token_env))
    except ConfigurationError as exc:
        raise UsageFault(f'--notify can\'t work: {exc}') from exc


_notify_options = combined(
    'notify', _notify,
    click.option('--notify', metavar='URL', default=None,
                 help='Where a CloudEvent is posted to when an event has ended, for example another dispatcher\'s '
                      '/receive; the same for every worker.'),
    click.option('--notify-token-env', metavar='NAME', default=None,
                 help='The environment variable with the bearer token for that.'),
)
_log_options = options(
    click.option('--log-level', type=click.Choice(LOG_LEVELS, case_sensitive=False), default='info',
                 show_default=True, help='The least that is logged, to stderr.'),
    click.option('--log-format', type=click.Choice(('text', 'json')), default='text', show_default=True,
                 help='One line an entry either way: for people, or for programs.'),
)


@click.command('serve', context_settings=SERVICE)
@queue_options
@click.option('--host', default='127.0.0.1', show_default=True, metavar='ADDRESS',
              help='Address to listen on; 0.0.0.0 is every one of this machine\'s.')
@click.option('--port', type=click.IntRange(0, 65535), default=8069, show_default=True, metavar='PORT',
              help='Port to listen on; 0 takes a free one.')
@click.option('--authenticate', metavar='MODULE:NAME', callback=authentication, default=None,
              help='Who may send and read: a scheme of pacifica.dispatcher.authentication, or a list of them.')
@click.option('--allow-host', metavar='NAME', multiple=True,
              help='A name by which browsers may ask for this server, besides localhost and addresses, if there is no '
                   'authentication; "*" for any. May be repeated; spaces part names in variables and files.')
@click.option('--insecure', is_flag=True,
              help='Let everybody in who reaches an address that is not the loopback.')
@_notify_options
@click.option('--max-body', type=click.IntRange(min=1), default=100_000_000, show_default=True, metavar='BYTES',
              help='The largest request that is taken; a larger event is answered 413, after which Pacifica '
                   'Notifications sends no more.')
@click.option('--max-connections', type=click.IntRange(min=0), default=1000, show_default=True, metavar='NUMBER',
              help='How many connections may be open at the same time; 0 is as many as the limit of open files allows.')
@click.option('--max-connections-per-address', type=click.IntRange(min=0), default=800, show_default=True,
              metavar='NUMBER', help='How many of them may come from one address, such as a proxy\'s; 0 is any number.')
@click.option('--metadata', metavar='URL', callback=http_url,
              help='Where Pacifica Metadata is, e.g. http://HOST:8121: events that were never delivered are found '
                   'there and stored, at the start and again and again.')
@click.option('--reconcile-interval', callback=period, default='1m', show_default=True, metavar='TIME',
              help='Between two looks for such events, with --metadata.')
@click.option('--since', callback=moment, metavar='TIME',
              help='From when on the very first look finds them: ISO 8601, UTC if it names no zone, or how long ago, '
                   'such as 2h or 3d. By default from now on; later looks begin where the last one ended.')
@click.option('--transaction-url', metavar='URL', callback=transaction_url,
              help='The archive\'s page of a transaction, which the dashboard links to, e.g. '
                   'https://HOST/PATH/{transaction}.')
@click.option('--metrics', is_flag=True,
              help='Serve /metrics for Prometheus, to who may read; needs the extra metrics.')
@tracing_option
@click.option('--processes', type=click.IntRange(1, 64), default=1, show_default=True, metavar='N',
              help='How many processes receive and run events, sharing the port and --concurrency; for a server of '
                   'many processors, on PostgreSQL or MariaDB.')
@click.option('--reload', is_flag=True,
              help='For development: start again when a module changes that was imported from the working directory.')
@_log_options
def serve_command(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None,
    worker_settings: dict[str, Any], queue_settings: dict[str, Any], host: str, port: int,
    authenticate: Authenticate | None, allow_host: tuple[str, ...], insecure: bool, notify: Notify | None,
    max_body: int, max_connections: int, max_connections_per_address: int, metadata: str | None,
    reconcile_interval: float, since: str | None, transaction_url: str | None, metrics: bool, tracing: bool,
    processes: int, reload: bool, log_level: str, log_format: str,
) -> None:
    """Receive events over HTTP, and run them by ROUTER of MODULE, or by the routes of a file, FILE.toml.

    POST /receive takes an event, GET /status/ID and GET /get/ID tell what became of it. SIGINT and SIGTERM stop: no
    new events are taken, and running handlers get --grace; a second signal stops at once. Events that were accepted and
    not finished are run at the next start.
    """
    from pacifica.dispatcher._http import is_loopback

    if since is not None and metadata is None:
        raise UsageFault('--since says from when on events are looked for in Metadata: give --metadata too')
    if host and authenticate is None and not insecure and not is_loopback(host):
        raise UsageFault(
            f'other machines may reach {host}, and nothing asks who they are: say who may come in with --authenticate, '
            'or let everybody in with --insecure')
    is_open = authenticate is None and not is_loopback(host)
    if processes > 1:
        if reload:
            raise UsageFault('--reload is for one process: leave --processes away')
        _introduce(reference, database, is_open)
        supervise(processes, worker_settings['concurrency'], host, port, metrics=metrics)
        return
    configure_log(log_level, log_format)
    supervised, changes = Supervised.here(), Reload(reference) if reload else None
    model, queue = open_queue(
        reference, database, name, task_name, notify=notify, metrics=metrics, tracing=tracing, **queue_settings)
    model.close_connections()  # what has to do with a database is not to be copied
    worker = queue.create_worker(**worker_settings, import_name=reference.import_name)  # before there are threads
    application = model.create_cherrypy_app(
        queue, authenticate=authenticate, allowed_hosts=allow_host, metrics=metrics, max_body=max_body,
        transaction_url=transaction_url)
    server = HttpServer(
        application, host, port, None if supervised is None else supervised.listening,
        max_connections=max_connections, max_connections_per_address=max_connections_per_address)
    reconcilers = [] if metadata is None else [queue.create_reconciler(
        metadata, interval=reconcile_interval, since=None if since is None else datetime.fromisoformat(since))]
    with running(worker, server, *reconcilers) as stop:
        if supervised is None:
            _introduce(reference, database, is_open)
            click.echo(f'listening: POST events to {server.url}/receive')
        else:
            supervised.tell_serving()
            supervised.end_with_supervisor()
        stop.wait(None if changes is None else changes.wanted)
        if supervised is None:
            click.echo('stopping')
    model.close_connections()
    if changes is not None and not stop.signalled:
        changes.restart()
    if supervised is None:
        click.echo('stopped')


@click.command('work', context_settings=SERVICE)
@queue_options
@_notify_options
@click.option('--metrics-port', type=click.IntRange(1, 65535), default=None, metavar='PORT',
              help='Serve what this worker counts for Prometheus, on this port; needs the extra metrics. With '
                   'PROMETHEUS_MULTIPROC_DIR in the environment, workers count without a port too, and each that '
                   'serves, serves what all count.')
@metrics_host_option
@tracing_option
@_log_options
def work_command(
    reference: RouterReference, database: Any, name: str | None, task_name: str | None,
    worker_settings: dict[str, Any], queue_settings: dict[str, Any], notify: Notify | None, metrics_port: int | None,
    metrics_host: str, tracing: bool, log_level: str, log_format: str,
) -> None:
    """Run accepted events by ROUTER of MODULE, or by the routes of a file, FILE.toml, without receiving any.

    Start as many as you like, beside "serve" or a receiver of your own, on any machine that reaches the database.
    SIGINT and SIGTERM stop: running handlers get --grace; a second signal stops at once, and gives their events
    back.
    """
    configure_log(log_level, log_format)
    metrics = metrics_port is not None or 'PROMETHEUS_MULTIPROC_DIR' in os.environ
    model, queue = open_queue(
        reference, database, name, task_name, notify=notify, metrics=metrics, tracing=tracing, **queue_settings)
    model.close_connections()
    worker = queue.create_worker(**worker_settings, import_name=reference.import_name)
    with serving_metrics(metrics_port, metrics_host), running(worker) as stop:
        _introduce(reference, database)
        click.echo('working')
        stop.wait()
        click.echo('stopping')
    model.close_connections()
    click.echo('stopped')


def _introduce(reference: RouterReference, database: Any, is_open: bool = False) -> None:
    click.echo(reference.described())
    for warning in reference.router.warnings:
        click.echo(f'warning: {warning}', err=True)
    click.echo(f'events are kept in {database.database}')
    if is_open:
        click.echo('no authentication: whoever reaches this address can send events and read all records')
