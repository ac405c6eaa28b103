"""One query on a connection that may have died since it was last used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.session import PASSING, Session
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

__all__ = ['read']

T = TypeVar('T')


def read(connections: Connections, query: Callable[[Session], T]) -> T:
    """Return the result of *query*, which is run once more on a new connection if the old one turns out to be gone.

    :raises DatabaseUnavailableError: if the database does not answer then either.
    """
    try:
        with connections.reading() as session:
            try:
                return query(session)
            except PASSING:
                session.abort()
                return query(session)
    except PASSING as exc:
        raise DatabaseUnavailableError(f'the database did not answer: {exc}') from exc
