"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pacifica.dispatcher.exceptions import RetryLater, TransferError

__all__ = ['RetryPolicy']


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is followed by another.

    :param retry_for: exception classes that are retried, besides what is retried anyway: :class:`RetryLater`, and
        transfers whose failure was transient.
    :param max_attempts: how often an event is run at most, lost workers included.
    :param base: seconds before the second attempt, before jitter.
    :param factor: by which the wait grows with each attempt.
    :param longest: seconds that a wait never exceeds.
    """

    retry_for: tuple[type[BaseException], ...] = ()
    max_attempts: int = 3
    base: float = 5.0
    factor: float = 4.0
    longest: float = 3600.0

    def delay(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before the attempt after *attempt*, or ``None`` if *error* is final."""
        if attempt >= self.max_attempts:
            return None
        if isinstance(error, RetryLater) and error.seconds is not None:
            return max(0.0, error.seconds)
        transient = isinstance(error, RetryLater) or (isinstance(error, TransferError) and error.transient)
        if transient or isinstance(error, self.retry_for):
            return self._backoff(attempt)
        return None

    def _backoff(self, attempt: int) -> float:
        """Exponential, with jitter over its upper half, so that what failed together is not tried together."""
        return float(min(self.base * self.factor ** (attempt - 1), self.longest) * random.uniform(0.5, 1.0))
