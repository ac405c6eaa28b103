"""Paths and events at random: whatever jsonpath2 can be asked, of whatever an event's dict may hold.

All choices are numbers on a tape, so that one that fails can be made smaller: shorter, and with lower numbers, which
stand for simpler things. Hypothesis does so too, but mostly tries the simplest things again: 313 of its 1,600 paths
were different ones. Here a path is to select something, and something that took an index to find.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from jsonpath2.expressions.operator import (
    AndVariadicOperatorExpression, EqualBinaryOperatorExpression, GreaterThanBinaryOperatorExpression,
    GreaterThanOrEqualToBinaryOperatorExpression, LessThanBinaryOperatorExpression,
    LessThanOrEqualToBinaryOperatorExpression, NotEqualBinaryOperatorExpression, NotUnaryOperatorExpression,
    OrVariadicOperatorExpression,
)
from jsonpath2.expressions.some import SomeExpression
from jsonpath2.nodes.current import CurrentNode
from jsonpath2.nodes.recursivedescent import RecursiveDescentNode
from jsonpath2.nodes.root import RootNode
from jsonpath2.nodes.subscript import SubscriptNode
from jsonpath2.nodes.terminal import TerminalNode
from jsonpath2.path import Path
from jsonpath2.subscripts.arrayindex import ArrayIndexSubscript
from jsonpath2.subscripts.arrayslice import ArraySliceSubscript
from jsonpath2.subscripts.callable import CallableSubscript
from jsonpath2.subscripts.filter import FilterSubscript
from jsonpath2.subscripts.node import NodeSubscript
from jsonpath2.subscripts.objectindex import ObjectIndexSubscript
from jsonpath2.subscripts.wildcard import WildcardSubscript


class Text(str):
    """A string that is not quite one."""


NAN = float('nan')
# Few of all, so that what a path asks for is often there.
_NAMES = ['key', 'value', 'data']
_SCALARS = ['a', 'a', 'ab', 'key', 1, True, 1.0, 0, None, 2.5]
_CONSTANTS = [*_SCALARS, [], {}, ['a'], {'key': 1}, NAN]
_STRANGE = [NAN, (1, 'a'), b'ab', Text('a'), Text('key'), MappingProxyType({'key': 'a'}), {'data': {'key': ['ab']}}]
_NUMBERS = [0, 1, -1, 2, -2, 3, -3, True]
_OPTIONAL = [None, *_NUMBERS[:-1], -9, 9]
_FUNCTIONS = sorted(CallableSubscript.__subclasses__(), key=lambda each: str(each.__str__))
_COMPARISONS = [
    EqualBinaryOperatorExpression, NotEqualBinaryOperatorExpression, LessThanBinaryOperatorExpression,
    LessThanOrEqualToBinaryOperatorExpression, GreaterThanBinaryOperatorExpression,
    GreaterThanOrEqualToBinaryOperatorExpression,
]


class Tape:
    """Choices: those that are recorded, and then those of *source*, or without one the simplest."""

    def __init__(self, recorded: Sequence[int] = (), source: random.Random | None = None) -> None:
        self._recorded = recorded
        self._source = source
        self.choices: list[int] = []

    def below(self, limit: int) -> int:
        """Return a number less than *limit*."""
        at = len(self.choices)
        if at < len(self._recorded):
            choice = min(self._recorded[at], limit - 1)
        else:
            choice = self._source.randrange(limit) if self._source else 0
        self.choices.append(choice)
        return choice

    def one(self, options: Sequence[Any]) -> Any:
        """Return one of *options*."""
        return options[self.below(len(options))]

    def several(self, most: int, make: Callable[[], Any], least: int = 0) -> list[Any]:
        """Return what *make* returns, *least* to *most* times."""
        return [make() for _ in range(least + self.below(most - least + 1))]


def smaller(choices: Sequence[int], fails: Callable[[Tape], bool]) -> list[int]:
    """Return the choices that fail still when none of them is left out or lowered."""
    best, found = list(choices), True
    while found:
        shorter = [best[:at] + best[at + size:] for size in (64, 16, 4, 2, 1) for at in range(0, len(best), size)]
        lower = [best[:at] + [less] + best[at + 1:] for at, each in enumerate(best) for less in {0, each // 2} - {each}]
        found = False
        for candidate in [*shorter, *lower]:
            tape = Tape(candidate)
            if fails(tape) and (len(tape.choices), tape.choices) < (len(best), best):
                best, found = tape.choices, True
                break
    return best


def path_from(tape: Tape) -> Path:
    """Return a path of any of jsonpath2's nodes, those that routes have more often."""
    return Path(_node(tape, 3, RootNode))


