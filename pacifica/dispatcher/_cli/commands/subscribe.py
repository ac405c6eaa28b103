"""``subscribe``: have Pacifica Notifications send events to a receiver."""

from __future__ import annotations

from typing import Any

import click

from pacifica.dispatcher._cli.client import http_url
from pacifica.dispatcher._cli.errors import UsageFault
from pacifica.dispatcher._cli.subscription.options import INGESTS, jsonpath, receiver_auth_options

__all__ = ['command']


@click.command('subscribe')
@click.option('--receiver', 'receiver_url', required=True, metavar='URL', callback=http_url,
              help='Where the receiver is mounted, as Notifications reach it; events go to URL/receive.')
@click.option('--notifications', 'notifications_url', required=True, metavar='URL', callback=http_url,
              envvar='NOTIFICATIONS_URL', show_envvar=True, help='Where Notifications are, e.g. http://HOST:8070.')
@click.option('--jsonpath', default=INGESTS, show_default=True, metavar='EXPR', callback=jsonpath,
              help='Which events: those in which this JSONPath matches something.')
@click.option('--name', required=True, metavar='NAME', help='The subscription\'s name: one receiver may have several.')
@click.option('--user', metavar='NAME', envvar='NOTIFICATIONS_USER', show_envvar=True,
              help='Whose subscription it is (Http-Remote-User), and who must be on the project of the data. Leave it '
                   'out only where a proxy says who you are.')
@receiver_auth_options
@click.option('--keep', is_flag=True, help='Stay, look after the subscription, and enable it again when need be.')
@click.option('--metadata', 'metadata_url', metavar='URL', callback=http_url,
              help='Where Pacifica Metadata is, e.g. http://HOST:8121; with --keep, events that were missed are made '
                   'anew from what it knows, and sent to the receiver.')
@click.option('--delete', is_flag=True, help='Remove the subscription of this name for this receiver instead.')
@click.option('--interval', type=click.FloatRange(min=0.1), default=15.0, show_default=True, metavar='SECONDS',
              help='Between two looks, with --keep.')
@click.option('--timeout', type=click.FloatRange(min=0.1), default=10.0, show_default=True, metavar='SECONDS',
              help='How long a service may be silent.')
def command(
    receiver_url: str, notifications_url: str, jsonpath: str, name: str, user: str | None, keep: bool,
    metadata_url: str | None, delete: bool, interval: float, timeout: float, **credentials: Any,
) -> None:
    """Have Pacifica Notifications send events to a receiver.

    Makes the subscription; or, if there is one of this name (or JSONPath) for this receiver, enables it if it is
    disabled, and corrects its JSONPath and credentials if they differ. Run again, it changes nothing. Credentials that
    the subscription has stay, unless others are given here.

    Notifications disable a subscription at the first event that its receiver doesn't take, for ever, and never send
    that event again. With --keep this command looks after it: as soon as the receiver is ready again (its
    /health/ready, or any answer where it has none) the subscription is enabled, and the log says from when to when
    events were missed. With --metadata too, it sends those that announce ingests itself; Policy is not asked, and a
    receiver of the 0.2 series, which doesn't know which events it had, runs those of the hour before twice.
    SIGINT and SIGTERM stop it.
    """
    from pacifica.dispatcher._cli.subscription.command import keep_it, subscribe_once, unsubscribe
    from pacifica.dispatcher._cli.subscription.ensure import Wanted
    from pacifica.dispatcher._cli.subscription.notifications import Notifications
    from pacifica.dispatcher._cli.subscription.options import receiver_auth
    from pacifica.dispatcher._cli.subscription.receiver import Receiver
    from pacifica.dispatcher._cli.subscription.redelivery import Redelivery
    from pacifica.dispatcher._transfers.metadata import Metadata

    if keep and delete:
        raise UsageFault('give --keep or --delete, not both')
    if metadata_url is not None and not keep:
        raise UsageFault('--metadata is for what --keep finds missing: give --keep too, or use "reconcile"')
    receiver = Receiver(receiver_url, timeout)
    wanted = Wanted(name, receiver.target_url, jsonpath, receiver_auth(**credentials))
    notifications = Notifications(notifications_url, user, timeout)
    if delete:
        unsubscribe(notifications, wanted)
    elif keep:
        redelivery = None if metadata_url is None else Redelivery(Metadata(metadata_url), wanted, timeout)
        keep_it(notifications, receiver, wanted, interval, redelivery)
    else:
        subscribe_once(notifications, receiver, wanted)
