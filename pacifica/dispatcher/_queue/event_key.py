"""What identifies an event among all: its source and its id (CloudEvents 1.0, section 3.1.1 "id")."""

from __future__ import annotations

import hashlib
import json

__all__ = ['event_key']


def event_key(source: str, event_id: str) -> str:
    """Return 64 hexadecimal digits, the same for the same two texts, whatever is in them."""
    return hashlib.sha256(json.dumps([source, event_id]).encode('ascii')).hexdigest()
