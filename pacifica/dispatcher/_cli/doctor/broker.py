"""The check of Celery's broker, by Kombu: the library with which Celery speaks to it."""

from __future__ import annotations

from typing import Any

from pacifica.dispatcher._cli.doctor.finding import Finding, failed, ok, skipped
from pacifica.dispatcher._cli.doctor.settings import Settings
from pacifica.dispatcher._cli.parameters import without_password

__all__ = ['check_broker']

_CELERY = 'pip install "pacifica-dispatcher[celery]"'


def check_broker(settings: Settings) -> Finding:
    """Look whether Celery's broker can be reached, and which it is."""
    if settings.broker is None:
        return skipped('no --broker: needed with create_celery_app only')
    try:
        from kombu.connection import Connection
    except ImportError:
        return failed('Celery is not installed here', f'install it: {_CELERY}')
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
