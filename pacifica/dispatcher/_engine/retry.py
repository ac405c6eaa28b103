"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pacifica.dispatcher.exceptions import RetryLater, TransferError

__all__ = ['RetryPolicy']


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is followed by another: after :class:`RetryLater`, and transfers that failed in passing."""

    retry_for: tuple[type[BaseException], ...] = ()  # what is retried besides
    max_attempts: int = 3  # lost workers included
    base: float = 5.0  # seconds before the second attempt, before jitter
    factor: float = 4.0  # by which the wait grows with each attempt
    longest: float = 3600.0  # seconds

    def delay(self, error: BaseException, attempt: int) -> float | None:
        """Return the seconds to wait before the attempt after *attempt*, or ``None`` if *error* is final."""
        if attempt >= self.max_attempts:
            return None
        if isinstance(error, RetryLater) and error.seconds is not None:
            return max(0.0, error.seconds)
        transient = isinstance(error, RetryLater) or (isinstance(error, TransferError) and error.transient)
        if not transient and not isinstance(error, self.retry_for):
            return None
        # Jitter over the upper half, so that what failed together is not tried together.
        return float(min(self.base * self.factor ** (attempt - 1), self.longest) * random.uniform(0.5, 1.0))
