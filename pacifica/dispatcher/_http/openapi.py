"""``/openapi.json``: the OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0) of what the resources declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cherrypy

from pacifica.dispatcher._events import SCHEMAS
from pacifica.dispatcher._http.answers import answer, revalidated
from pacifica.dispatcher._http.resource import Operation, Resource, operation
from pacifica.dispatcher.authentication import Scheme

#: What each error status means, wherever it is answered.
_ERRORS = {
    400: 'the request is malformed, or not a CloudEvent; all faults are named',
    401: 'credentials are missing or not known',
    403: 'these credentials, this origin, or this name of the server (Host) are not allowed to do that',
    404: 'there is no such task, path or parameter',
    408: 'the body did not arrive in time',
    409: 'the task is not in a status in which that can be done',
    413: 'the body is too large',
    415: 'the format, or the encoding of the body, is not understood',
    422: 'the task id is not a UUID, or a parameter makes no sense',
    429: 'too many events are waiting, or too many were sent: try again after Retry-After seconds',
    503: 'the database is not available: try again after Retry-After seconds',
}

_FAULT = {
    'type': 'object', 'required': ['field', 'message'], 'additionalProperties': False,
    'properties': {'field': {'type': 'string'}, 'message': {'type': 'string'}},
}
_ERROR = {
    'type': 'object', 'required': ['status', 'message'], 'additionalProperties': False,
    'properties': {
        'status': {'type': 'string', 'examples': ['422 Unprocessable Entity']},
        'message': {'type': 'string', 'description': 'what is wrong, and what to do about it'},
        'faults': {'type': 'array', 'items': _FAULT},
    },
}

#: What a challenge stands for.
_SECURITY: dict[str, dict[str, Any]] = {
    'Bearer': {
        'Bearer': {'type': 'http', 'scheme': 'bearer'},
        'access_token': {'type': 'apiKey', 'in': 'query', 'name': 'access_token'},
    },
    'Basic': {'Basic': {'type': 'http', 'scheme': 'basic'}},
    'StandardWebhooks': {'StandardWebhooks': {'type': 'apiKey', 'in': 'header', 'name': 'webhook-signature'}},
}


class OpenApi(Resource):
    """The OpenAPI document of the resources that *by_path* returns."""

    def __init__(self, by_path: Callable[[], Mapping[str, Resource]], schemes: Sequence[Scheme]) -> None:
        self._by_path = by_path
        self._challenges = [getattr(scheme, 'challenge', '').partition(' ')[0] for scheme in schemes]

    @operation(right='read', answer={'type': 'object'}, revalidates=True)
    def GET(self) -> bytes:
        """Answer the OpenAPI 3.1 document of what is here."""
        base = cherrypy.serving.request.wsgi_environ.get('dispatcher.mounted', '')
        return revalidated(answer(document(self._by_path(), base, self._challenges)))


def document(resources: Mapping[str, Resource], base: str, challenges: Iterable[str]) -> dict[str, Any]:
    """Return the document of *resources* by their path, mounted at *base*, with authentication by *challenges*."""
    security = {name: scheme for challenge in challenges for name, scheme in _SECURITY.get(challenge, {}).items()}
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
        'paths': {path: _path(resource, bool(security)) for path, resource in resources.items()},
        'components': {
            'schemas': {**SCHEMAS, 'Error': _ERROR},
            **({'securitySchemes': security} if security else {}),
        },
        **({'security': [{name: []} for name in security]} if security else {}),
    }


def _path(resource: Resource, authenticated: bool) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for method, declared in resource.operations().items():
        described = _described(declared, inspect.getdoc(getattr(resource, method)) or '', authenticated)
        item[method.lower()] = described
        if method == 'GET':
            item['head'] = {**described, 'summary': described['summary'] + ' Without its body.'}
    return item


def _described(operation: Operation, text: str, authenticated: bool) -> dict[str, Any]:
    summary, _, description = text.partition('\n')
    errors = {404, *operation.errors}
    if operation.right:
        errors |= {401, 403} if authenticated else {403}
    if any(parameter.where in ('path', 'query') for parameter in operation.parameters):
        errors.add(422)
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
            **{str(status): _error(status) for status in sorted(errors)},
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
        'description': f'{HTTPStatus(status).phrase}: {_ERRORS[status]}',
        'content': {'application/json': {'schema': {'$ref': '#/components/schemas/Error'}}},
    }
