"""Which senders of webhooks may send, and how much: what they and this receiver agree on.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md, sections 4 and 2.2 (429)
"""

from __future__ import annotations

import ipaddress
import math
import re
import threading
import time
from collections.abc import Callable, Iterable

from pacifica.dispatcher.exceptions import ConfigurationError

_ORIGIN = re.compile(r'[A-Za-z0-9._~:/\[\]-]{1,255}')
_RATE = re.compile(r'[1-9][0-9]{0,8}')


class AllowedOrigins:
    """The origins that may send here.

    :param origins: their names as they call themselves, without regard to case, or ``*`` for all; ``None`` for the
        default: all of them if nothing can come in from outside anyway, else none.
    """

    def __init__(self, origins: Iterable[str] | None) -> None:
        if isinstance(origins, str):
            raise ConfigurationError(f'allowed_origins must be a list of names, for example [{origins!r}]')
        self._names = None if origins is None else frozenset(origin.lower() for origin in origins)

    def grant(self, origin: str, closed: bool) -> str | None:
        """Return what ``WebHook-Allowed-Origin`` says to *origin*, ``None`` for a refusal.

        :param closed: whether only this machine can reach the receiver, which is what the default depends on.
        """
        if not _ORIGIN.fullmatch(origin):
            return None
        if self._names is None:
            return origin if closed else None
        return '*' if '*' in self._names else origin if origin.lower() in self._names else None


class RateLimit:
    """A limit on deliveries, of all senders together: a bucket that holds a minute's worth and refills steadily.

    :param per_minute: deliveries per minute, ``None`` for no limit.
    """

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        if per_minute is not None and per_minute < 1:
            raise ConfigurationError(f'allowed_rate must be at least 1 per minute, not {per_minute}')
        self.per_minute = per_minute
        self._clock = clock
        self._tokens = float(per_minute or 0)
        self._at = clock()
        self._lock = threading.Lock()

    def take(self) -> int:
        """Count one delivery; return 0 if it may be made, else after how many seconds to try again."""
        if self.per_minute is None:
            return 0
        with self._lock:
            now = self._clock()
            self._tokens = min(self.per_minute, self._tokens + (now - self._at) * self.per_minute / 60)
            self._at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0
            return max(1, math.ceil((1 - self._tokens) * 60 / self.per_minute))

    def grant(self, requested: int | None) -> str:
        """Return what ``WebHook-Allowed-Rate`` says to a sender that asked for *requested* per minute."""
        if self.per_minute is None:
            return '*'
        return str(min(self.per_minute, requested or self.per_minute))


def requested_rate(header: str | None) -> int | None:
    """Return the rate that ``WebHook-Request-Rate`` asks for, ``None`` without the header."""
    if header is None:
        return None
    if not _RATE.fullmatch(header.strip()):
        raise ValueError('WebHook-Request-Rate must be a positive number of requests per minute')
    return int(header)


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on *host* can be reached from this machine only."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return False