def _node(tape: Tape, depth: int, anchor: Any) -> Any:
    node: Any = TerminalNode()
    for _ in range(tape.one([1, 0, 2, 3] if depth else [1, 0])):
        kind = tape.one(['name', 'name', 'search', 'search', 'search', 'one', 'one', 'some', 'descend'])
        if kind == 'name':
            node = SubscriptNode(node, [ObjectIndexSubscript(tape.one(_NAMES))])
        elif kind == 'search' and depth:
            node = SubscriptNode(node, [FilterSubscript(_expression(tape, depth - 1))])
            node = SubscriptNode(node, [WildcardSubscript()])
        else:
            most = 3 if kind == 'some' else 1
            node = SubscriptNode(node, tape.several(most, lambda: _subscript(tape, max(depth - 1, 0)), 1))
        if kind == 'descend':
            node = RecursiveDescentNode(node)
    if anchor is RootNode and tape.below(4) != 3:  # as most routes begin
        if depth and tape.below(2):
            node = SubscriptNode(node, [FilterSubscript(_expression(tape, depth - 1))])
            node = SubscriptNode(node, [WildcardSubscript()])
        node = SubscriptNode(node, [ObjectIndexSubscript('data')])
    return anchor(node)


def _subscript(tape: Tape, depth: int) -> Any:
    kind = tape.one(['name', 'element', 'slice', 'all', 'function', *(['node', 'filter', 'filter'] if depth else [])])
    if kind == 'name':
        return ObjectIndexSubscript(tape.one(_NAMES))
    if kind == 'element':
        return ArrayIndexSubscript(tape.one(_NUMBERS))
    if kind == 'slice':
        return ArraySliceSubscript(tape.one(_OPTIONAL), tape.one(_OPTIONAL), tape.one(_OPTIONAL))
    if kind == 'all':
        return WildcardSubscript()
    if kind == 'function':
        return tape.one(_FUNCTIONS)(*tape.several(2, lambda: _argument(tape, depth)))
    return (NodeSubscript(_node(tape, depth - 1, tape.one([CurrentNode, RootNode]))) if kind == 'node'
            else FilterSubscript(_expression(tape, depth - 1)))


def _argument(tape: Tape, depth: int) -> Any:
    return _operand(tape, depth) if tape.below(4) == 3 else tape.one(_NUMBERS)


def _operand(tape: Tape, depth: int) -> Any:
    if depth and tape.below(3) != 2:
        return _node(tape, depth - 1, tape.one([CurrentNode, CurrentNode, RootNode]))
    return tape.one(_CONSTANTS)


def _expression(tape: Tape, depth: int) -> Any:
    kind = tape.one(['key', 'key', 'keys', *(['compare', 'compare', 'some', 'not', 'and', 'or'] if depth else [])])
    if kind == 'key':
        return _key(tape, depth)
    if kind == 'keys':
        return AndVariadicOperatorExpression(tape.several(3, lambda: _key(tape, depth), 1))
    if kind == 'compare':
        return tape.one(_COMPARISONS)(_operand(tape, depth), _operand(tape, depth))
    if kind == 'some':
        return SomeExpression(_operand(tape, depth))
    if kind == 'not':
        return NotUnaryOperatorExpression(_expression(tape, depth - 1))
    several = AndVariadicOperatorExpression if kind == 'and' else OrVariadicOperatorExpression
    return several(tape.several(3, lambda: _expression(tape, depth - 1)))


def _key(tape: Tape, depth: int) -> Any:
    """Return a comparison as routes have them, and as an index answers it: a member, or more, equals a constant."""
    steps: Any = TerminalNode()
    for _ in range(tape.one([0, 0, 1])):
        steps = SubscriptNode(steps, [_subscript(tape, depth)])
    sides = CurrentNode(SubscriptNode(steps, [ObjectIndexSubscript(tape.one(_NAMES))])), tape.one(_CONSTANTS)
    return EqualBinaryOperatorExpression(*(sides if tape.below(4) else reversed(sides)))


def event_from(tape: Tape) -> dict[str, Any]:
    """Return an event: most with rows, some with what no event of Pacifica's has."""
    members = {tape.one(_NAMES): _leaf(tape) for _ in range(tape.below(3))}
    rows = tape.several(7, lambda: _row(tape), 1) if tape.below(6) else _row(tape)
    return {**members, 'data': rows}


def _row(tape: Tape) -> Any:
    return {tape.one(_NAMES): _leaf(tape) for _ in range(1 + tape.below(4))} if tape.below(9) else _leaf(tape)


def _leaf(tape: Tape) -> Any:
    kind = tape.below(12)
    if kind < 9:
        return tape.one(_SCALARS)
    return tape.several(3, lambda: tape.one(_SCALARS)) if kind < 11 else tape.one(_STRANGE)
