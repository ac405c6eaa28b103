"""The table as a peewee model: the columns of the 0.2 series and those the queue needs.

The model is what applications read records with. The schema is made by :mod:`._queue.schema` and rows are written by
:mod:`._queue.store`, so fields carry no indexes or constraints beyond what reading needs.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import peewee

__all__ = ['RECONCILIATIONS', 'TABLE', 'WORKERS', 'Record', 'as_text', 'seconds', 'timestamp', 'utc_now']

TABLE = 'receivetaskmodel'

WORKERS = 'receivetaskworker'
"""The table of workers, which tell once in a while that they are there."""

RECONCILIATIONS = 'receivetaskreconciliation'
"""The table that says, by queue, from when on Metadata is to be asked for transactions, and when."""


def utc_now() -> datetime:
    """Return the time in UTC without a zone, as every time in the table is."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def timestamp(seconds: float) -> str:
    """Return *seconds* since 1970 as a time of the table: UTC, always with microseconds, so that text sorts by time."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat(' ', 'microseconds')


def as_text(time: Any) -> Any:
    """Return a time of the table, as its driver reads it, as :func:`timestamp` writes it; ``None`` for none."""
    return time.isoformat(' ', 'microseconds') if isinstance(time, datetime) else time


def seconds(time: Any) -> float:
    """Return a time of the table, as its driver reads it, in seconds since 1970."""
    read = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    return read.replace(tzinfo=timezone.utc).timestamp()


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
    event_data = peewee.TextField()
    data = peewee.TextField()
    task_id = peewee.UUIDField(unique=True)
    task_application_name = peewee.CharField()
    task_name = peewee.CharField()
    task_status = peewee.CharField()
    exc_type = peewee.TextField(null=True)
    exc_value = peewee.TextField(null=True)
    exc_traceback = peewee.TextField(default='')
    created = peewee.DateTimeField(default=utc_now)
    updated = peewee.DateTimeField(default=utc_now)
    deleted = peewee.DateTimeField(null=True)
    # Since 0.3:
    attempts = peewee.IntegerField(default=0)
    due = peewee.DoubleField(default=0.0)
    lease_expires = peewee.DoubleField(null=True)
    claim_token = peewee.CharField(max_length=32, null=True)
    claim_owner = peewee.CharField(null=True)
    finalized = peewee.DateTimeField(null=True)
    result = peewee.TextField(null=True)
    route = peewee.TextField(null=True)
    event_key = peewee.CharField(max_length=64, null=True, unique=True)
    transaction_id = peewee.CharField(max_length=64, null=True)
    claimed = peewee.DoubleField(null=True)
    history = peewee.TextField(null=True)
    destination = peewee.CharField(null=True)
    parent_transaction = peewee.CharField(max_length=64, null=True)
    skipped = peewee.IntegerField(null=True)

    class Meta:
        """The name of the 0.2 table, whatever a subclass is called."""

        table_name = TABLE
