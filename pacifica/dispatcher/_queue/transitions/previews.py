"""The images that handlers have made to be looked at: kept while their claims hold, deleted with their events.

``id`` is the event's ``uuid`` and the image's number. Those of an earlier run go when a later one keeps its first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pacifica.dispatcher._queue.record import CLAIMED, PREVIEWS, TABLE, placeholders, storable
from pacifica.dispatcher._queue.session import Session
from pacifica.dispatcher._queue.values import ClaimedEvent, Preview

MOST_PREVIEWS = 5
"""Of one event."""

_NAME_CHARACTERS, _KEY_CHARACTERS = 255, 64
_DELETED_AT_ONCE = 500
_STATEMENT_REST = 10_000  # bytes for all but the image


def keep_preview(session: Session, claimed: ClaimedEvent, preview: Preview) -> str | None:
    """Keep an image, in place of the one of this name: stays ``102``. Return why not, ``None`` if it was."""
    if session.execute(
        f'SELECT uuid FROM {TABLE} WHERE {CLAIMED} {session.dialect.lock_row}', (claimed.uuid, claimed.token),
    ).fetchone() is None:
        return 'the lease of the event is over'
    if session.statement_limit is not None and 2 * len(preview.content) + _STATEMENT_REST > session.statement_limit:
        return 'the database takes no statement that long: max_allowed_packet'
    name = storable(preview.name, _NAME_CHARACTERS)
    session.execute(f'DELETE FROM {PREVIEWS} WHERE uuid = ? AND (claim_token <> ? OR name = ?)',
                    (claimed.uuid, claimed.token, name))
    numbers = [row[0] for row in session.execute(
        f'SELECT number FROM {PREVIEWS} WHERE uuid = ?', (claimed.uuid,)).fetchall()]
    if len(numbers) >= MOST_PREVIEWS:
        return f'{MOST_PREVIEWS} are kept of an event'
    number = next(number for number in range(1, MOST_PREVIEWS + 1) if number not in numbers)
    session.execute(
        f'INSERT INTO {PREVIEWS} (id, uuid, number, claim_token, route, instrument, name, media, size, created,'
        f' content) VALUES ({placeholders(11)})',
        (f'{UUID(str(claimed.uuid)).hex}.{number}', claimed.uuid, number, claimed.token,
         storable(preview.route, _NAME_CHARACTERS), storable(preview.instrument, _KEY_CHARACTERS), name, preview.media,
         len(preview.content), session.now(), preview.content))
    return None


def trim_previews(session: Session, most: int) -> int:
    """Delete the oldest images until those that are left have *most* bytes; return how many were deleted."""
    size = int(session.execute(f'SELECT COALESCE(SUM(size), 0) FROM {PREVIEWS}').fetchone()[0])
    deleted = 0
    while size > most:
        old = []
        for key, bytes_ in session.execute(
                f'SELECT id, size FROM {PREVIEWS} ORDER BY created LIMIT {_DELETED_AT_ONCE}').fetchall():
            if size <= most:
                break
            old.append(key)
            size -= bytes_
        if not old:
            break  # others have deleted them
        session.execute(f'DELETE FROM {PREVIEWS} WHERE id IN ({placeholders(len(old))})', old)
        deleted += len(old)
    return deleted


def delete_previews(session: Session, uuids: Sequence[Any]) -> None:
    """Delete the images of events that are deleted too."""
    session.execute(f'DELETE FROM {PREVIEWS} WHERE uuid IN ({placeholders(len(uuids))})', uuids)
