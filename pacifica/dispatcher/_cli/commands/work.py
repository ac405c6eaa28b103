"""``work``: a worker process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.notifying import notify_options, receiver_of
from pacifica.dispatcher._cli.parameters import RouterReference, queue_options

if TYPE_CHECKING:
    import peewee

__all__ = ['command']


@click.command('work')
@queue_options
@notify_options
def command(
    reference: RouterReference, database: peewee.Database, name: str | None, task_name: str | None, concurrency: int,
    notify: str | None, notify_token_env: str | None,
) -> None:
    """Run accepted events by ROUTER of MODULE, without receiving any.

    Start as many as you like, beside "serve" or a receiver of your own, on any machine that reaches the database.
    SIGINT and SIGTERM stop: running handlers get 30 seconds; a second signal stops at once, and gives their events
    back.
    """
    from pacifica.dispatcher._cli import logs
    from pacifica.dispatcher._cli.serving import describe, open_queue, running

    receiver = receiver_of(notify, notify_token_env)
    logs.configure()
    model, queue = open_queue(reference, database, name, task_name, receiver)
    with running(queue.create_worker(concurrency=concurrency)) as stop:
        click.echo(describe(reference, database))
        click.echo('working')
        stop.wait()
        click.echo('stopping')
    model.close_connections()
    click.echo('stopped')
