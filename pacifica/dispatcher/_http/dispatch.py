"""From a path to a resource's method: CherryPy's ``MethodDispatcher`` for a small tree.

A resource with ``resources`` has others below it, by name.
"""

from __future__ import annotations

from typing import Any

import cherrypy

from pacifica.dispatcher._http.answers import Refusal

__all__ = ['dispatch']

_METHODS = ('DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT')


def dispatch(path_info: str) -> None:
    """Set the current request's handler and configuration; CherryPy calls it for each request."""
    request = cherrypy.serving.request
    resource = request.app.root
    parts = [part for part in path_info.split('/') if part]
    rest = parts
    while rest and rest[0] in getattr(resource, 'resources', ()):
        resource, rest = resource.resources[rest[0]], rest[1:]
    _configure(request, resource, path_info, parts)
    arguments = [part.replace('%2F', '/') for part in rest]
    method = getattr(resource, 'GET' if request.method == 'HEAD' else request.method, None)
    if hasattr(resource, 'resources') and (arguments or not getattr(resource, 'exposed', False)):
        request.handler = Refusal(404, f'there is nothing at {path_info[:200]!r} here')
    elif method is None or request.method not in _METHODS:
        allowed = allowed_methods(resource)
        request.handler = Refusal(
            405, f'{request.method[:40]} is not possible here, but {allowed}', headers={'Allow': allowed},
        )
    else:
        request.handler = lambda: method(*arguments)


def allowed_methods(resource: Any) -> str:
    """Return what ``Allow`` says of *resource*."""
    methods = {name for name in _METHODS if hasattr(resource, name)}
    if 'GET' in methods:
        methods.add('HEAD')
    return ', '.join(sorted(methods))


def _configure(request: Any, resource: Any, path_info: str, parts: list[str]) -> None:
    """Collect the configuration of the path as CherryPy does: global, of the application, of each part of the path."""
    config = cherrypy.config.copy()
    sections = request.app.config
    config.update(sections.get('/', {}))
    config.update(getattr(resource, '_cp_config', {}))
    if len(sections) > 1:
        path = ''
        for part in parts:
            path += '/' + part
            config.update(sections.get(path, {}))
    request.config = config
    request.is_index = not path_info.rstrip('/')
