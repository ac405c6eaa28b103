"""A parsed document → the values of :mod:`.values`, with every fault found, and what to write instead."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeVar

import msgspec

from pacifica.dispatcher._routes.lines import Where
from pacifica.dispatcher._routes.settings import nearest
from pacifica.dispatcher._routes.values import Archive, RoutesTable, RouteTable, Upload, When

_T = TypeVar('_T')

_PLACE = re.compile(r' - at `\$(.*)`$')
_STEP = re.compile(r'\.(\w+)|\[(\d+)\]|(\[\.\.\.\])')
_UNKNOWN = re.compile(r'Object contains unknown field `(.*)`$', re.DOTALL)
_MISSING = re.compile(r'Object missing required field `(.*)`$')
_KINDS = {
    'str': 'a text', 'int': 'a whole number', 'float': 'a number', 'bool': 'true or false', 'array': 'a list',
    'object': 'a table',
}


class Fault(NamedTuple):
    """Something that is wrong, and where."""

    where: Where
    text: str


class Checked(NamedTuple):
    """What is right in a document, with the number of each route in it, and the faults in the rest.

    What is left of a table with faults is here too, so that all of its faults are found.
    """

    archive: Archive | None
    service: dict[str, Any]
    routes: dict[int, RouteTable]
    faults: list[Fault]


def check(document: dict[str, Any]) -> Checked:
    """Check each table of *document*, which is changed: what is wrong is taken out of it."""
    faults = [_unknown(key, (), RoutesTable) for key in document if key not in _keys(RoutesTable)]
    tables = {key: document.get(key, kind()) for key, kind in {'archive': dict, 'service': dict, 'route': list}.items()}
    for key in ('archive', 'service'):
        if not isinstance(tables[key], dict):
            faults.append(Fault((key,), f'{key} is a table: write [{key}]'))
            tables[key] = {}
    if not isinstance(tables['route'], list) or not all(isinstance(each, dict) for each in tables['route']):
        faults.append(Fault(('route',), 'routes are tables in a list: write [[route]] before each'))
        tables['route'] = []
    elif 'route' not in document:
        faults.append(Fault((), 'there is no route: write [[route]], and below it name = "…" and command = ["…"]'))
    archive = _convert(tables['archive'], Archive, ('archive',), faults)
    routes = {number: route for number, each in enumerate(tables['route'])
              if (route := _convert(each, RouteTable, ('route', number), faults)) is not None}
    return Checked(archive, tables['service'], routes, faults)


def _convert(table: dict[str, Any], kind: type[_T], base: Where, faults: list[Fault]) -> _T | None:
    """Return what is right in *table* as a *kind*; ``None`` if that is no whole one. All faults are added."""
    removed: set[Where] = set()
    while True:
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as exc:
            fault = _fault_of(exc, table, kind, base)
            where = fault.where[len(base):]
            # What is missing may be what was at fault, or was misspelt.
            if not (_MISSING.match(_PLACE.sub('', str(exc))) and any(each[:-1] == where for each in removed)):
                faults.append(fault)
            removed.add(where)
            if not _remove(table, where):
                return None


def _fault_of(error: msgspec.ValidationError, table: dict[str, Any], kind: type[Any], base: Where) -> Fault:
    text = str(error)
    place = _PLACE.search(text)
    message = _PLACE.sub('', text)
    where: Where = ()
    for name, number, any_key in _STEP.findall(place[1] if place else ''):
        where += (_culprit(table, where, kind, text) if any_key else int(number) if number else name,)
    if found := _UNKNOWN.match(message):
        return _unknown(found[1], (*base, *where), _kind_at(kind, where))
    if found := _MISSING.match(message):
        return Fault((*base, *where), f'{found[1]} is missing: write {found[1]} = "…"')
    return Fault((*base, *where), _in_words(message, where))


def _unknown(key: str, where: Where, kind: type[msgspec.Struct]) -> Fault:
    if kind is RouteTable and key == 'key_values':
        cure = 'of which events: when = { key_values = … }; of uploads: upload = { key_values = … }'
    elif kind is RouteTable and key in _keys(When):
        cure = f'it belongs into when: when = {{ {key} = … }}'
    else:
        cure = nearest(key, _keys(kind))
    return Fault((*where, key), f'there is no key {key!r} here; {cure}')


def _in_words(message: str, where: Where) -> str:
    """Return what msgspec says in the words of TOML."""
    subject = (_names(where) or ['this'])[-1]
    if found := re.fullmatch(r'Expected `([^`]*)`, got `([^`]*)`', message):
        kinds = set(found[1].split(' | '))
        wanted = [words for kind, words in _KINDS.items() if kind in kinds and not (kind == 'int' and 'float' in kinds)]
        return f'{subject} must be {" or ".join(wanted)}, not {_KINDS.get(found[2], found[2])}'
    return f'{subject}: {message}'


def _culprit(table: dict[str, Any], where: Where, kind: type[Any], text: str) -> str:
    """Return which key of a table with keys of any name is at fault: the one with which alone it is."""
    inner: Any = table
    for step in where:
        inner = inner[step]
    for key in list(inner):
        others, alone = dict(inner), {key: inner[key]}
        inner.clear()
        inner.update(alone)
        try:
            msgspec.convert(table, kind)
        except msgspec.ValidationError as exc:
            if str(exc) == text:
                return str(key)
        finally:
            inner.clear()
            inner.update(others)
    return str(next(iter(inner)))


def _remove(table: dict[str, Any], where: Where) -> bool:
    """Take what is at fault out of *table*, to see what else is; return whether that can be done."""
    while where and isinstance(where[-1], int):
        where = where[:-1]
    if not where:
        return False
    inner: Any = table
    for step in where[:-1]:
        inner = inner[step]
    return inner.pop(where[-1], None) is not None


def _kind_at(kind: type[msgspec.Struct], where: Where) -> type[msgspec.Struct]:
    """Return which of our tables is at *where* in one of *kind*."""
    tables: dict[str, type[msgspec.Struct]] = {'when': When, 'not': When, 'any': When, 'upload': Upload}
    for step in _names(where):
        kind = tables.get(step, _Value) if kind in (RouteTable, When) else _Value
    return kind


class _Value(msgspec.Struct, rename={'values': 'not'}):
    """A value given as what it is not."""

    values: Any


def _names(where: Where) -> list[str]:
    return [step for step in where if isinstance(step, str)]


def _keys(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]
