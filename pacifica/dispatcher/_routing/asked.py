"""An event while routes are asked about it: what one route has found out, the next one need not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, TypeVar

_T = TypeVar('_T')

#: What a getter returns where there is no value: no member of that name, no element of that number.
MISSING = object()

#: The types of the values that rows can be grouped by.
SCALARS = frozenset({str, int, float, bool, NoneType})
_CONTAINERS = frozenset({dict, list})
#: The types that JSON is decoded to. Values of other types are asked as carefully as jsonpath2 asks all.
PLAIN = SCALARS | _CONTAINERS


class AskedEvent:
    """An event's JSON, the answers to tests that don't depend on a row, and its rows by what they hold.

    Kept by nobody longer than routes are asked: the event may change afterwards.
    """

    __slots__ = ('root', '_answers', '_groups', '_known')

    def __init__(self, root: Any) -> None:
        self.root = root
        self._answers: dict[str, bool] = {}
        self._known: Any = None
        # With its rows, so that no other list gets their id while this is kept.
        self._groups: dict[tuple[int, str], tuple[Sequence[Any], dict[Any, list[Any]] | None]] = {}

    def once(self, text: str, test: Callable[[AskedEvent, Any], bool]) -> bool:
        """Return what *test* says, asked at the first call for its *text* only."""
        answer = self._answers.get(text)
        if answer is None:
            answer = self._answers[text] = test(self, self.root)
        return answer

    def known(self, make: Callable[[Any], _T]) -> _T:
        """Return what *make*, the same at each call, makes of the event at the first one."""
        if self._known is None:
            self._known = make(self.root)
        known: _T = self._known
        return known

    def grouped(self, rows: Sequence[Any], text: str, get: Callable[[Any], Any]) -> dict[Any, list[Any]] | None:
        """Return *rows* by the value that *get* returns of each, whose JSONPath is *text*, in their order.

        Rows without one, and with one that equals no constant, are in no group. ``None`` if any has a value that is no
        JSON: what equals that is its own affair.
        """
        key = (id(rows), text)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = (rows, _grouped(rows, get))
        return found[1]


def _grouped(rows: Sequence[Any], get: Callable[[Any], Any]) -> dict[Any, list[Any]] | None:
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        value = get(row)
        if type(value) in SCALARS:
            group = groups.get(value)
            if group is None:
                groups[value] = [row]
            else:
                group.append(row)
        elif value is not MISSING and type(value) not in _CONTAINERS:
            return None
    return groups
