"""Reading what the runs of an event have printed and logged: never of an event that is gone.

Both documents of a row, ``head`` and ``tail``, are JSON lists of ``[time, stream, text, offset]``: seconds since 1970
by the worker's clock, ``'stdout'``, ``'stderr'`` or ``'log'``, and how many bytes the run had printed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from pacifica.dispatcher._queue.record import OUTPUTS, TABLE
from pacifica.dispatcher._queue.session import Session


class Chunk(NamedTuple):
    """What was printed at one time to one stream."""

    time: float
    stream: str
    text: str
    offset: int


class KeptOutput(NamedTuple):
    """The output of one run, its first and its last chunks, and the bytes between them that are not kept."""

    run: str
    attempt: int
    began: float
    updated: float
    progress: float | None
    progress_text: str
    omitted: int
    head: Sequence[Chunk]
    tail: Sequence[Chunk]


_decode = msgspec.json.Decoder(list[Chunk]).decode


def outputs(session: Session, task_id: UUID) -> list[KeptOutput] | None:
    """Return the output of each run of an event that has any, the oldest first; ``None`` if there is no such event."""
    rows = session.execute(
        f'SELECT run.id, run.attempt, run.began, run.updated, run.progress, run.progress_text, run.omitted, run.head,'
        f' run.tail FROM {TABLE} AS event LEFT JOIN {OUTPUTS} AS run ON run.uuid = event.uuid'
        ' WHERE event.task_id = ? ORDER BY run.began', (session.dialect.uuid(task_id),)).fetchall()
    if not rows:
        return None
    return [KeptOutput._make((*row[:7], _decode(row[7]), _decode(row[8]))) for row in rows if row[0] is not None]
