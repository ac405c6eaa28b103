"""What keeps a JSONPath from ever matching: found in the path alone, before there is an event to explain it by.

Said is what no event could satisfy, and what none of Pacifica Metadata's does: its ``data`` is an array of rows, of
tables whose fields are known. A path of another class is its author's affair.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from jsonpath2.expressions.operator import (
    AndVariadicOperatorExpression, BinaryOperatorExpression, EqualBinaryOperatorExpression,
)
from jsonpath2.expressions.some import SomeExpression
from jsonpath2.node import Node
from jsonpath2.nodes.current import CurrentNode
from jsonpath2.nodes.root import RootNode
from jsonpath2.nodes.subscript import SubscriptNode
from jsonpath2.nodes.terminal import TerminalNode
from jsonpath2.path import Path
from jsonpath2.subscripts.arrayindex import ArrayIndexSubscript
from jsonpath2.subscripts.arrayslice import ArraySliceSubscript
from jsonpath2.subscripts.filter import FilterSubscript
from jsonpath2.subscripts.objectindex import ObjectIndexSubscript
from jsonpath2.subscripts.wildcard import WildcardSubscript

from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue

_TABLE = 'destinationTable'
_FIELDS = {
    'Files': [_TABLE, *File.__annotations__],
    'TransactionKeyValue': [_TABLE, *TransactionKeyValue.__annotations__],
    **{f'Transactions.{name}': [_TABLE, 'value'] for name in Transaction.__annotations__},
}
_ANY_FIELD = frozenset(name for names in _FIELDS.values() for name in names)
# Where in an event a step starts. Of all other places nothing is known.
_EVENT, _DATA, _ROW = 'event', 'data', 'row'


class _Key(NamedTuple):
    """A comparison for equality with a constant: of which path."""

    text: str
    constant: Any


def why_never(path: Any) -> list[str]:
    """Return what keeps *path* from matching any event, each once; nothing of a path that may match."""
    if type(path) is not Path:
        return []
    return list(dict.fromkeys(_of_path(path.root_node, None)))


def _of_path(node: Any, place: str | None) -> Iterator[str]:
    """Yield what keeps a path from selecting anything that starts at *place*, if that is where ``@`` is."""
    step, place = node.next_node, _EVENT if isinstance(node, RootNode) else place
    walked = '$' if isinstance(node, RootNode) else '@'
    while type(step) is SubscriptNode and len(step.subscripts) == 1:
        [subscript] = step.subscripts
        if isinstance(subscript, FilterSubscript):
            parts = _required(subscript.expression)
            names = {name for part in parts for operand in _operands(part) for name in _member(operand)}
            if place == _DATA and names & _ANY_FIELD:
                yield _not_asked(walked, f'[?({subscript.expression.tojsonpath()})]')
                return
            yield from _of_parts(parts, place)
        elif place == _DATA and isinstance(subscript, ObjectIndexSubscript) and subscript.index in _ANY_FIELD:
            yield _not_asked(walked, f'[{json.dumps(subscript.index)}]')
        place = _next(subscript, place)
        walked += f'[{"".join(subscript.__jsonpath__())}]'
        step = step.next_node


def _not_asked(walked: str, rest: str) -> str:
    return f'{walked} is an array, and what is asked is a field of its elements: write {walked}[*]{rest}'


def _next(subscript: Any, place: str | None) -> str | None:
    if isinstance(subscript, FilterSubscript):
        return place
    if place == _EVENT and isinstance(subscript, ObjectIndexSubscript) and subscript.index == 'data':
        return _DATA
    if place == _DATA and isinstance(subscript, (ArrayIndexSubscript, ArraySliceSubscript, WildcardSubscript)):
        return _ROW
    return None


def _required(expression: Any) -> list[Any]:
    """Return the parts of a filter without any of which it can't be true."""
    if isinstance(expression, AndVariadicOperatorExpression):
        return [part for each in expression.expressions for part in _required(each)]
    return [expression] if isinstance(expression, (BinaryOperatorExpression, SomeExpression)) else []


def _operands(part: Any) -> list[Any]:
    if isinstance(part, SomeExpression):
        return [part.next_node_or_value]
    return [part.left_node_or_value, part.right_node_or_value]


def _member(operand: Any) -> list[str]:
    """Return the name of the member of ``@`` that *operand* asks for."""
    step = operand.next_node if isinstance(operand, CurrentNode) else None
    subscripts = step.subscripts if isinstance(step, SubscriptNode) else []
    return [subscripts[0].index] if len(subscripts) == 1 and isinstance(subscripts[0], ObjectIndexSubscript) else []


def _of_parts(parts: list[Any], place: str | None) -> Iterator[str]:
    """Yield what keeps the parts of a filter, which are all to be true, from being so together."""
    keys: dict[str, _Key] = {}
    for part in parts:
        operands = _operands(part)
        for operand in operands:
            if isinstance(operand, (CurrentNode, RootNode)):
                yield from _of_path(operand, place)
        constants = [each for each in operands if not isinstance(each, Node)]
        if getattr(part, 'token', '') in ('<', '<=', '>', '>=') and not all(map(_is_number, constants)):
            yield f'{part.tojsonpath()} is never true: {part.token} compares numbers only'
        for key in _keys(part):
            other = keys.setdefault(key.text, key)
            if other.constant != key.constant:
                yield (f'{key.text} can\'t be {json.dumps(other.constant)} and {json.dumps(key.constant)}: '
                       'what holds for different rows is in different filters')
    if place == _ROW:
        yield from _of_row(parts, keys.get(f'@["{_TABLE}"]'))


def _is_number(constant: Any) -> bool:
    return isinstance(constant, (int, float))


def _keys(part: Any) -> Iterator[_Key]:
    """Yield the comparison that *part* is, if it is with a constant, of a member of ``@``."""
    if isinstance(part, EqualBinaryOperatorExpression):
        for node, constant in (_operands(part), reversed(_operands(part))):
            if not isinstance(constant, Node) and _member(node) and isinstance(node.next_node.next_node, TerminalNode):
                yield _Key(node.tojsonpath(), constant)


def _of_row(parts: list[Any], table: _Key | None) -> Iterator[str]:
    """Yield what no row of a table has."""
    if table is None:
        return
    fields = _FIELDS.get(table.constant) if isinstance(table.constant, str) else None
    if fields is None:
        yield f'no row has the {_TABLE} {json.dumps(table.constant)}{_like(table.constant, list(_FIELDS))}'
        return
    for name in dict.fromkeys(name for part in parts for operand in _operands(part) for name in _member(operand)):
        if name not in fields:
            yield f'a row of {table.constant} has no field {json.dumps(name)}{_like(name, fields)}'


def _like(name: Any, names: list[str]) -> str:
    """Return which of *names* may have been meant, or all of them."""
    like = difflib.get_close_matches(str(name), names, 1)
    return f': write {json.dumps(like[0])}' if like else f': it is one of {", ".join(names)}'
