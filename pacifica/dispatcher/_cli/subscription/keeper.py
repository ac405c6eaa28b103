"""Keeps a subscription enabled: ``subscribe --keep``.

Notifications disable a subscription at the first event that its receiver doesn't take, for ever. The keeper looks at it
again and again, and enables it as soon as the receiver is ready: not before, or it would be disabled again at once.
Each change of state is logged once. Whatever happens to either service, the keeper goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from pacifica.dispatcher._cli.errors import UsageFault, one_line
from pacifica.dispatcher._cli.parameters import without_password
from pacifica.dispatcher._cli.subscription.ensure import Done, Wanted, disabled_since, ensure, find, is_right
from pacifica.dispatcher._cli.subscription.notifications import Notifications
from pacifica.dispatcher._cli.subscription.receiver import Receiver
from pacifica.dispatcher._cli.subscription.redelivery import Redelivery

__all__ = ['Keeper']

_LOG = logging.getLogger(__name__)
_MOST_SECONDS = 60.0  # between two looks, however long Notifications have been away


class Keeper:
    """Keeps one subscription.

    :param notifications: where it is.
    :param receiver: to which events go.
    :param wanted: what it should be.
    :param clock: returns the time, in UTC.
    :param redelivery: sends what was missed; ``None`` if that is only to be said.
    """

    def __init__(
        self, notifications: Notifications, receiver: Receiver, wanted: Wanted,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc), redelivery: Redelivery | None = None,
    ) -> None:
        self._notifications, self._receiver, self._wanted, self._clock = notifications, receiver, wanted, clock
        self._redelivery = redelivery
        self._missing: datetime | None = None  # since when events were missed that were not sent again
        self._redelivery_failed = False
        self._seen_enabled: datetime | None = None
        self._seen_at_all: datetime | None = None
        self._failures = 0
        self._state = ''  # of the subscription, as last logged
        self._receiver_away = False

    def run(self, stop: threading.Event, interval: float) -> None:
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
        except UsageFault as exc:
            self._failures += 1
            if self._failures == 1:
                _LOG.warning('notifications.away', extra={'error': exc.message})

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
            if disabled and record is not None:
                _LOG.warning('subscription.disabled', extra={
                    'target_url': self._wanted.target_url, 'disabled': record['disabled'],
                    'reason': shown(record.get('error')),
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
            _LOG.info('receiver.back', extra={'url': self._receiver.url})
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
        _LOG.warning(message, extra={**_span(since, until), **hint})
        self._missing = since if self._missing is None else min(self._missing, since)

    def _redeliver(self, record: dict[str, Any] | None) -> None:
        """Send what was missed, if anything was; if that fails, at the next turn."""
        if self._missing is None or self._redelivery is None:
            return
        try:
            self._redelivery.run(self._missing, self._wanted.auth or (record or {}).get('auth'))
        except UsageFault as exc:
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


def shown(error: object) -> str:
    """Return why a subscription was disabled, in one line of moderate length."""
    text = one_line(error or 'no reason given')
    if '>: ' in text:  # what comes before is the name of an object of requests
        text = text.rpartition('>: ')[2].rstrip("')")
    return without_password(text[:300])


def _span(since: datetime, until: datetime) -> dict[str, Any]:
    return {
        'since': f'{since:%Y-%m-%dT%H:%M:%SZ}', 'until': f'{until:%Y-%m-%dT%H:%M:%SZ}',
        'seconds': round((until - since).total_seconds()),
    }
