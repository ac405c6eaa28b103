"""``work``: a worker process alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.logs import log_options
from pacifica.dispatcher._cli.notifying import notify_options, receiver_of
from pacifica.dispatcher._cli.parameters import RouterReference, queue_options, tracing_option

if TYPE_CHECKING:
    import peewee

__all__ = ['command']


@click.command('work')
@queue_options
@notify_options
@click.option('--metrics-port', type=click.IntRange(1, 65535), default=None, metavar='PORT',
              help='Serve what this worker counts for Prometheus, on this port; needs the extra metrics. With '
                   'PROMETHEUS_MULTIPROC_DIR in the environment, workers count without a port too, and each that '
                   'serves, serves what all count.')
@click.option('--metrics-host', default='127.0.0.1', show_default=True, metavar='ADDRESS',
              help='Address to serve that on; whoever reaches it may read.')
@tracing_option
@log_options
def command(
    reference: RouterReference, database: peewee.Database, name: str | None, task_name: str | None, concurrency: int,
    keep_unrouted: float,
    notify: str | None, notify_token_env: str | None,
    metrics_port: int | None, metrics_host: str, tracing: bool, log_level: str, log_format: str,
) -> None:
    """Run accepted events by ROUTER of MODULE, without receiving any.

    Start as many as you like, beside "serve" or a receiver of your own, on any machine that reaches the database.
    SIGINT and SIGTERM stop: running handlers get 30 seconds; a second signal stops at once, and gives their events
    back.
    """
    from pacifica.dispatcher._cli import logs
    from pacifica.dispatcher._cli.serving import describe, open_queue, running, serving_metrics

    receiver = receiver_of(notify, notify_token_env)
    logs.configure(log_level, log_format)
    metrics = metrics_port is not None or 'PROMETHEUS_MULTIPROC_DIR' in os.environ
    model, queue = open_queue(reference, database, name, task_name, receiver, metrics=metrics, tracing=tracing)
    worker = queue.create_worker(concurrency=concurrency, keep_unrouted=keep_unrouted)
    with serving_metrics(metrics_port, metrics_host), running(worker) as stop:
        click.echo(describe(reference, database))
        click.echo('working')
        stop.wait()
        click.echo('stopping')
    model.close_connections()
    click.echo('stopped')
