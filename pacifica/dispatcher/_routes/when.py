"""``when`` and ``jsonpath`` of a route → the condition of its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from pacifica.dispatcher._routes.checking import Fault
from pacifica.dispatcher._routes.lines import Where
from pacifica.dispatcher._routes.values import NotTexts, NotValues, RouteTable, When
from pacifica.dispatcher._routing import parse
from pacifica.dispatcher.conditions import Condition, event_type, files, instrument, key_value, project, submitter
from pacifica.dispatcher.exceptions import ConfigurationError

if TYPE_CHECKING:
    from jsonpath2.path import Path

_KINDS: dict[str, Callable[..., Condition]] = {
    'type': event_type, 'project': project, 'instrument': instrument, 'submitter': submitter, 'files': files,
}


def path_of(route: RouteTable, where: Where, faults: list[Fault]) -> Path:
    """Return what the events of *route* match; what is wrong is added to *faults*."""
    parts: list[Path] = [] if route.when is None else _conditions(route.when, (*where, 'when'), faults)
    if route.jsonpath is not None:
        try:
            parts.append(parse(route.jsonpath))
        except ConfigurationError as exc:
            faults.append(Fault((*where, 'jsonpath'), str(exc)))
    return reduce(and_, parts) if parts else parse('$')


def _conditions(when: When, where: Where, faults: list[Fault]) -> list[Path]:
    found: list[Path] = []
    for key, make in _makers(when):
        try:
            found.append(make())
        except ConfigurationError as exc:
            faults.append(Fault((*where, *key), str(exc)))
    if when.not_ is not None and (denied := _conditions(when.not_, (*where, 'not'), faults)):
        found.append(~reduce(and_, denied))
    if when.any is not None:
        alternatives = [_conditions(each, (*where, 'any', number), faults) for number, each in enumerate(when.any)]
        if not alternatives or not all(alternatives):
            faults.append(Fault((*where, 'any'), 'any needs alternatives with something in each: { type = "…" }'))
        else:
            found.append(reduce(or_, [reduce(and_, each) for each in alternatives]))
    return found


def _makers(when: When) -> Iterator[tuple[Where, Callable[[], Condition]]]:
    """Yield what makes each condition, and where it is said."""
    for name, make in _KINDS.items():
        if (value := getattr(when, name)) is not None:
            yield (name,), partial(_condition, make, value)
    if isinstance(when.key_values, dict):
        for key, value in when.key_values.items():
            yield ('key_values', key), partial(_condition, partial(_pair, key), value)
    for number, key in enumerate(when.key_values if isinstance(when.key_values, list) else ()):
        yield ('key_values', number), partial(key_value, key)


def _condition(make: Callable[..., Condition], value: Any) -> Condition:
    if isinstance(value, (NotTexts, NotValues)):
        return ~_condition(make, value.values)
    return make(*(value if isinstance(value, list) else [value]))


def _pair(key: str, *values: Any) -> Condition:
    if not values:
        raise ConfigurationError(f'a list without values: for any value write key_values = ["{key}"]')
    return key_value(key, *values)
