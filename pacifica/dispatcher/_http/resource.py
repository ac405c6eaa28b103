"""A resource of the API and its operations, each declared once: the declaration checks requests and documents them.

Its right is the one that authentication asks for; :mod:`~pacifica.dispatcher._http.openapi` describes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import cherrypy

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.gate import Gate
from pacifica.dispatcher._http.tools import TOOL
from pacifica.dispatcher._queue.availability import KnownFaultError
from pacifica.dispatcher.authentication import Right
from pacifica.dispatcher.exceptions import DatabaseUnavailableError

_LOG = logging.getLogger('pacifica.dispatcher.http')

T = TypeVar('T')

#: The methods that an operation can be declared for.
_METHODS = ('GET', 'POST', 'OPTIONS')

#: Seconds after which a client may try again when the database is unavailable.
_DATABASE_RETRY_AFTER = 5

_GATE = Gate()


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request; ``where`` is query, path or header, ``schema`` a JSON Schema."""

    name: str
    where: str
    schema: Mapping[str, Any]
    description: str


TASK_ID = Parameter('task_id', 'path', {'type': 'string', 'format': 'uuid'}, 'what POST /receive answered')


@dataclass(frozen=True)
class Operation:
    """What a method of a resource takes and answers.

    :param right: what the client's credentials must allow; ``None`` if it needs no credentials.
    :param answer: the JSON Schema of the good answer, of the type *media*; errors are always JSON.
    :param errors: the HTTP statuses of errors, besides those of its path, its query and its right.
    :param parameters: :data:`TASK_ID` is given to the method as a UUID, what follows it in the path as texts; those of
        the query as a dict, if there are any and no :data:`TASK_ID`.
    :param body: media type → schema.
    :param answer_headers: name → description.
    :param revalidates: whether the answer has an ``ETag``, and ``304`` is possible.
    """

    right: Right | None
    answer: Mapping[str, Any]
    errors: Sequence[int] = ()
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Mapping[str, Any]] | None = None
    answer_headers: Mapping[str, str] | None = None
    revalidates: bool = False
    media: str = 'application/json'


def operation(**declared: Any) -> Callable[[Callable[..., bytes]], Callable[..., bytes]]:
    """Declare the decorated method of a resource with the arguments of :class:`Operation`; its docstring describes it.

    The method gets what its parameters declare, if nothing else is in the path and the query.
    """
    declaration = Operation(**declared)
    names = tuple(parameter.name for parameter in declaration.parameters if parameter.where == 'query')
    in_path = sum(parameter.where == 'path' for parameter in declaration.parameters)

    def declare(method: Callable[..., bytes]) -> Callable[..., bytes]:
        @wraps(method)
        def checked(self: Resource, *parts: str, **_params: Any) -> bytes:
            if TASK_ID in declaration.parameters:
                query_parameters(names)
                end_of_path(parts[in_path:])
                return method(self, task_id_in(parts[:1]), *parts[1:])
            end_of_path(parts)
            query = query_parameters(names)
            return method(self, query) if names else method(self)

        checked.operation = declaration  # type: ignore[attr-defined]  # functions take any attribute
        return checked

    return declare


class Resource:
    """Base of the API's resources, whose methods are operations; the first one's right is that of them all."""

    exposed = True
    _cp_config: dict[str, Any] = {}

    def __init_subclass__(cls) -> None:
        first = next(iter(cls.operations().values()))
        # CherryPy's tool adds a charset to text alone; to the rest it does nothing, at the price of parsing a header.
        cls._cp_config = {f'tools.{TOOL}.right': first.right, 'tools.encode.on': first.media.startswith('text/')}

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Return the declared operations by method."""
        return {method: getattr(cls, method).operation for method in _METHODS if hasattr(cls, method)}


def end_of_path(parts: tuple[str, ...]) -> None:
    """Refuse a path that goes on with *parts*."""
    if parts:
        raise Refusal(404, f'there is nothing at {parts[0][:100]!r} here')


def task_id_in(parts: tuple[str, ...]) -> UUID:
    """Return the task id that is the rest of the path."""
    if not parts:
        raise Refusal(404, 'the path must end in a task id')
    end_of_path(parts[1:])
    try:
        return UUID(parts[0])
    except ValueError as exc:
        raise Refusal(422, f'{parts[0][:100]!r} is not a UUID', [('task_id', 'must be a UUID')]) from exc


def query_parameters(allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of the current request's query; ``access_token`` is *allowed* everywhere."""
    params: dict[str, Any] = cherrypy.serving.request.params
    for name, value in params.items():
        if name not in allowed and name != 'access_token':
            raise Refusal(404, f'there is no parameter {name[:100]!r} here')
        if not isinstance(value, str):
            raise Refusal(422, f'{name} is given more than once', [(name, 'must be given once')])
    return params


def with_database(query: Callable[[], T]) -> T:
    """Return what *query* returns; refuse with 503 while the database is not available, without the detail."""
    try:
        with _GATE.passed():
            return query()
    except DatabaseUnavailableError as exc:
        if isinstance(exc, KnownFaultError):
            cherrypy.serving.request.dispatcher_unlogged = True
        else:
            _LOG.warning('front_door.database_unavailable', extra={'error': str(exc)})
        raise Refusal(
            503, 'the database is not available: nothing was accepted or changed, try again',
            retry_after=_DATABASE_RETRY_AFTER,
        ) from exc
