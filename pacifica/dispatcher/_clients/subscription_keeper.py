"""Keeps a subscription enabled, which Notifications disable at the first event that its receiver doesn't take.

It is enabled as soon as the receiver is ready: not before, or it would be disabled again. Each change of state is
logged once. Whatever happens to either service, the keeper goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._clients.receiver_client import ReceiverClient
from pacifica.dispatcher._clients.subscription import (
    Done, Notifications, Wanted, disabled_reason, disabled_since, ensure, find, is_right,
)
from pacifica.dispatcher._operate.words import one_line
from pacifica.dispatcher._transfers.metadata import VISIBLE_WITHIN, Metadata, UnreadableTransactionError
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import TransferError
from pacifica.dispatcher.router import Route

if TYPE_CHECKING:
    from pacifica.dispatcher._engine.turns import Signalled

_LOG = logging.getLogger(__name__)
_MOST_SECONDS = 60.0  # between two looks, however long Notifications have been away
_LATER = frozenset({408, 429})  # with each 5xx: the receiver may take the event another time


class Redelivery:
    """Sends a receiver what Notifications did not, after a time in which events were missed.

    Metadata still knows each transaction; its event is made anew and posted as Notifications would have. A receiver
    that had it already takes it for the same event.
    """

    def __init__(self, metadata: Metadata, wanted: Wanted, timeout: float) -> None:
        self._metadata, self._wanted, self._timeout = metadata, wanted, timeout
        self._route = Route.parse(wanted.jsonpath, NoopEventHandler())  # as Notifications choose, by the same library

    def run(self, since: datetime, auth: dict[str, Any] | None) -> None:
        """Post the events of all transactions since *since*, and of the hour before."""
        posted = 0
        try:
            with HttpClient(timeout=self._timeout) as client:
                begin = (since - VISIBLE_WITHIN).astimezone(timezone.utc).replace(tzinfo=None)
                for page in self._metadata.pages(begin):
                    posted += sum(self._post(client, transaction, _request(auth)) for transaction in page)
        except TransferError as exc:
            raise ClientError(str(exc)) from exc
        _LOG.info('events.sent_again', extra={'since': _shown(since), 'count': posted})

    def _post(self, client: HttpClient, transaction: int, credentials: dict[str, Any]) -> bool:
        """Return whether the event of *transaction* is one of the subscription's, and was taken."""
        try:
            event = self._metadata.event_of(transaction)
        except UnreadableTransactionError as exc:
            _LOG.warning('transaction.unreadable', extra={'transaction': transaction, 'error': str(exc)})
            return False
        if not self._route.match(event):
            return False
        answer = client.request('POST', self._wanted.target_url, json=event, **credentials)
        if answer.status_code >= 500 or answer.status_code in _LATER:
            raise ClientError(f'{self._wanted.target_url} answered {answer.status_code} to the event of transaction '
                              f'{transaction}: it takes no events now')
        if not answer.ok:
            _LOG.warning('event.refused', extra={
                'transaction': transaction, 'status': answer.status_code, 'error': one_line(answer.text)[:200]})
        return answer.ok


def _request(auth: dict[str, Any] | None) -> dict[str, Any]:
    """Return what puts a subscription's credentials into a request."""
    auth = auth or {}
    if auth.get('type') == 'basic':
        basic = auth['basic']
        return {'auth': (basic['username'].encode(), basic['password'].encode())}
    if auth.get('type') == 'header':
        header = auth['header']
        return {'headers': {'Authorization': f'{header["type"]} {header["credentials"]}'}}
    return {}


