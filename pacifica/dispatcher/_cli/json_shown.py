"""JSON values in a line for people: short ones as they are, long ones by what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ['kinds', 'members', 'several', 'shown']

_VALUES = 3
_NAMES = 12
_LENGTH = 60


def shown(value: Any) -> str:
    """Return *value* as JSON if that is short, its beginning if it is a long string, else what it is."""
    if isinstance(value, (dict, list)) and len(value) > 1:
        return _kind(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LENGTH else f'{text[:_LENGTH]}…'


def several(texts: Iterable[str]) -> str:
    """Return the different ones of *texts*, some of them if there are many."""
    different = list(dict.fromkeys(texts))
    more = len(different) - _VALUES
    if more <= 1:
        return ' or '.join(different)
    return ' or '.join([*different[:_VALUES], f'{more} others'])


def members(values: Sequence[Any]) -> str:
    """Return which members *values* have, or what they are if they are no objects."""
    names = list(dict.fromkeys(name for value in values if isinstance(value, dict) for name in value))
    if not names:
        return kinds(values)
    some = ', '.join(json.dumps(name, ensure_ascii=False) for name in names[:_NAMES])
    return f'{"it has" if len(values) == 1 else "they have"} {some}{", …" if len(names) > _NAMES else ""}'


def kinds(values: Sequence[Any]) -> str:
    """Return what *values* are: ``it is an array of 3 elements``, ``they are strings or objects``."""
    if len(values) == 1:
        return f'it is {_kind(values[0])}'
    return f'they are {several(_plural(value) for value in values)}'


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f'an object of {len(value)} members'
    if isinstance(value, list):
        return f'an array of {len(value)} elements'
    return shown(value)


def _plural(value: Any) -> str:
    names = {dict: 'objects', list: 'arrays', str: 'strings', int: 'numbers', float: 'numbers'}
    return names.get(type(value)) or shown(value)
