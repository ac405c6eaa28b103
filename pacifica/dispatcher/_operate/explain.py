"""Why a JSONPath matches an event or doesn't: which step selects nothing, which part of a filter is false, for what.

The verdict is always jsonpath2's own; only its reasons are found here, by walking the path's steps and the parts of its
filters. What is not known here is said to select nothing, or to be false, without a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jsonpath2.expressions.operator import (
    AndVariadicOperatorExpression, BinaryOperatorExpression, NotUnaryOperatorExpression, OrVariadicOperatorExpression,
)
from jsonpath2.expressions.some import SomeExpression
from jsonpath2.node import Node
from jsonpath2.nodes.current import CurrentNode
from jsonpath2.nodes.recursivedescent import RecursiveDescentNode
from jsonpath2.nodes.root import RootNode
from jsonpath2.nodes.subscript import SubscriptNode
from jsonpath2.path import Path
from jsonpath2.subscripts.arrayindex import ArrayIndexSubscript
from jsonpath2.subscripts.filter import FilterSubscript
from jsonpath2.subscripts.objectindex import ObjectIndexSubscript

from pacifica.dispatcher._routing.subscripts import descendants
from pacifica.dispatcher.conditions import Condition

_ORDERING = ('<', '<=', '>', '>=')
# How much of values is shown: so many, so many names of members, so many characters.
_VALUES = 3
_NAMES = 12
_LENGTH = 60


class _Side(NamedTuple):
    """What one side of a comparison selects, and why, if that is nothing."""

    path: str
    values: tuple[str, ...]
    why_nothing: str = ''


class _Reason(NamedTuple):
    """A part of a filter that decides it: whether it holds, what its paths select, and what else there is to know."""

    part: str
    holds: bool
    sides: tuple[_Side, ...] = ()
    note: str = ''


def explain(path: Any, event: dict[str, Any]) -> list[str]:
    """Return why *path* matches *event* or doesn't, in lines of which the first says what and the others why."""
    if not isinstance(path, Path):
        return ['it is no jsonpath2.path.Path, so there is no more to say']
    if isinstance(path, Condition):
        return path.explain(event, explain)
    matches = list(path.match(event))
    if not matches:
        return _dead_end(path.root_node, event, event) or ['it selects nothing']
    first = f'{matches[0].node.tojsonpath()}, which is {_shown(matches[0].current_value)}'
    return [
        f'selects {first}' if len(matches) == 1 else f'selects {len(matches)} values, first {first}',
        *(line for step in _walk(path.root_node, event, event) for line in _why_selected(step, event)),
    ]


class _Step(NamedTuple):
    """A step of a path: what is selected before it and by it."""

    walked: str
    values: list[Any]
    subscripts: Sequence[Any]
    selected: list[Any]


def _walk(node: Any, root: Any, current: Any) -> Iterator[_Step]:
    """Yield the steps of a path, until one selects nothing, or is of a kind that is not known here."""
    walked, values = ('$', [root]) if isinstance(node, RootNode) else ('@', [current])
    step = node.next_node
    while values:
        if isinstance(step, RecursiveDescentNode):
            values = [each for value in values for each in descendants(value)]
            walked += '..'
            step = step.next_node
        if not isinstance(step, SubscriptNode):
            return
        selected = [found.current_value for value in values for each in step.subscripts
                    for found in each.match(root, value)]
        yield _Step(walked, values, step.subscripts, selected)
        values = selected
        walked += f'[{",".join("".join(each.__jsonpath__()) for each in step.subscripts)}]'
        step = step.next_node


def _dead_end(node: Any, root: Any, current: Any) -> list[str]:
    """Return which step of a path selects nothing and why, of one whose steps together select nothing."""
    return [
        line for step in _walk(node, root, current) if not step.selected
        for each in step.subscripts for line in _why_nothing(each, root, step.walked, step.values)
    ]


def _why_selected(step: _Step, root: Any) -> Iterator[str]:
    """Yield which parts of the filters of *step* are true, for what."""
    for subscript in step.subscripts:
        if isinstance(subscript, FilterSubscript):
            satisfying = [value for value in step.values if subscript.expression.evaluate(root, value)]
            if len(step.values) > 1:
                yield (f'{len(satisfying)} of the {len(step.values)} values at {step.walked} '
                       f'satisfy ?({_text(subscript.expression)})')
            yield from _parts(subscript.expression, root, satisfying)


def _why_nothing(subscript: Any, root: Any, walked: str, values: Sequence[Any]) -> list[str]:
    """Return why *subscript* selects nothing in any of *values*, which *walked* selects."""
    if isinstance(subscript, FilterSubscript):
        return _why_filtered(subscript.expression, root, walked, values)
    subject = _none(root, walked, values, 'has no', 'has a')
    if isinstance(subscript, ObjectIndexSubscript):
        return [f'{subject} member {json.dumps(subscript.index)}: {_members(values)}']
    if isinstance(subscript, ArrayIndexSubscript):
        return [f'{subject} element {subscript.index}: {_kinds(values)}']
    return [f'[{"".join(subscript.__jsonpath__())}] selects nothing in {walked}: {_kinds(values)}']


def _why_filtered(expression: Any, root: Any, walked: str, values: Sequence[Any]) -> list[str]:
    """Return which parts of a filter are false, and for how many of *values*, none of which satisfies it."""
    first = _none(root, walked, values, 'doesn\'t satisfy', 'satisfies') + f' ?({_text(expression)})'
    if len(values) == 1 and isinstance(values[0], list):
        first += f': it is an array, itself asked, not its {len(values[0])} elements: those are {walked}[*]'
    return [first, *_parts(expression, root, values)]


