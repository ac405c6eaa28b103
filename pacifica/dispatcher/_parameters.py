"""Parameters of handlers: a route has the defaults, an event that is run again may have its own.

They are values of JSON, of which a run keeps those that it used.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pacifica.dispatcher.exceptions import ConfigurationError

_MOST_CHARACTERS = 10_000  # of all together as JSON: each run keeps them
_NO_NAME = frozenset('={}')


def checked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of *parameters*, as JSON has them.

    :raises ConfigurationError: if JSON has no such value, or a name can't be written as ``NAME=VALUE`` or
        ``{parameter:NAME}``.
    """
    names: Iterable[object] = parameters
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or _NO_NAME & set(name):
            raise ConfigurationError(f'{name!r} is no name of a parameter: a text without "=", "{{" and "}}"')
    try:
        text = json.dumps(dict(parameters), allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(
            f'parameters are texts, numbers, booleans, None, lists and objects of these: {exc}') from exc
    if len(text) > _MOST_CHARACTERS:
        raise ConfigurationError(
            f'the parameters have {len(text)} characters as JSON, and {_MOST_CHARACTERS} are the most: name a file')
    copied: dict[str, Any] = json.loads(text)
    return copied


def parse(settings: Iterable[str]) -> dict[str, Any]:
    """Return the parameters in texts ``NAME=VALUE``: a VALUE that is JSON stands for that, any other for itself.

    :raises ConfigurationError: if a text has no ``=``, or as :func:`checked` does.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition('=')
        if not equals:
            raise ConfigurationError(f'{setting!r} is not NAME=VALUE, for example threshold=5')
        try:
            found[name] = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            found[name] = value
    return checked(found)


def setting(name: str, value: Any) -> str:
    """Return the line ``NAME=VALUE`` that :func:`parse` reads as this parameter: a text as it is, if that is possible.
    """
    if isinstance(value, str) and value.isprintable() and value == value.strip():
        line = f'{name}={value}'
        if parse([line]) == {name: value}:
            return line
    return f'{name}={json.dumps(value)}'


def require_declared(given: Iterable[str], declared: Iterable[str]) -> None:
    """Refuse a name that is none of *declared*, if there are any.

    :raises ConfigurationError: names the one that is meant, perhaps.
    """
    known = list(declared)
    for name in given if known else ():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            cure = f'{near[0]!r} is meant?' if near else f'it has {", ".join(map(repr, known))}'
            raise ConfigurationError(f'the route has no parameter {name!r}; {cure}')


def overlaid(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return *defaults* with *own* in their place: a copy, so that a handler can't change them for the next event."""
    return copy.deepcopy({**defaults, **own}) if defaults or own else {}


def as_text(value: Any) -> str:
    """Return the value of a parameter for a program: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is not JSON')
