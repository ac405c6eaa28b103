"""What a line of a list says of an event, a row that ``Search`` found, on the dashboard and in the terminal alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pacifica.dispatcher._operate.words import duration, seconds_between, size


def age(created: str) -> str:
    """Return how long ago a time of a record was, in one unit: it is to change as seldom as it can."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    return ' '.join(duration(max(1, int((now - datetime.fromisoformat(created)).total_seconds()))).split()[:2])


def took(row: Mapping[str, Any]) -> str:
    """Return how long it took from the event's acceptance to its end; nothing if it has not ended."""
    return duration(seconds_between(row['created'], row['finalized']))


def files(row: Mapping[str, Any]) -> str:
    """Return how many files the event has, and their size: ``3, 1.4 GB``; nothing without any."""
    return f'{row["fileCount"]:,}, {size(row["fileBytes"])}' if row['fileCount'] else ''
