"""``serve``: receiver and worker in one process."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.access import access_options, refuse_open_door
from pacifica.dispatcher._cli.client import http_url
from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.logs import log_options
from pacifica.dispatcher._cli.notifying import notify_options, receiver_of
from pacifica.dispatcher._cli.parameters import RouterReference, queue_options, tracing_option
from pacifica.dispatcher._cli.times import duration, moment

if TYPE_CHECKING:
    import peewee

    from pacifica.dispatcher.authentication import Authenticate

__all__ = ['command']


@click.command('serve')
@queue_options
@click.option('--host', default='127.0.0.1', show_default=True, metavar='ADDRESS',
              help='Address to listen on; 0.0.0.0 is every one of this machine\'s.')
@click.option('--port', type=click.IntRange(0, 65535), default=8069, show_default=True, metavar='PORT',
              help='Port to listen on; 0 takes a free one.')
@access_options
@notify_options
@click.option('--max-body', type=click.IntRange(min=1), default=100_000_000, show_default=True, metavar='BYTES',
              help='The largest request that is taken; a larger event is answered 413, after which Pacifica '
                   'Notifications sends no more.')
@click.option('--metadata', 'metadata_url', metavar='URL', callback=http_url,
              help='Where Pacifica Metadata is, e.g. http://HOST:8121: events that were never delivered are found '
                   'there and stored, at the start and again and again.')
@click.option('--reconcile-interval', callback=duration, default='1m', show_default=True, metavar='TIME',
              help='Between two looks for such events, with --metadata.')
@click.option('--since', callback=moment, metavar='TIME',
              help='From when on the very first look finds them: ISO 8601, UTC if it names no zone, or how long ago, '
                   'such as 2h or 3d. By default from now on; later looks begin where the last one ended.')
@click.option('--metrics', is_flag=True,
              help='Serve /metrics for Prometheus, to who may read; needs the extra metrics.')
@tracing_option
@log_options
def command(
    reference: RouterReference, database: peewee.Database, name: str | None, task_name: str | None, concurrency: int,
    keep_unrouted: float,
    host: str, port: int, authenticate: Authenticate | None, insecure: bool, max_body: int,
    metadata_url: str | None, reconcile_interval: float, since: str | None,
    notify: str | None, notify_token_env: str | None, metrics: bool, tracing: bool, log_level: str, log_format: str,
) -> None:
    """Receive events over HTTP, and run them by ROUTER of MODULE, in one process.

    POST /receive takes an event, GET /status/ID and GET /get/ID tell what became of it. SIGINT and SIGTERM stop: no
    new events are taken, and running handlers get 30 seconds; a second signal stops at once. Events that were
    accepted and not finished are run at the next start.
    """
    from pacifica.dispatcher._cli import logs
    from pacifica.dispatcher._cli.serving import HttpServer, beside, describe, open_queue, running

    if since is not None and metadata_url is None:
        raise UsageFault('--since says from when on events are looked for in Metadata: give --metadata too')
    refuse_open_door(host, authenticate, insecure)
    receiver = receiver_of(notify, notify_token_env)
    logs.configure(log_level, log_format)
    model, queue = open_queue(reference, database, name, task_name, receiver, metrics=metrics, tracing=tracing)
    application = model.create_cherrypy_app(queue, authenticate=authenticate, metrics=metrics, max_body=max_body)
    server = HttpServer(application, host, port)
    worker = queue.create_worker(concurrency=concurrency, keep_unrouted=keep_unrouted)
    reconciler = None if metadata_url is None else queue.create_reconciler(
        metadata_url, interval=reconcile_interval, since=None if since is None else datetime.fromisoformat(since))
    with running(worker, server) as stop, beside(reconciler):
        click.echo(describe(reference, database))
        if authenticate is None and not server.on_loopback:
            click.echo('no authentication: whoever reaches this address can send events and read all records')
        click.echo(f'listening: POST events to {server.url}/receive')
        stop.wait()
        click.echo('stopping')
    model.close_connections()
    click.echo('stopped')