def _parts(expression: Any, root: Any, values: Sequence[Any]) -> list[str]:
    """Return the parts of a filter that make it what it is for *values*: true for all of them, or false."""
    found: dict[tuple[str, bool, str], list[_Reason]] = {}
    for value in values:
        for reason in dict.fromkeys(_reasons(expression, root, value)):
            found.setdefault((reason.part, reason.holds, reason.note), []).append(reason)
    return [_line(reasons, len(values)) for reasons in found.values()]


def _line(reasons: Sequence[_Reason], count: int) -> str:
    """Return what *reasons*, which are for one part and for some of *count* values, say together."""
    part, holds, _, note = reasons[0]
    of = '' if count == 1 else f' for {"all" if len(reasons) == count else len(reasons)} of them'
    sides = [_together(sides) for sides in zip(*(reason.sides for reason in reasons), strict=True)]
    return f'{part} is {"true" if holds else "false"}{of}: {"; ".join(filter(None, [*sides, note]))}'


def _together(sides: Sequence[_Side]) -> str:
    """Return what one side of a comparison selects in different values."""
    path, values = sides[0].path, [value for side in sides for value in side.values]
    nothing = sum(not side.values for side in sides)
    if nothing == len(sides):
        return sides[0].why_nothing if len(sides) == 1 and sides[0].why_nothing else f'{path} selects nothing'
    return f'{path} is {_several(values)}' + (f', and selects nothing for {nothing} of these' if nothing else '')


def _reasons(expression: Any, root: Any, current: Any) -> Iterator[_Reason]:
    """Yield the parts of *expression* that make it what it is for *current*: true or false."""
    holds = bool(expression.evaluate(root, current))
    if isinstance(expression, (AndVariadicOperatorExpression, OrVariadicOperatorExpression)):
        for each in expression.expressions:
            if bool(each.evaluate(root, current)) is holds:
                yield from _reasons(each, root, current)
    elif isinstance(expression, NotUnaryOperatorExpression):
        yield from _reasons(expression.expression, root, current)
    elif isinstance(expression, BinaryOperatorExpression):
        operands = (expression.left_node_or_value, expression.right_node_or_value)
        sides = tuple(_side(each, root, current) for each in operands if isinstance(each, Node))
        note = '' if sides else 'it compares constants'
        if expression.token in _ORDERING and not all(_may_be_ordered(each, root, current) for each in operands):
            note = f'{expression.token} compares numbers only'
        yield _Reason(_text(expression), holds, sides, note)
    elif isinstance(expression, SomeExpression) and isinstance(expression.next_node_or_value, Node):
        yield _Reason(_text(expression), holds, (_side(expression.next_node_or_value, root, current),))
    else:
        known = 'it is a constant' if isinstance(expression, SomeExpression) else ''
        yield _Reason(_text(expression), holds, (), known or f'it evaluates to {"something" if holds else "nothing"}')


def _values(side: Any, root: Any, current: Any) -> list[Any]:
    return [found.current_value for found in side.match(root, current)] if isinstance(side, Node) else [side]


def _may_be_ordered(side: Any, root: Any, current: Any) -> bool:
    """Return whether an ordering can hold for what *side* selects; nothing selected has a reason of its own."""
    values = _values(side, root, current)
    return not values or any(isinstance(value, (int, float)) for value in values)


def _side(operand: Any, root: Any, current: Any) -> _Side:
    values = tuple(_shown(value) for value in _values(operand, root, current))
    why = [] if values or not isinstance(operand, (CurrentNode, RootNode)) else _dead_end(operand, root, current)
    return _Side(_text(operand), values, '; '.join(why))


def _none(root: Any, walked: str, values: Sequence[Any], one: str, many: str) -> str:
    """Begin a sentence on what none of *values* does; its verb is *one* or *many*."""
    if len(values) > 1:
        return f'none of the {len(values)} values at {walked} {many}'
    return f'{"the event" if values[0] is root else walked} {one}'


def _text(node: Any) -> str:
    return str(node.tojsonpath())


def _shown(value: Any) -> str:
    """Return *value* as JSON if that is short, its beginning if it is a long string, else what it is."""
    if isinstance(value, (dict, list)) and len(value) > 1:
        return _kind(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LENGTH else f'{text[:_LENGTH]}…'


def _several(texts: Iterable[str]) -> str:
    """Return the different ones of *texts*, some of them if there are many."""
    different = list(dict.fromkeys(texts))
    more = len(different) - _VALUES
    if more <= 1:
        return ' or '.join(different)
    return ' or '.join([*different[:_VALUES], f'{more} others'])


def _members(values: Sequence[Any]) -> str:
    """Return which members *values* have, or what they are if they are no objects."""
    names = list(dict.fromkeys(name for value in values if isinstance(value, dict) for name in value))
    if not names:
        return _kinds(values)
    some = ', '.join(json.dumps(name, ensure_ascii=False) for name in names[:_NAMES])
    return f'{"it has" if len(values) == 1 else "they have"} {some}{", …" if len(names) > _NAMES else ""}'


def _kinds(values: Sequence[Any]) -> str:
    """Return what *values* are: ``it is an array of 3 elements``, ``they are strings or objects``."""
    if len(values) == 1:
        return f'it is {_kind(values[0])}'
    return f'they are {_several(_plural(value) for value in values)}'


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f'an object of {len(value)} members'
    if isinstance(value, list):
        return f'an array of {len(value)} elements'
    return _shown(value)


def _plural(value: Any) -> str:
    names = {dict: 'objects', list: 'arrays', str: 'strings', int: 'numbers', float: 'numbers'}
    return names.get(type(value)) or _shown(value)
