"""What ``doctor`` asks over the network: Celery's broker, Pacifica's services, the subscription and the receiver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pacifica.dispatcher._cli.doctor_findings import Address, Finding, Settings, failed, ok, skipped, warning
from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._clients.receiver_client import ReceiverClient
from pacifica.dispatcher._clients.subscription import NOBODY, Notifications, disabled_reason
from pacifica.dispatcher._operate.words import one_line, without_password


def check_broker(settings: Settings) -> Finding:
    if settings.broker is None:
        return skipped('no --broker: needed with create_celery_app only')
    try:
        from kombu.connection import Connection
    except ImportError:
        return failed('Celery is not installed here', 'install it: pip install "pacifica-dispatcher[celery]"')
    seconds = settings.timeout
    try:
        connection = Connection(settings.broker, connect_timeout=seconds, transport_options={
            'socket_connect_timeout': seconds, 'socket_timeout': seconds,
        })
        with connection:
            connection.connect()
            channel = connection.channel()  # Redis is spoken to only now
            return ok(f'{_product(connection, channel)}, {without_password(settings.broker)}')
    except ImportError as exc:
        return failed(f'the library for this broker is missing: {exc}', 'install it, for Redis: pip install redis')
    except Exception as exc:  # each transport has errors of its own, and of its library's
        return failed(
            f'the broker can\'t be used: {settings.told(exc)}',
            'check that it is up, and --broker or CELERY_BROKER_URL: host, port, user and password')


def _product(connection: Any, channel: Any) -> str:
    properties = getattr(connection.connection, 'server_properties', None)  # AMQP
    if properties:
        return f'{properties.get("product", "AMQP")} {properties.get("version", "")}'.strip()
    client = getattr(channel, 'client', None)
    if connection.transport.driver_type == 'redis' and client is not None:
        return f'Redis {client.info("server").get("redis_version", "")}'.strip()
    return str(connection.transport.driver_type)


def service_check(name: str, address_of: Callable[[Settings], Address]) -> Callable[[Settings], Finding]:
    """Return the check of one of Pacifica's services, which says its *name* at its root."""
    def check(settings: Settings) -> Finding:
        how = f'--{name.lower()}, or {name.upper()}_ADDR and {name.upper()}_PORT'
        url, configured = address_of(settings)
        try:
            answer = HttpClient(timeout=settings.timeout).request('GET', f'{url}/')
        except ClientError as exc:
            if not configured:
                return skipped(f'not configured, and nothing is at the default {url}', f'say where it is with {how}')
            return failed(exc.message, f'start it, or correct {how}')
        if answer.status_code == 200 and f'Pacifica {name}' in answer.text:
            return ok(f'answers at {url}')
        if not configured:
            return skipped(
                f'not configured, and something else is at the default {url}', f'say where it is with {how}')
        if answer.status_code in (401, 403):
            return warning(f'{url} wants to know who asks ({answer.status_code})', 'see whether a transfer works')
        return failed(f'{url} was answered {answer.status_code}, not as {name} does', f'correct {how}')
    return check


def check_notifications(settings: Settings) -> Finding:
    if settings.notifications is None:
        return skipped('not configured', 'say where they are with --notifications or NOTIFICATIONS_URL')
    try:
        Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except ClientError as exc:
        return failed(exc.message, 'start it, or correct --notifications')
    return ok(f'answers at {settings.notifications}')


def check_subscription(settings: Settings) -> Finding:
    if settings.notifications is None or (settings.receiver is None and settings.name is None):
        return skipped('not configured', 'say which it is with --notifications, --receiver, --name and --user')
    try:
        records = Notifications(settings.notifications, settings.user, settings.timeout).subscriptions()
    except ClientError:
        return skipped('see "notifications"')
    target = _receiver(settings).target_url if settings.receiver else None
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
            f'it is disabled since {record["disabled"]}, by the clock of Notifications: '
            f'{disabled_reason(record.get("error"))}',
            f'let the receiver take events, then enable it: {_subscribe(settings)}; with --keep that happens by itself')
    if record.get('user') == NOBODY:
        return warning(f'it belongs to {NOBODY!r}: the first event will disable it', 'make one with --user')
    return ok(f'{record.get("name")!r} of {record.get("user")} sends events to {record.get("target_url")}')


def _subscribe(settings: Settings) -> str:
    return f'pacifica-dispatcher subscribe --name {settings.name or "NAME"} --receiver {settings.receiver or "URL"} …'


def _receiver(settings: Settings) -> ReceiverClient:
    return ReceiverClient.mounted_at(settings.receiver or '', HttpClient(timeout=settings.timeout))


def check_receiver_alive(settings: Settings) -> Finding:
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    receiver = _receiver(settings)
    try:
        answer = receiver.get('/health/live')
        if answer.status_code == 404:  # of the 0.2 series, which answers a list of tasks
            answer = receiver.get('/')
        said = answer.json()
    except ClientError as exc:
        return failed(exc.message, 'start it, or correct --receiver')
    except ValueError:
        said = None
    if answer.status_code == 200 and (said == {'status': 'ok'} or isinstance(said, list)):
        return ok(f'answers at {receiver.url_of("")}')
    if answer.status_code in (401, 403):
        return warning(
            f'{receiver.url_of("")} wants to know who asks ({answer.status_code})', 'see whether events come')
    return failed(
        f'{receiver.url_of("")} was answered {answer.status_code}, not as a receiver does',
        'see its log; correct --receiver: where it is mounted')


def check_receiver_ready(settings: Settings) -> Finding:
    """Ask the receiver whether it can take events, if it is one that says so."""
    if settings.receiver is None:
        return skipped('not configured', 'say where it is with --receiver')
    try:
        answer = _receiver(settings).get('/health/ready')
    except ClientError:
        return skipped('see "receiver-alive"')
    if answer.status_code == 200:
        return ok('can take events')
    if answer.status_code >= 500:
        return failed(
            f'can\'t take events ({answer.status_code}): {one_line(answer.text)[:300]}',
            'put right what it says is not ready, and see its log')
    return skipped(f'does not say ({answer.status_code} for /health/ready)')
