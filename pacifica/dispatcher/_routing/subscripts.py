"""What each kind of subscript selects in a value: jsonpath2's answers, without its record of how each was found.

A subscript that selects one value at most is a *getter*, which returns it or
:data:`~pacifica.dispatcher._routing.asked.MISSING`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonpath2.subscripts.arrayindex import ArrayIndexSubscript
from jsonpath2.subscripts.arrayslice import ArraySliceSubscript
from jsonpath2.subscripts.callable import (
    CharAtCallableSubscript, EntriesCallableSubscript, KeysCallableSubscript, LengthCallableSubscript,
    SubstringCallableSubscript, ValuesCallableSubscript,
)
from jsonpath2.subscripts.objectindex import ObjectIndexSubscript

from pacifica.dispatcher._routing.asked import MISSING, PLAIN

Getter = Callable[[Any], Any]


class NotCompiledError(Exception):
    """A path has something whose meaning is not known here: jsonpath2 itself is asked."""


def is_object(value: Any) -> bool:
    """Return whether *value* has members."""
    return type(value) is dict or (type(value) not in PLAIN and isinstance(value, Mapping))


def is_array(value: Any) -> bool:
    """Return whether *value* has elements; a string has none."""
    return type(value) is list or (
        type(value) not in PLAIN and isinstance(value, Sequence) and not isinstance(value, str))


def children(value: Any) -> Sequence[Any]:
    """Return the values of the members or the elements of *value*."""
    if is_object(value):
        return [value[name] for name in value]
    return value if is_array(value) else ()


def descendants(value: Any) -> Iterator[Any]:
    """Yield *value* and all that is in it, the outer before the inner."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        yield found
        if type(found) is not str:
            waiting.extend(reversed([*children(found)]))


def is_json(constant: Any) -> bool:
    """Return whether *constant* is JSON, so that it equals what its text says."""
    if type(constant) is dict:
        return all(type(name) is str and is_json(value) for name, value in constant.items())
    if type(constant) is list:
        return all(map(is_json, constant))
    return type(constant) in PLAIN


def member_or_element(index: Any, value: Any) -> Any:
    """Return the member of *value* of this name, or its element of this number; of other indexes nothing."""
    if isinstance(index, int):
        return _element(index, value)
    return member(index)(value) if isinstance(index, str) else MISSING


def member(name: str) -> Getter:
    """Return the getter of a member."""
    def get(value: Any) -> Any:
        if type(value) is dict:
            return value.get(name, MISSING)
        return value[name] if is_object(value) and name in value else MISSING
    return get


def _element(index: int, value: Any) -> Any:
    return value[index] if is_array(value) and -len(value) <= index < len(value) else MISSING


def elements(subscript: ArraySliceSubscript) -> Callable[[Any], Iterable[Any]]:
    """Return what selects the elements of a slice.

    They are not Python's where a number is negative: a start before the first element is the first, and with a negative
    step the default start is the first element as well, and indexes below 0 count from the end once more.
    """
    start, end, step = subscript.start, subscript.end, subscript.step
    if {type(start), type(end), type(step)} - {int, type(None)} or step == 0:  # which jsonpath2 raises an error for
        raise NotCompiledError()
    stride = 1 if step is None else step

    def select(value: Any) -> Iterable[Any]:
        if not is_array(value):
            return
        size = len(value)
        first = 0 if start is None else start if start >= 0 else max(start + size, 0)
        last = size if end is None else end if end >= 0 else end + size
        for index in range(first, last if stride < 0 else min(last, size), stride):
            if -size <= index < size:
                yield value[index]
    return select


def _char_at(value: Any, *args: Any) -> Any:
    if isinstance(value, str) and len(args) == 1 and isinstance(args[0], int):
        try:
            return value[args[0]]
        except IndexError:
            pass
    return MISSING


def _substring(value: Any, *args: Any) -> Any:
    if isinstance(value, str) and len(args) in (1, 2) and all(isinstance(each, int) for each in args):
        return value[args[0]:args[1] if len(args) == 2 else None]
    return MISSING


def _length(value: Any, *args: Any) -> Any:
    return len(value) if not args and (is_array(value) or isinstance(value, str)) else MISSING


def _keys(value: Any, *args: Any) -> Any:
    if not args and is_object(value):
        return list(value)
    return list(range(len(value))) if not args and is_array(value) else MISSING


def _values(value: Any, *args: Any) -> Any:
    if not args and is_object(value):
        return list(value.values())
    return value if not args and is_array(value) else MISSING


def _entries(value: Any, *args: Any) -> Any:
    if not args and is_object(value):
        return [list(pair) for pair in value.items()]
    return [list(pair) for pair in enumerate(value)] if not args and is_array(value) else MISSING


#: The functions by the kind of their subscript: called with a value and the arguments.
FUNCTIONS: dict[type, Callable[..., Any]] = {
    CharAtCallableSubscript: _char_at,
    EntriesCallableSubscript: _entries,
    KeysCallableSubscript: _keys,
    LengthCallableSubscript: _length,
    SubstringCallableSubscript: _substring,
    ValuesCallableSubscript: _values,
}


def getter(subscript: Any) -> Getter | None:
    """Return the getter of a subscript that selects one value at most, whatever else is in the event."""
    if type(subscript) is ObjectIndexSubscript and type(subscript.index) is str:
        return member(subscript.index)
    if type(subscript) is ArrayIndexSubscript and type(subscript.index) is int:
        index = subscript.index
        return lambda value: _element(index, value)
    function = FUNCTIONS.get(type(subscript))
    if function is not None and all(map(is_json, subscript.args)):
        args = subscript.args
        return lambda value: function(value, *args)
    return None
