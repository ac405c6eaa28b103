"""What the resources share: the end of a path, a task id in it, and a database that is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.operations import Parameter
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

__all__ = ['TASK_ID', 'end_of_path', 'task_id_in', 'with_database']

_LOG = logging.getLogger('pacifica.dispatcher.http')

T = TypeVar('T')

#: Seconds after which a client may try again when the database is away.
_DATABASE_RETRY_AFTER = 5

TASK_ID = Parameter('task_id', 'path', {'type': 'string', 'format': 'uuid'}, 'what POST /receive answered')


def end_of_path(parts: tuple[str, ...]) -> None:
    """Check that nothing follows in the path.

    :raises Refusal: 404 if something does.
    """
    if parts:
        raise Refusal(404, f'there is nothing at {parts[0][:100]!r} here')


def task_id_in(parts: tuple[str, ...]) -> UUID:
    """Return the task id that the path ends in.

    :raises Refusal: 404 if it doesn't end in one thing, 422 if that is not a UUID.
    """
    if not parts:
        raise Refusal(404, 'the path must end in a task id')
    end_of_path(parts[1:])
    try:
        return UUID(parts[0])
    except ValueError as exc:
        raise Refusal(422, f'{parts[0][:100]!r} is not a UUID', [('task_id', 'must be a UUID')]) from exc


def with_database(query: Callable[[], T]) -> T:
    """Return what *query* returns.

    :raises Refusal: 503 if the database is not available, without the detail, which is logged.
    """
    try:
        return query()
    except DatabaseUnavailableError as exc:
        _LOG.warning('front_door.database_unavailable', extra={'error': str(exc)})
        raise Refusal(
            503, 'the database is not available: nothing was accepted or changed, try again',
            headers={'Retry-After': str(_DATABASE_RETRY_AFTER)},
        ) from exc
