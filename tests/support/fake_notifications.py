"""Pacifica Notifications as a small server on the loopback: its subscriptions, and how it disables them.

It answers as the real service does, its oddities included: a user without subscriptions is forbidden to see them, a PUT
forgets the credentials it isn't given, times are local and have no zone. With PACIFICA_STACK set,
``tests/integration/test_cli_real_services.py`` does the same with the real one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import requests
from jsonpath2.path import Path

from support.fakes import Fake, Handler

#: The zone in which it writes times, as of a server in Mountain Standard Time.
ZONE = timezone(timedelta(hours=-7))


class FakeNotifications(Fake):
    """The service; a context manager."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.records: dict[str, dict[str, Any]] = {}

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Show the user's subscriptions."""
        found = [each for each in self.records.values() if each['user'] == _user(handler)]
        if path == '/eventmatch' and found:
            handler.answer_json(found)
        elif path == '/eventmatch':
            _refuse(handler, '403 Forbidden')
        else:
            _refuse(handler, '405 Method Not Allowed')

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Make a subscription."""
        given = json.loads(handler.body())
        if not _accepted(given):
            _refuse(handler, '500 Internal Server Error')
            return
        record = {
            'uuid': str(uuid4()), 'user': _user(handler), 'disabled': None, 'error': None, 'version': 'v0.1',
            'extensions': {}, 'auth': {}, 'created': _now(), 'updated': _now(), 'deleted': None, **given,
        }
        self.records[record['uuid']] = record
        handler.answer_json(record)

    def do_put(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Change a subscription."""
        given, record = json.loads(handler.body()), self.records.get(path.rpartition('/')[2])
        if record is None or record['user'] != _user(handler):
            _refuse(handler, '403 Forbidden')
        elif not _accepted(given):
            _refuse(handler, '500 Internal Server Error')
        else:
            record.update({'extensions': {}, 'auth': {}, **given, 'updated': _now()})
            handler.answer_json(record)

    def do_delete(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Remove a subscription."""
        record = self.records.get(path.rpartition('/')[2])
        if record is None or record['user'] != _user(handler):
            _refuse(handler, '403 Forbidden')
        else:
            del self.records[record['uuid']]
            handler.answer_json({})

    def send(self, event: dict[str, Any]) -> None:
        """Send an event to every subscription that it matches, and disable those that don't take it."""
        for record in list(self.records.values()):
            if record['disabled'] is None and list(Path.parse_str(record['jsonpath']).match(event)):
                error = _deliver(record, event)
                if error is not None:
                    record.update(disabled=_now(), error=error)


def _deliver(record: dict[str, Any], event: dict[str, Any]) -> str | None:
    auth = record['auth']
    given: dict[str, Any] = {}
    if auth.get('type') == 'basic':
        given['auth'] = (auth['basic']['username'], auth['basic']['password'])
    elif auth.get('type') == 'header':
        given['headers'] = {'Authorization': f'{auth["header"]["type"]} {auth["header"]["credentials"]}'}
    try:
        answer = requests.post(record['target_url'], json=event, timeout=10, **given)
    except requests.RequestException as exc:
        return str(exc)
    return answer.text if answer.status_code >= 400 else None


def _accepted(given: dict[str, Any]) -> bool:
    if 'type' not in given.get('auth', {'type': 'none'}):
        return False
    try:
        return bool(Path.parse_str(given.get('jsonpath', '$')))
    except ValueError:
        return False


def _user(handler: Handler) -> str:
    return handler.headers.get('Http-Remote-User', 'default_user')


def _now() -> str:
    return datetime.now(ZONE).replace(tzinfo=None).isoformat()


def _refuse(handler: Handler, status: str) -> None:
    if handler.command == 'GET':
        handler.answer_json({'status': status, 'message': 'Forbidden', 'traceback': '…', 'version': '18.6.0'},
                            int(status[:3]))
    else:
        handler.answer_json({'status': status, 'message': 'unexpected', 'traceback': '…'}, int(status[:3]))


class FakeReceiver(Fake):
    """A receiver: keeps the events; says how ready it is, if it is one that does."""

    def __init__(self, port: int = 0, health: bool = True) -> None:
        super().__init__(port)
        self.events: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.ready = True
        self._health = health

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Say how it is."""
        if not self._health or path not in ('/health/ready', '/health/live'):
            handler.answer_json({'message': 'there is nothing here'}, 404)
        elif path == '/health/live' or self.ready:
            handler.answer_json({'status': 'ok'})
        else:
            handler.answer_json({'status': 'unavailable'}, 503)

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Take an event."""
        self.authorizations.append(handler.headers.get('Authorization'))
        self.events.append(json.loads(handler.body()))
        handler.answer_json('00000000-0000-0000-0000-000000000000')


@contextmanager
def dead_port() -> Iterator[int]:
    """Yield a port at which nothing answers while the ``with`` block runs: connections are refused."""
    with socket.socket() as holder:  # bound, so that nobody else takes it, but not listening
        holder.bind(('127.0.0.1', 0))
        yield int(holder.getsockname()[1])
