"""What is searched for and what is found, as values: the front door and the command line speak in them too.

Imports no database library, so that whoever asks needs none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher._queue.status import Status

__all__ = ['Filter', 'Page']


@dataclass(frozen=True)
class Filter:
    """Which events are wanted: those that fit everything given.

    :param status: a status string.
    :param event_type: the event's type, whole.
    :param source: the event's source, whole.
    :param transaction_id: the id of the Pacifica transaction that the event is about.
    :param parent_transaction: the id of the Pacifica transaction that the event's was made from.
    :param since: created at this UTC time or later, ``YYYY-MM-DD HH:MM:SS.ffffff``.
    :param until: created before this time.
    :param routed: leaves out events that no route matched.
    :param text: the whole of a task id, event id or transaction id; else what occurs, in upper or lower case, in the
        event's id, source, type or route, or in its error.
    """

    status: Status | None = None
    event_type: str | None = None
    source: str | None = None
    transaction_id: str | None = None
    parent_transaction: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None
    routed: bool = False


@dataclass(frozen=True)
class Page:
    """Events as ``Search`` finds them.

    :param rows: each an object with ``taskID``, ``taskStatus``, ``eventType`` and so on, as ``/get`` names them.
    :param older: where the next page begins; ``None`` if there are none that are older.
    :param looked_back_to: the time of creation of the oldest event looked at, if there are older ones and the page is
        not full.
    """

    rows: Sequence[Mapping[str, Any]]
    older: str | None = None
    looked_back_to: str | None = None
