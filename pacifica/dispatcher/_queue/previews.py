"""Reading the images that handlers have made to be looked at: of one event, or the latest of all."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.record import PREVIEWS, TABLE
from pacifica.dispatcher._queue.session import Session

_COLUMNS = 'image.number, image.name, image.media, image.size, image.created'
_MOST_CHOICES = 200


class KeptPreview(NamedTuple):
    """An image that is kept, without its bytes; ``created`` is in seconds since 1970."""

    number: int
    name: str
    media: str
    size: int
    created: float

    @property
    def version(self) -> str:
        """Differs from that of another image with this number."""
        return f'{self.created * 1e6:.0f}'


class GalleryPreview(NamedTuple):
    """An image among those of other events, and what these are."""

    task_id: UUID
    transaction: str | None
    route: str
    instrument: str
    image: KeptPreview


class Previews:
    """The images of one table's events."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def of(self, task_id: UUID) -> list[KeptPreview]:
        """Return the images of an event, in the order of their numbers."""
        rows = self._connections.read(lambda session: session.execute(
            f'SELECT {_COLUMNS} FROM {TABLE} AS event JOIN {PREVIEWS} AS image ON image.uuid = event.uuid'
            ' WHERE event.task_id = ? ORDER BY image.number', (session.dialect.uuid(task_id),)).fetchall())
        return [KeptPreview(*row) for row in rows]

    def content(self, task_id: UUID, number: int) -> tuple[str, bytes] | None:
        """Return the media type and the bytes of an image, ``None`` if it is not kept."""
        row = self._connections.read(lambda session: session.execute(
            f'SELECT image.media, image.content FROM {TABLE} AS event JOIN {PREVIEWS} AS image'
            ' ON image.uuid = event.uuid WHERE event.task_id = ? AND image.number = ?',
            (session.dialect.uuid(task_id), number)).fetchone())
        return None if row is None else (str(row[0]), bytes(row[1]))

    def latest(
        self, limit: int, *, route: str | None = None, instrument: str | None = None, before: float | None = None,
    ) -> list[GalleryPreview]:
        """Return at most *limit* images, the newest first.

        :param before: made before this time, in seconds since 1970.
        """
        given = {'image.route = ?': route, 'image.instrument = ?': instrument, 'image.created < ?': before}
        wanted = {text: value for text, value in given.items() if value is not None}
        where = f' WHERE {" AND ".join(wanted)}' if wanted else ''
        rows = self._connections.read(lambda session: session.execute(
            f'SELECT event.task_id, event.transaction_id, image.route, image.instrument, {_COLUMNS}'
            f' FROM {PREVIEWS} AS image JOIN {TABLE} AS event ON event.uuid = image.uuid{where}'
            f' ORDER BY image.created DESC LIMIT {limit:d}', tuple(wanted.values())).fetchall())
        return [GalleryPreview(UUID(str(row[0])), row[1], row[2], row[3], KeptPreview(*row[4:])) for row in rows]

    def choices(self) -> tuple[list[str], list[str]]:
        """Return the routes and the instruments that have images, some of them if there are many."""
        return self._connections.read(lambda session: (_different(session, 'route'), _different(session, 'instrument')))


def _different(session: Session, column: str) -> list[str]:
    return [row[0] for row in session.execute(
        f'SELECT DISTINCT {column} FROM {PREVIEWS} ORDER BY {column} LIMIT {_MOST_CHOICES}').fetchall() if row[0]]