class SubscriptionKeeper:
    """Keeps one subscription, and has what was missed sent by *redelivery*, or only says what was, without one.

    :param observe: called at the end of each look with whether the subscription is enabled, as far as Notifications
        answer, and whether it was found disabled or gone, which is told once.
    """

    def __init__(
        self, notifications: Notifications, receiver: ReceiverClient, wanted: Wanted,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc), redelivery: Redelivery | None = None,
        observe: Callable[[bool, bool], None] | None = None,
    ) -> None:
        self._notifications, self._receiver, self._wanted, self._clock = notifications, receiver, wanted, clock
        self._redelivery, self._observe = redelivery, observe
        self._lost = False  # since the last look
        self._missing: datetime | None = None  # since when events were missed that were not sent again
        self._redelivery_failed = False
        self._seen_enabled: datetime | None = None
        self._seen_at_all: datetime | None = None
        self._failures = 0
        self._state = ''  # of the subscription, as last logged
        self._receiver_away = False

    def run(self, stop: threading.Event | Signalled, interval: float) -> None:
        """Look every *interval* seconds until *stop* is set; less often while Notifications are away."""
        while not stop.is_set():
            self.run_once()
            stop.wait(self.delay(interval))

    def delay(self, interval: float) -> float:
        """Return the seconds until the next look: doubled at each that failed, up to a minute."""
        return float(min(interval * 2 ** min(self._failures, 10), max(interval, _MOST_SECONDS)))

    def run_once(self) -> None:
        """Look once, and do what is to be done."""
        try:
            record = find(self._notifications.subscriptions(), self._wanted)
            if is_right(record, self._wanted):
                self._is_enabled('subscription.is_enabled')
            else:
                self._is_wrong(record)
            self._answered()
            if self._state == 'enabled':
                self._redeliver(record)
        except ClientError as exc:
            self._failures += 1
            if self._failures == 1:
                _LOG.warning('notifications.away', extra={'error': exc.message})
        if self._observe is not None:
            self._observe(self._state == 'enabled' and not self._failures, self._lost)
        self._lost = False

    def _answered(self) -> None:
        now = self._clock()
        if self._failures:
            _LOG.info('notifications.back', extra={'url': self._notifications.url})
            if self._seen_at_all is not None:  # what is announced to a service that is down is lost
                self._missed('events.may_be_missed', self._seen_at_all, now)
        self._failures, self._seen_at_all = 0, now

    def _is_enabled(self, message: str, **extra: Any) -> None:
        if self._state != 'enabled':
            _LOG.info(message, extra={'target_url': self._wanted.target_url, **extra})
        self._state, self._seen_enabled, self._receiver_away = 'enabled', self._clock(), False

    def _is_wrong(self, record: dict[str, Any] | None) -> None:
        disabled = record is not None and record.get('disabled') is not None
        state = 'disabled' if disabled else 'other' if record is not None else 'absent'
        if state != self._state:
            self._state = state
            self._lost = disabled or (record is None and self._seen_enabled is not None)
            if disabled and record is not None:
                _LOG.warning('subscription.disabled', extra={
                    'target_url': self._wanted.target_url, 'disabled': record['disabled'],
                    'reason': disabled_reason(record.get('error')),
                })
            elif record is None and self._seen_enabled is not None:
                _LOG.warning('subscription.gone', extra={'target_url': self._wanted.target_url})
        fault = self._receiver.fault()
        if fault is None:
            self._mend(record)
        elif not self._receiver_away:
            self._receiver_away = True
            _LOG.warning('receiver.away', extra={'error': fault})

    def _mend(self, record: dict[str, Any] | None) -> None:
        if self._receiver_away:
            _LOG.info('receiver.back', extra={'url': self._receiver.url_of('')})
        done = ensure(self._notifications, self._wanted, record)
        now = self._clock()
        since = self._missing_since(done, now)
        extra = {'changed': ','.join(done.changed)} if done.changed else {}
        self._is_enabled(f'subscription.{done.what}', uuid=done.record['uuid'], **extra)
        if since is not None:
            self._missed('events.missed', since, now)

    def _missed(self, message: str, since: datetime, until: datetime) -> None:
        hint = {} if self._redelivery is not None else {
            'hint': 'Notifications do not send them again; "subscribe --keep --metadata" and "reconcile" do'}
        _LOG.warning(message, extra={
            'since': _shown(since), 'until': _shown(until), 'seconds': round((until - since).total_seconds()), **hint})
        self._missing = since if self._missing is None else min(self._missing, since)

    def _redeliver(self, record: dict[str, Any] | None) -> None:
        """Send what was missed, if anything was; if that fails, at the next turn."""
        if self._missing is None or self._redelivery is None:
            return
        try:
            self._redelivery.run(self._missing, self._wanted.auth or (record or {}).get('auth'))
        except ClientError as exc:
            if not self._redelivery_failed:
                _LOG.warning('events.not_sent_again', extra={'error': exc.message})
            self._redelivery_failed = True
        else:
            self._missing, self._redelivery_failed = None, False

    def _missing_since(self, done: Done, now: datetime) -> datetime | None:
        """Return since when no events came; ``None`` if none can be missing, or nobody knows."""
        if done.what == 'enabled':
            return disabled_since(done, now) or self._seen_enabled
        return self._seen_enabled if done.what == 'created' else None


def _shown(time: datetime) -> str:
    return f'{time:%Y-%m-%dT%H:%M:%SZ}'
