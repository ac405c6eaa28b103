"""``serve``: receiver and worker in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.access import access_options, refuse_open_door
from pacifica.dispatcher._cli.logs import log_options
from pacifica.dispatcher._cli.notifying import notify_options, receiver_of
from pacifica.dispatcher._cli.parameters import RouterReference, queue_options, tracing_option

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
@click.option('--metrics', is_flag=True,
              help='Serve /metrics for Prometheus, to who may read; needs the extra metrics.')
@tracing_option
@log_options
def command(
    reference: RouterReference, database: peewee.Database, name: str | None, task_name: str | None, concurrency: int,
    keep_unrouted: float,
    host: str, port: int, authenticate: Authenticate | None, insecure: bool, max_body: int,
    notify: str | None, notify_token_env: str | None, metrics: bool, tracing: bool, log_level: str, log_format: str,
) -> None:
    """Receive events over HTTP, and run them by ROUTER of MODULE, in one process.

    POST /receive takes an event, GET /status/ID and GET /get/ID tell what became of it. SIGINT and SIGTERM stop: no
    new events are taken, and running handlers get 30 seconds; a second signal stops at once. Events that were
    accepted and not finished are run at the next start.
    """
    from pacifica.dispatcher._cli import logs
    from pacifica.dispatcher._cli.serving import HttpServer, describe, open_queue, running

    refuse_open_door(host, authenticate, insecure)
    receiver = receiver_of(notify, notify_token_env)
    logs.configure(log_level, log_format)
    model, queue = open_queue(reference, database, name, task_name, receiver, metrics=metrics, tracing=tracing)
    application = model.create_cherrypy_app(queue, authenticate=authenticate, metrics=metrics, max_body=max_body)
    server = HttpServer(application, host, port)
    with running(queue.create_worker(concurrency=concurrency, keep_unrouted=keep_unrouted), server) as stop:
        click.echo(describe(reference, database))
        if authenticate is None and not server.on_loopback:
            click.echo('no authentication: whoever reaches this address can send events and read all records')
        click.echo(f'listening: POST events to {server.url}/receive')
        stop.wait()
        click.echo('stopping')
    model.close_connections()
    click.echo('stopped')
