"""The table as a peewee model, which of its rows are whose, and how values are written into its columns.

The model is what applications read records with; the schema's columns are its fields. Indexes are made by
:mod:`.schema`, and rows are written by :mod:`.transitions`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import peewee

from pacifica.dispatcher._queue.status import Status

TABLE = 'receivetaskmodel'

WORKERS = 'receivetaskworker'
"""The table of workers and their heartbeats."""

RECONCILIATIONS = 'receivetaskreconciliation'
"""The table that says, by queue, from when on Metadata is to be asked for transactions, and when."""

OUTAGES = 'receivetaskoutage'
"""The table of the services that are known to be away."""

OUTPUTS = 'receivetaskoutput'
"""The table of what runs have printed and logged, one row for each run."""

PREVIEWS = 'receivetaskpreview'
"""The table of the images that handlers have made to be looked at, one row for each."""

# The status is written out: a planner that sees a parameter can't know that a partial index holds all such rows.
_OF_QUEUE = 'task_application_name = ? AND task_name = ?'

WAITING = f"task_status = '{Status.ACCEPTED}' AND {_OF_QUEUE}"
"""The rows of a queue that wait for a worker."""

PROCESSING = f"task_status = '{Status.PROCESSING}' AND {_OF_QUEUE}"
"""The rows of a queue that workers have claimed."""

CLAIMED = f"uuid = ? AND task_status = '{Status.PROCESSING}' AND claim_token = ?"
"""The row of one claim, as long as the claim holds."""

NEWEST_FIRST = 'ORDER BY created DESC, task_id DESC'
"""The order of every list."""

_ATTRIBUTE_CHARACTERS = 16_000  # four bytes each still fit MySQL's TEXT; ``event_data`` holds an attribute whole


def utc_now() -> datetime:
    """Return the time in UTC without a zone, as every time in the table is."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def timestamp(seconds: float) -> str:
    """Return *seconds* since 1970 as a time of the table: UTC, always with microseconds, so that text sorts by time."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat(' ', 'microseconds')


def as_text(moment: Any) -> Any:
    """Return a time of the table, as its driver reads it, as :func:`timestamp` writes it; ``None`` for none."""
    return moment.isoformat(' ', 'microseconds') if isinstance(moment, datetime) else moment


def seconds(moment: Any) -> float:
    """Return a time of the table, as its driver reads it, in seconds since 1970."""
    read = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
    return read.replace(tzinfo=timezone.utc).timestamp()


def storable(text: str | None, limit: int | None = _ATTRIBUTE_CHARACTERS) -> str | None:
    """Return *text* with NUL and lone surrogates as JSON writes them, cut to *limit* characters with an ``…``."""
    if text is None:
        return None
    if not text.isascii():
        text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
    if '\0' in text:
        text = text.replace('\0', '\\u0000')
    if limit is not None and len(text) > limit:
        text = text[:limit - 1] + '…'
    return text


def event_key(source: str, event_id: str) -> str:
    """Return what identifies an event among all (CloudEvents 1.0, section 3.1.1 "id"): 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps([source, event_id]).encode('ascii')).hexdigest()


def route_key(route: str | None) -> int | None:
    """Return what stands for a route's name in the index of ends, in 31 bits, which every database has a type for."""
    return None if route is None else zlib.crc32(route.encode('utf-8', 'backslashreplace')) & 0x7FFF_FFFF


def new_task_id() -> UUID:
    """Return a new UUID of version 7 (RFC 9562, section 5.7), which sorts by time, so that an index grows at its end.

    48 bits of milliseconds since 1970, then 74 random bits.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10), 'big')
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def placeholders(count: int) -> str:
    """Return the placeholders of *count* parameters."""
    return ', '.join('?' * count)


class DocumentField(peewee.TextField):
    """A text of any length; others are cut to what MySQL's TEXT holds."""


class Record(peewee.Model):
    """One accepted event, with what became of it."""

    uuid = peewee.UUIDField(primary_key=True, default=uuid4)
    event_type = peewee.TextField(null=True)
    event_type_version = peewee.TextField(null=True)
    cloud_events_version = peewee.TextField(null=True)
    source = peewee.TextField(null=True)
    event_id = peewee.TextField(null=True)
    event_time = peewee.TextField(null=True)
    schema_url = peewee.TextField(null=True)
    content_type = peewee.TextField(null=True)
    event_data = DocumentField()
    data = DocumentField()
    task_id = peewee.UUIDField(unique=True)
    task_application_name = peewee.CharField()
    task_name = peewee.CharField()
    task_status = peewee.CharField()
    exc_type = peewee.TextField(null=True)
    exc_value = peewee.TextField(null=True)
    exc_traceback = DocumentField(default='')
    created = peewee.DateTimeField(default=utc_now)
    updated = peewee.DateTimeField(default=utc_now)
    deleted = peewee.DateTimeField(null=True)
    # Since 0.3, each with a default or nullable, so that a row written by the 0.2 series during a rolling upgrade is
    # still valid. Such a row is due at 0, which no claim takes: it belongs to the 0.2 worker that wrote it.
    attempts = peewee.IntegerField(default=0)
    due = peewee.DoubleField(default=0.0)
    lease_expires = peewee.DoubleField(null=True)
    claim_token = peewee.CharField(max_length=32, null=True)
    claim_owner = peewee.CharField(null=True)
    finalized = peewee.DateTimeField(null=True)
    result = DocumentField(null=True)
    route = peewee.TextField(null=True)
    event_key = peewee.CharField(max_length=64, null=True, unique=True)
    transaction_id = peewee.CharField(max_length=64, null=True)
    claimed = peewee.DoubleField(null=True)
    history = DocumentField(null=True)
    destination = peewee.CharField(null=True)
    parent_transaction = peewee.CharField(max_length=64, null=True)
    skipped = peewee.IntegerField(null=True)
    awaits = peewee.CharField(null=True)
    waiting_since = peewee.DoubleField(null=True)
    cancelled_by = peewee.CharField(null=True)
    lane = peewee.CharField(null=True)
    priority = peewee.IntegerField(default=0)
    postponed = peewee.IntegerField(default=0)
    parameters = DocumentField(null=True)
    project = peewee.CharField(max_length=64, null=True)
    instrument = peewee.CharField(max_length=64, null=True)
    submitter = peewee.CharField(max_length=64, null=True)
    file_count = peewee.IntegerField(null=True)
    file_bytes = peewee.BigIntegerField(null=True)
    route_key = peewee.IntegerField(null=True)  # see route_key
    failure_group = peewee.CharField(max_length=32, null=True)  # see failures; that of rows in 500 alone

    class Meta:
        """The name of the 0.2 table, whatever a subclass is called."""

        table_name = TABLE
