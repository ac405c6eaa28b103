"""Checks of the other services: Cartd, Ingest, Policy, Notifications and our subscription there, the receiver."""

from __future__ import annotations

from pacifica.dispatcher._cli.client import HttpClient
from pacifica.dispatcher._cli.doctor.finding import Finding, failed, ok, skipped, warning
from pacifica.dispatcher._cli.doctor.settings import Address, Settings
from pacifica.dispatcher._cli.errors import UsageFault, one_line
from pacifica.dispatcher._cli.subscription.keeper import shown
from pacifica.dispatcher._cli.subscription.notifications import NOBODY, Notifications
from pacifica.dispatcher._cli.subscription.receiver import Receiver

__all__ = [
    'check_cartd', 'check_ingest', 'check_notifications', 'check_policy', 'check_receiver_alive',
    'check_receiver_ready', 'check_subscription',
]


def check_cartd(settings: Settings) -> Finding:
    """Look whether Cartd, from which files are downloaded, is there."""
    return _service(settings, settings.cartd, 'Cartd', '--cartd, or CARTD_ADDR and CARTD_PORT')


def check_ingest(settings: Settings) -> Finding:
    """Look whether Ingest, to which results are uploaded, is there."""
    return _service(settings, settings.ingest, 'Ingest', '--ingest, or INGEST_ADDR and INGEST_PORT')


def check_policy(settings: Settings) -> Finding:
    """Look whether Policy, which says who may see what, is there."""
    return _service(settings, settings.policy, 'Policy', '--policy, or POLICY_ADDR and POLICY_PORT')


def _service(settings: Settings, address: Address, name: str, how: str) -> Finding:
    url = address.url
    try:
        with HttpClient(timeout=settings.timeout) as client:
            answer = client.request('GET', f'{url}/')
    except UsageFault as exc:
        if not address.configured:
            return skipped(f'not configured, and nothing is at the default {url}', f'say where it is with {how}')
        return failed(exc.message, f'start it, or correct {how}')
    if answer.status_code == 200 and f'Pacifica {name}' in answer.text:
        return ok(f'answers at {url}')
    if not address.configured:
        return skipped(f'not configured, and something else is at the default {url}', f'say where it is with {how}')
    if answer.status_code in (401, 403):
        return warning(f'{url} wants to know who asks ({answer.status_code})', 'see whether a transfer works')
    return failed(f'{url} was answered {answer.status_code}, not as {name} does', f'correct {how}')


def check_notifications(settings: Settings) -> Finding:
    """Look whether Notifications, which send the events, are there."""
    if settings.notifications is None:
        return skipped('not configured', 'say where they are with --notifications or NOTIFICATIONS_URL')
    try:
        Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except UsageFault as exc:
        return failed(exc.message, 'start it, or correct --notifications')
    return ok(f'answers at {settings.notifications}')


def check_subscription(settings: Settings) -> Finding:
    """Look whether the receiver's subscription is there and enabled."""
    if settings.notifications is None or (settings.receiver is None and settings.name is None):
        return skipped('not configured', 'say which it is with --notifications, --receiver, --name and --user')
    try:
        records = Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except UsageFault:
        return skipped('see "notifications"')
    target = Receiver(settings.receiver, settings.timeout).target_url if settings.receiver else None
    found = [each for each in records if target in (None, each.get('target_url'))
             and settings.name in (None, each.get('name'))]
    if not found:
        others = [str(each.get('target_url')) for each in records if each.get('name') == settings.name]
        return failed(
            f'it sends events to {others[0]}, not to {target}' if others else
            f'user {settings.user or NOBODY} has no such subscription', f'make it: {_subscribe(settings)}')
    record = min(found, key=lambda each: each.get('disabled') is not None)
    if record.get('disabled') is not None:
        return failed(
            f'it is disabled since {record["disabled"]}, by the clock of Notifications: {shown(record.get("error"))}',
            f'let the receiver take events, then enable it: {_subscribe(settings)}; with --keep that happens by itself')
    if record.get('user') == NOBODY:
        return warning(f'it belongs to {NOBODY!r}: the first event will disable it', 'make one with --user')
    return ok(f'{record.get("name")!r} of {record.get("user")} sends events to {record.get("target_url")}')


def _subscribe(settings: Settings) -> str:
    return f'pacifica-dispatcher subscribe --name {settings.name or "NAME"} --receiver {settings.receiver or "URL"} …'


def check_receiver_alive(settings: Settings) -> Finding:
    """Look whether the receiver answers."""
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    receiver = Receiver(settings.receiver, settings.timeout)
    try:
        status = receiver.get('/health/live').status_code
        if status == 404:
            status = receiver.get('/').status_code
    except UsageFault as exc:
        return failed(exc.message, 'start it, or correct --receiver')
    if status >= 500 or status == 404:
        return failed(f'{receiver.url} was answered {status}', 'see its log; correct --receiver: where it is mounted')
    return ok(f'answers at {receiver.url}')


def check_receiver_ready(settings: Settings) -> Finding:
    """Ask the receiver whether it can take events, if it is one that says so."""
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    try:
        answer = Receiver(settings.receiver, settings.timeout).get('/health/ready')
    except UsageFault:
        return skipped('see "receiver-alive"')
    if answer.status_code == 200:
        return ok('can take events')
    if answer.status_code >= 500:
        return failed(
            f'can\'t take events ({answer.status_code}): {one_line(answer.text)[:300]}',
            'put right what it says is not ready, and see its log')
    return skipped(f'does not say ({answer.status_code} for /health/ready)')
