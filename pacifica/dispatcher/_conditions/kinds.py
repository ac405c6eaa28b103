"""The conditions of one thing each: what it is compared with, as a JSONPath too, and why it holds or doesn't."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from pacifica.dispatcher._conditions.facts import Facts
from pacifica.dispatcher._conditions.logic import Condition, Explain, said
from pacifica.dispatcher._patterns import Patterns

_SHOWN = 3  # values of each kind in an explanation
_LENGTH = 60  # characters of each


class _Compared(Condition):
    """A condition of what is looked up in the event by a name: whether it is one of the values."""

    name: str
    values: tuple[Any, ...]

    @property
    @abstractmethod
    def _filter(self) -> str: ...

    @abstractmethod
    def _found(self, facts: Facts) -> list[Any]: ...

    def _holds(self, facts: Facts) -> bool:
        return any(map(self._equals, self._found(facts)))

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        found = self._found(facts)
        return [self._compare(found) if found else f'the event has no {self.name}']

    @property
    def _expression(self) -> str | None:
        return said(self._filter)

    @cached_property
    def _wanted(self) -> dict[Any, None]:
        """The values in all their forms, each once and in this order."""
        return dict.fromkeys(form for each in self.values for form in _forms(each))

    def _equals(self, value: Any) -> bool:
        return comparable(value) and value in self._wanted

    def _equation(self, member: str) -> str:
        """Return the part of a filter that says that a member is one of the values."""
        return ' or '.join(f'@[{_as_json(member)}] = {_as_json(form)}' for form in self._wanted)

    def _compare(self, found: list[Any]) -> str:
        """Return what was *found* instead of the values, or which of them."""
        if any(map(self._equals, found)):
            return f'{self.name} is {_listed(filter(self._equals, found), " and ")}'
        return f'{self.name} is {_listed(found, " and ")}, not {_listed(self.values, " or ")}'


@dataclass(frozen=True, repr=False)
class EventType(_Compared):
    values: tuple[str, ...]

    name = 'type'

    def __repr__(self) -> str:
        return f'event_type({_arguments(self.values)})'

    @property
    def _filter(self) -> str:
        return f'{self._equation("eventType")} or {self._equation("type")}'

    def _found(self, facts: Facts) -> list[Any]:
        return [facts.members[name] for name in ('eventType', 'type') if name in facts.members]


@dataclass(frozen=True, repr=False)
class Field(_Compared):
    """A condition of a field of the transaction."""

    name: str
    values: tuple[Any, ...]

    def __repr__(self) -> str:
        return f'{self.name}({_arguments(self.values)})'

    @property
    def _filter(self) -> str:
        return _row(self._table, f'({self._equation("value")})')

    def _found(self, facts: Facts) -> list[Any]:
        return facts.values(self._table)

    @property
    def _table(self) -> str:
        return f'Transactions.{self.name}'


@dataclass(frozen=True, repr=False)
class KeyValue(_Compared):
    name: str
    values: tuple[Any, ...]

    def __repr__(self) -> str:
        return f'key_value({_arguments((self.name, *self.values))})'

    @property
    def _filter(self) -> str:
        value = f'({self._equation("value")})' if self.values else '@["value"]'
        return _row('TransactionKeyValue', f'@["key"] = {_as_json(self.name)} and {value}')

    def _found(self, facts: Facts) -> list[Any]:
        return facts.values('TransactionKeyValue', self.name)

    def _holds(self, facts: Facts) -> bool:
        return super()._holds(facts) if self.values else bool(self._found(facts))

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        found = self._found(facts)
        if found:
            return [self._compare(found) if self.values else f'{self.name} is {_listed(found, " and ")}']
        keys = [row['key'] for row in facts.rows.get('TransactionKeyValue', ()) if 'key' in row]
        others = _first(keys, 'its keys are', 'the first keys are')
        return [f'the event has no key-value {_as_json(self.name)}{others}']


@dataclass(frozen=True, repr=False)
class Files(Condition):
    patterns: tuple[str, ...]

    def __repr__(self) -> str:
        return f'files({_arguments(self.patterns)})'

    _expression = None  # a JSONPath has no patterns

    @cached_property
    def _compiled(self) -> Patterns:
        return Patterns(self.patterns)

    def _holds(self, facts: Facts) -> bool:
        return any(map(self._compiled.match, facts.paths))

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        found, wanted = list(filter(self._compiled.match, facts.paths)), ' or '.join(self.patterns)
        if found:
            return [f'{len(found)} of {len(facts.paths)} files match {wanted}, first {_cut(found[0])}']
        if not facts.paths:
            return ['the event has no files']
        return [f'no file matches {wanted}' + _first(facts.paths, 'there are', 'the first are')]


def _forms(value: Any) -> list[Any]:
    """Return *value* as a text and, if it is one, as a number.

    A JSONPath that compares with 0 or 1 holds for ``false`` and ``true`` as well, which are equal to Python.
    """
    if not isinstance(value, str):
        return [value, _as_json(value)]
    try:
        number = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    is_number = comparable(number) and not isinstance(number, str) and _as_json(number) == value
    return [value, number] if is_number and isfinite(number) else [value]


def _row(table: str, condition: str) -> str:
    return f'@["data"][*][?(@["destinationTable"] = {_as_json(table)} and {condition})]'


def comparable(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _arguments(values: Iterable[Any]) -> str:
    return ', '.join(map(repr, values))


def _listed(values: Iterable[Any], word: str) -> str:
    """Return different ones of *values*, some of them if there are many, in JSON."""
    texts = list(dict.fromkeys(_cut(_as_json(value)) for value in values))
    left = len(texts) - _SHOWN
    more = [f'{left} other{"s" if left > 1 else ""}'] if left > 0 else []
    return word.join([*texts[:_SHOWN], *more])


def _first(values: list[Any], few: str, many: str) -> str:
    """Go on a sentence with the first of *values*, if there are any."""
    if not values:
        return ''
    return f'; {few if len(values) <= _SHOWN else many} {", ".join(_cut(str(each)) for each in values[:_SHOWN])}'


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else f'{text[:_LENGTH]}…'
