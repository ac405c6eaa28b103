"""The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0) of the resources, from what they declare."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pacifica.dispatcher._events import SCHEMAS
from pacifica.dispatcher._http.operations import ERRORS, Operation

__all__ = ['METHODS', 'document', 'operations_of']

METHODS = ('GET', 'POST', 'OPTIONS')

_ERROR_SCHEMA: dict[str, Any] = {
    'type': 'object',
    'required': ['status', 'message'],
    'properties': {
        'status': {'type': 'string', 'examples': ['422 Unprocessable Entity']},
        'message': {'type': 'string', 'description': 'what is wrong, and what to do about it'},
        'faults': {
            'type': 'array',
            'items': {
                'type': 'object',
                'required': ['field', 'message'],
                'properties': {'field': {'type': 'string'}, 'message': {'type': 'string'}},
                'additionalProperties': False,
            },
        },
    },
    'additionalProperties': False,
}

_SECURITY: dict[str, dict[str, Any]] = {
    'Bearer': {'type': 'http', 'scheme': 'bearer'},
    'access_token': {'type': 'apiKey', 'in': 'query', 'name': 'access_token'},
    'Basic': {'type': 'http', 'scheme': 'basic'},
    'StandardWebhooks': {'type': 'apiKey', 'in': 'header', 'name': 'webhook-signature'},
}


def operations_of(resource: Any) -> dict[str, Operation]:
    """Return the operations that *resource* declares, by method."""
    return {
        method: getattr(resource, method).operation for method in METHODS if hasattr(resource, method)
    }


def document(resources: Mapping[str, Any], base: str, challenges: Iterable[str]) -> dict[str, Any]:
    """Return the document.

    :param resources: path template → resource.
    :param base: where they are mounted, ``''`` for the root.
    :param challenges: the names of the authentication schemes that are configured, none for no authentication.
    """
    names = [name for challenge in challenges for name in _names(challenge)]
    try:
        release = version('pacifica-dispatcher')
    except PackageNotFoundError:  # run from a source tree that was never installed
        release = 'unknown'
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'Pacifica Dispatcher', 'version': release,
            'description': 'Takes CloudEvents and shows what became of them.',
        },
        'servers': [{'url': base or '/'}],
        'paths': {path: _path(resource, bool(names)) for path, resource in resources.items()},
        'components': {
            'schemas': {**SCHEMAS, 'Error': _ERROR_SCHEMA},
            **({'securitySchemes': {name: _SECURITY[name] for name in names}} if names else {}),
        },
        **({'security': [{name: []} for name in names]} if names else {}),
    }


def _names(challenge: str) -> tuple[str, ...]:
    return {'Bearer': ('Bearer', 'access_token')}.get(challenge, (challenge,) if challenge in _SECURITY else ())


def _path(resource: Any, authenticated: bool) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for method, operation in operations_of(resource).items():
        described = _operation(method, operation, inspect.getdoc(getattr(resource, method)) or '', authenticated)
        item[method.lower()] = described
        if method == 'GET':
            item['head'] = {**described, 'summary': described['summary'] + ' Without its body.'}
    return item


def _operation(method: str, operation: Operation, text: str, authenticated: bool) -> dict[str, Any]:
    summary, _, description = text.partition('\n')
    errors = [*operation.errors, *((401, 403) if authenticated and operation.right else ())]
    described: dict[str, Any] = {
        'summary': summary,
        'description': description.strip(),
        'parameters': [
            {
                'name': parameter.name, 'in': parameter.where, 'schema': parameter.schema,
                'description': parameter.description, 'required': parameter.where == 'path',
            }
            for parameter in operation.parameters
        ],
        'responses': {
            '200': {
                'description': 'done',
                'headers': {
                    name: {'description': what, 'schema': {'type': 'string'}}
                    for name, what in (operation.answer_headers or {}).items()
                },
                'content': {operation.media: {'schema': operation.answer}},
            },
            **({'304': {'description': 'as it was when it had this ETag'}} if operation.revalidates else {}),
            **{str(status): _error(status) for status in sorted(set(errors))},
        },
    }
    if operation.body is not None:
        described['requestBody'] = {
            'required': True, 'content': {media: {'schema': schema} for media, schema in operation.body.items()},
        }
    if operation.right is None:
        described['security'] = []
    return described


def _error(status: int) -> dict[str, Any]:
    return {
        'description': f'{HTTPStatus(status).phrase}: {ERRORS[status]}',
        'content': {'application/json': {'schema': {'$ref': '#/components/schemas/Error'}}},
    }
