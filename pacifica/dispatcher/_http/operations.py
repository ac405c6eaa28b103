"""What each operation takes and answers, said once, beside the code: what is documented is what is checked.

The resources declare their methods with :func:`operation`; requests are checked by the parameters declared there, and
:mod:`~pacifica.dispatcher._http.openapi` writes the document from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ['ERRORS', 'Operation', 'Parameter', 'operation']

F = TypeVar('F', bound=Callable[..., Any])

#: What each error status means, wherever it is answered.
ERRORS: Mapping[int, str] = {
    400: 'the request is malformed, or not a CloudEvent; all faults are named',
    401: 'credentials are missing or not known',
    403: 'these credentials, or this origin, are not allowed to do that',
    404: 'there is no such task, path or parameter',
    405: 'the method is not possible here',
    408: 'the body did not arrive in time',
    413: 'the body is too large',
    415: 'the format, or the encoding of the body, is not understood',
    422: 'the task id is not a UUID, or a parameter makes no sense',
    429: 'too many events are waiting, or too many were sent: try again after Retry-After seconds',
    503: 'the database is not available: try again after Retry-After seconds',
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request; ``where`` is query, path or header, ``schema`` a JSON Schema."""

    name: str
    where: str
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True)
class Operation:
    """A method of a resource; ``answer`` is the schema of the good answer, ``body`` media type → schema.

    ``media`` is the media type of the good answer; errors are always JSON.
    """

    right: str | None
    answer: Mapping[str, Any]
    errors: Sequence[int]
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Mapping[str, Any]] | None = None
    answer_headers: Mapping[str, str] | None = None
    revalidates: bool = False
    media: str = 'application/json'

    def query(self) -> tuple[str, ...]:
        """Return the names of the query parameters."""
        return tuple(parameter.name for parameter in self.parameters if parameter.where == 'query')


def operation(**declared: Any) -> Callable[[F], F]:
    """Declare the decorated method of a resource, as the attribute ``operation``; its docstring describes it."""
    def declare(method: F) -> F:
        method.operation = Operation(**declared)  # type: ignore[attr-defined]  # functions take any attribute
        return method

    return declare
