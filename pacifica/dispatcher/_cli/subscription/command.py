"""What ``subscribe`` does, and what it says."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pacifica.dispatcher._cli import logs
from pacifica.dispatcher._cli.subscription.ensure import Done, Wanted, ensure, find, of_this_name
from pacifica.dispatcher._cli.subscription.keeper import Keeper, shown
from pacifica.dispatcher._cli.subscription.notifications import NOBODY, Notifications
from pacifica.dispatcher._cli.subscription.receiver import Receiver
from pacifica.dispatcher._cli.subscription.redelivery import Redelivery

__all__ = ['keep_it', 'subscribe_once', 'unsubscribe']

_CHANGED = {'name': 'name', 'jsonpath': 'JSONPath', 'auth': 'credentials'}


def subscribe_once(notifications: Notifications, receiver: Receiver, wanted: Wanted) -> None:
    """Make the subscription what it should be and say what was done.

    :raises UsageFault: if Notifications are away or refuse it.
    """
    done = ensure(notifications, wanted, find(notifications.subscriptions(), wanted))
    click.echo(_said(done))
    click.echo(f'events in which {wanted.jsonpath} matches go to {wanted.target_url}')
    if done.record.get('user') == NOBODY:
        click.echo(f'warning: it belongs to {NOBODY!r}, whom Policy does not know, so that the first event will '
                   'disable it: say whose it is with --user', err=True)
    if fault := receiver.fault():
        click.echo(f'warning: the receiver does not seem to be ready, and the first event that it does not take will '
                   f'disable the subscription: {fault}', err=True)


def unsubscribe(notifications: Notifications, wanted: Wanted) -> None:
    """Remove what :func:`subscribe_once` makes, and say so; every one, where it was made twice.

    :raises UsageFault: if Notifications are away or refuse it.
    """
    found = of_this_name(notifications.subscriptions(), wanted)
    for record in found:
        notifications.delete(str(record['uuid']))
        click.echo(f'removed the subscription {record.get("name")!r} of {record.get("user")}')
    if not found:
        click.echo(f'there is no subscription {wanted.name!r} for {wanted.target_url}')


def keep_it(
    notifications: Notifications, receiver: Receiver, wanted: Wanted, interval: float,
    redelivery: Redelivery | None = None,
) -> None:
    """Look after the subscription until SIGINT or SIGTERM."""
    logs.configure()
    with _stopped_by_signals() as stop:
        click.echo(f'looking after the subscription {wanted.name!r} for {wanted.target_url}')
        Keeper(notifications, receiver, wanted, redelivery=redelivery).run(stop, interval)
    click.echo('stopped')


def _said(done: Done) -> str:
    changed = ' and '.join(_CHANGED[name] for name in done.changed)
    also = f', and changed its {changed}' if changed else ''
    name = f'{done.record.get("name")!r} of {done.record.get("user")}'
    if done.what == 'enabled' and done.before is not None:
        return (f'enabled the subscription {name}{also}; it was disabled at {done.before["disabled"]}, by the clock of '
                f'Notifications ({shown(done.before.get("error"))}). What was announced since then was not sent, and '
                'will not be: "reconcile" finds it')
    return {
        'created': f'made the subscription {name}',
        'updated': f'changed the {changed} of the subscription {name}',
        'unchanged': f'the subscription {name} is there, and enabled',
    }[done.what]


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield what the first SIGINT or SIGTERM sets."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
