"""``subscribe``: have Pacifica Notifications send events to a receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.composing import converting
from pacifica.dispatcher._cli.credentials import credentials
from pacifica.dispatcher._cli.options import http_url, metrics_host_option, route_of
from pacifica.dispatcher._cli.output import UsageFault, notice, say
from pacifica.dispatcher._cli.serving import configure_log, handling_signals, serving_metrics
from pacifica.dispatcher._engine.turns import Signalled
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pacifica.dispatcher._clients.receiver_client import ReceiverClient
    from pacifica.dispatcher._clients.subscription import Done, Notifications, Wanted
    from pacifica.dispatcher._clients.subscription_keeper import Redelivery

_INGESTS = '$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'
_CHANGED = {'name': 'name', 'jsonpath': 'JSONPath', 'auth': 'credentials'}


@converting
def _jsonpath(value: str) -> str:
    """Check a JSONPath: to one that is none Notifications would answer as if they were broken."""
    try:
        route_of(value)
    except ConfigurationError as exc:
        raise click.BadParameter(f'{exc}; for each ingest, write \'{_INGESTS}\'') from exc
    return value


def _receiver_auth(secret: str, user: str | None) -> dict[str, Any]:
    """Return the credentials as Notifications store them."""
    if user is None:
        return {'type': 'header', 'header': {'type': 'Bearer', 'credentials': secret}}
    return {'type': 'basic', 'basic': {'username': user, 'password': secret}}


@click.command('subscribe')
@click.option('--receiver', 'receiver_url', required=True, metavar='URL', callback=http_url,
              help='Where the receiver is mounted, as Notifications reach it; events go to URL/receive.')
@click.option('--notifications', 'notifications_url', required=True, metavar='URL', callback=http_url,
              envvar='NOTIFICATIONS_URL', show_envvar=True, help='Where Notifications are, e.g. http://HOST:8070.')
@click.option('--jsonpath', default=_INGESTS, show_default=True, metavar='EXPR', callback=_jsonpath,
              help='Which events: those in which this JSONPath matches something.')
@click.option('--name', required=True, metavar='NAME', help='The subscription\'s name: one receiver may have several.')
@click.option('--user', metavar='NAME', envvar='NOTIFICATIONS_USER', show_envvar=True,
              help='Whose subscription it is (Http-Remote-User), and who must be on the project of the data. Leave it '
                   'out only where a proxy says who you are.')
@credentials(
    'auth', _receiver_auth, 'The environment variable that holds the bearer token that Notifications send.',
    'The file that holds it.', 'The user as whom Notifications send (Basic), with one of these:', prefix='receiver-')
@click.option('--keep', is_flag=True, help='Stay, look after the subscription, and enable it again when need be.')
@click.option('--metadata', 'metadata_url', metavar='URL', callback=http_url,
              help='Where Pacifica Metadata is, e.g. http://HOST:8121; with --keep, events that were missed are made '
                   'anew from what it knows, and sent to the receiver.')
@click.option('--delete', is_flag=True, help='Remove the subscription of this name for this receiver instead.')
@click.option('--interval', type=click.FloatRange(min=0.1), default=15.0, show_default=True, metavar='SECONDS',
              help='Between two looks, with --keep.')
@click.option('--timeout', type=click.FloatRange(min=0.1), default=10.0, show_default=True, metavar='SECONDS',
              help='How long a service may be silent.')
@click.option('--metrics-port', type=click.IntRange(1, 65535), default=None, metavar='PORT',
              help='With --keep, serve for Prometheus on this port whether the subscription is enabled; needs the '
                   'extra metrics.')
@metrics_host_option
def subscribe_command(
    receiver_url: str, notifications_url: str, jsonpath: str, name: str, user: str | None,
    auth: dict[str, Any] | None, keep: bool, metadata_url: str | None, delete: bool, interval: float, timeout: float,
    metrics_port: int | None, metrics_host: str,
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
    from pacifica.dispatcher._clients.http import HttpClient
    from pacifica.dispatcher._clients.receiver_client import ReceiverClient
    from pacifica.dispatcher._clients.subscription import Notifications, Wanted
    from pacifica.dispatcher._clients.subscription_keeper import Redelivery
    from pacifica.dispatcher._transfers.metadata import Metadata

    if keep and delete:
        raise UsageFault('give --keep or --delete, not both')
    if metadata_url is not None and not keep:
        raise UsageFault('--metadata is for what --keep finds missing: give --keep too, or use "reconcile"')
    if metrics_port is not None and not keep:
        raise UsageFault('--metrics-port shows what --keep sees: give --keep too')
    receiver = ReceiverClient.mounted_at(receiver_url, HttpClient(timeout=timeout))
    wanted = Wanted(name, receiver.target_url, jsonpath, auth)
    notifications = Notifications(notifications_url, user, timeout)
    if delete:
        _unsubscribe(notifications, wanted)
    elif keep:
        redelivery = None if metadata_url is None else Redelivery(Metadata(metadata_url), wanted, timeout)
        with serving_metrics(metrics_port, metrics_host):
            _keep(notifications, receiver, wanted, redelivery, interval, observed=metrics_port is not None)
    else:
        _subscribe(notifications, receiver, wanted)


def _keep(
    notifications: Notifications, receiver: ReceiverClient, wanted: Wanted, redelivery: Redelivery | None,
    interval: float, observed: bool,
) -> None:
    """Look after the subscription until a signal comes; show what is seen as metrics if it is to be *observed*."""
    from pacifica.dispatcher._clients.subscription_keeper import SubscriptionKeeper

    configure_log()
    observe = None
    if observed:
        from pacifica.dispatcher._metrics import subscription_observer

        observe = subscription_observer(wanted.name)
    keeper = SubscriptionKeeper(notifications, receiver, wanted, redelivery=redelivery, observe=observe)
    stop = Signalled()
    with handling_signals(lambda _number, _frame: stop.set()):
        say(f'looking after the subscription {wanted.name!r} for {wanted.target_url}')
        keeper.run(stop, interval)
    click.echo('stopped')


def _subscribe(notifications: Notifications, receiver: ReceiverClient, wanted: Wanted) -> None:
    """Make the subscription what it should be and say what was done."""
    from pacifica.dispatcher._clients.subscription import NOBODY, ensure, find

    done = ensure(notifications, wanted, find(notifications.subscriptions(), wanted))
    say(_said(done))
    say(f'events in which {wanted.jsonpath} matches go to {wanted.target_url}')
    if done.record.get('user') == NOBODY:
        notice(f'warning: it belongs to {NOBODY!r}, whom Policy does not know, so that the first event will '
               'disable it: say whose it is with --user')
    if fault := receiver.fault():
        notice(f'warning: the receiver does not seem to be ready, and the first event that it does not take will '
               f'disable the subscription: {fault}')


def _unsubscribe(notifications: Notifications, wanted: Wanted) -> None:
    """Remove what :func:`_subscribe` makes, and say so; every one, where it was made twice."""
    from pacifica.dispatcher._clients.subscription import of_this_name

    found = of_this_name(notifications.subscriptions(), wanted)
    for record in found:
        notifications.delete(record['uuid'])
        say(f'removed the subscription {record.get("name")!r} of {record.get("user")}')
    if not found:
        say(f'there is no subscription {wanted.name!r} for {wanted.target_url}')


def _said(done: Done) -> str:
    from pacifica.dispatcher._clients.subscription import disabled_reason

    changed = ' and '.join(_CHANGED[name] for name in done.changed)
    also = f', and changed its {changed}' if changed else ''
    name = f'{done.record.get("name")!r} of {done.record.get("user")}'
    if done.what == 'enabled' and done.before is not None:
        reason = disabled_reason(done.before.get('error'))
        return (f'enabled the subscription {name}{also}; it was disabled at {done.before["disabled"]}, by the clock of '
                f'Notifications ({reason}). What was announced since then was not sent, and will not be: "reconcile" '
                'finds it')
    return {
        'created': f'made the subscription {name}',
        'updated': f'changed the {changed} of the subscription {name}',
        'unchanged': f'the subscription {name} is there, and enabled',
    }[done.what]
