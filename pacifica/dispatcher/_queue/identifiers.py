"""Task ids: UUIDs of version 7 (RFC 9562, section 5.7), which sort by time, so that an index grows at its end."""

from __future__ import annotations

import os
import time
from uuid import UUID

__all__ = ['new_task_id']


def new_task_id() -> UUID:
    """Return a new UUID: 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10), 'big')
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
