"""The states of an event, and who moves it on.

::

    202 Accepted ──claim──▶ 102 Processing ──finish──▶ 200 OK
       │ ▲  ▲                   │                      422 Unprocessable Entity
       │ │  └──retry, wait,─────┘                      500 Internal Server Error
       │ │ release, lost worker                          │  ▲
       │ └──────────────an operator's retry──────────────┘  │
       └────────────────an operator's cancel────────────────┘

Every arrow is one guarded ``UPDATE`` in :mod:`pacifica.dispatcher._queue.transitions`; nothing else changes a status.
"""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """The status strings of the 0.2 series, which are HTTP's: stored as they are, shown as they are."""

    ACCEPTED = '202 Accepted'
    """Stored and waiting for a worker: written by ``accept``; a worker's claim moves it on, or an operator's cancel."""

    PROCESSING = '102 Processing'
    """Claimed: the worker that holds the claim's token moves it on; once the lease is over, any janitor."""

    OK = '200 OK'
    """Final: the handler returned."""

    UNPROCESSABLE = '422 Unprocessable Entity'
    """Final: no route matches the event."""

    FAILED = '500 Internal Server Error'
    """Final: the handler failed, or every worker that ran it died."""

    __str__ = str.__str__


FINAL = frozenset({Status.OK, Status.UNPROCESSABLE, Status.FAILED})
