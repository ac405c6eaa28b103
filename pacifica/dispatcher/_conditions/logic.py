"""The condition that all are, and those that combine others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsonpath2.node import MatchData
from jsonpath2.nodes.root import RootNode
from jsonpath2.nodes.terminal import TerminalNode
from jsonpath2.path import Path

from pacifica.dispatcher._conditions.facts import Facts
from pacifica.dispatcher._routing import AskedEvent

#: Explains a path that is no condition to whoever asks; returns lines.
Explain = Callable[[Path, Any], list[str]]


class Condition(Path):  # type: ignore[misc]  # jsonpath2 has no type information
    """What an event must be like; made by the functions of this module, combined by ``&``, ``|`` and ``~``.

    Conditions that are alike are equal, and can be pickled.
    """

    # Not calling Path.__init__: the root node is made when somebody asks for it, and most matches need none.
    @cached_property
    def root_node(self) -> RootNode:
        """The parsed JSONPath of this condition, or one that asks it if there is none."""
        if self._expression is None:
            return _AskingNode(self)
        return Path.parse_str(str(self)).root_node

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without what was made of them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def asked(self, event: AskedEvent, _current: Any) -> bool:
        """Return whether the condition holds for an event that other routes are asked about too."""
        return self._holds(event.known(Facts))

    def match(self, root_value: Any) -> Iterator[MatchData]:
        """Yield the event, if the condition holds for it."""
        if self._holds(Facts(root_value)):
            yield MatchData(RootNode(TerminalNode()), root_value, root_value)

    def explain(self, event: Any, explain: Explain) -> list[str]:
        """Return why the condition holds for *event* or doesn't.

        :param explain: does so for paths that are no conditions.
        """
        return self._why(Facts(event), explain)

    def __str__(self) -> str:
        return repr(self) if self._expression is None else f'$[?({self._expression})]'

    def __and__(self, other: object) -> Condition:
        return _combined(All, self, other) if isinstance(other, Path) else NotImplemented

    def __rand__(self, other: object) -> Condition:
        return _combined(All, other, self) if isinstance(other, Path) else NotImplemented

    def __or__(self, other: object) -> Condition:
        return _combined(AnyOf, self, other) if isinstance(other, Path) else NotImplemented

    def __ror__(self, other: object) -> Condition:
        return _combined(AnyOf, other, self) if isinstance(other, Path) else NotImplemented

    def __invert__(self) -> Condition:
        return Not(self)

    @property
    @abstractmethod
    def _expression(self) -> str | None:
        """What a filter of the whole event would say; ``None`` if no JSONPath can say it."""

    @abstractmethod
    def _holds(self, facts: Facts) -> bool: ...

    @abstractmethod
    def _why(self, facts: Facts, explain: Explain) -> list[str]: ...


def _combined(kind: type[Several], *paths: Path) -> Condition:
    """Return *paths* combined, with the parts of those that are of that *kind* in their place."""
    parts: list[Condition] = []
    for path in paths:
        parts += path.parts if isinstance(path, kind) else [path if isinstance(path, Condition) else Given(path)]
    return kind(tuple(parts))


class _AskingNode(RootNode):  # type: ignore[misc]  # jsonpath2 has no type information
    """The root node of a condition that no JSONPath can say."""

    def __init__(self, condition: Condition) -> None:
        super().__init__(TerminalNode())
        self.condition = condition

    def match(self, root_value: Any, current_value: Any) -> Iterator[MatchData]:
        return self.condition.match(root_value)

    def __jsonpath__(self) -> Iterator[str]:
        yield str(self.condition)


@dataclass(frozen=True)
class Several(Condition):
    """Conditions that are combined."""

    parts: tuple[Condition, ...]

    def __repr__(self) -> str:
        return f' {self._operator} '.join(
            f'({part!r})' if isinstance(part, Several) else repr(part) for part in self.parts)

    @property
    def _expression(self) -> str | None:
        expressions = [part._expression for part in self.parts]
        return f' {self._word} '.join(f'({each})' for each in expressions) if None not in expressions else None

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        holds = self._holds(facts)  # because of the parts that do, or doesn't because of those that don't
        return [line for part in self.parts if part._holds(facts) is holds for line in part._why(facts, explain)]

    _operator = _word = ''


@dataclass(frozen=True, repr=False)
class All(Several):
    _operator, _word = '&', 'and'

    def _holds(self, facts: Facts) -> bool:
        return all(part._holds(facts) for part in self.parts)


@dataclass(frozen=True, repr=False)
class AnyOf(Several):
    _operator, _word = '|', 'or'

    def _holds(self, facts: Facts) -> bool:
        return any(part._holds(facts) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Not(Condition):
    part: Condition

    def __repr__(self) -> str:
        return f'~({self.part!r})' if isinstance(self.part, Several) else f'~{self.part!r}'

    @property
    def _expression(self) -> str | None:
        return None if self.part._expression is None else f'not ({self.part._expression})'

    def _holds(self, facts: Facts) -> bool:
        return not self.part._holds(facts)

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        return self.part._why(facts, explain)

    def __invert__(self) -> Condition:
        return self.part


@dataclass(frozen=True, repr=False, eq=False)
class Given(Condition):
    """A path of somebody else's, as a part; known by its text, since such paths have no hash."""

    path: Path

    def __repr__(self) -> str:
        return f'Path.parse_str({str(self.path)!r})'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and str(self.path) == str(other.path)

    def __hash__(self) -> int:
        return hash(str(self.path))

    @property
    def _expression(self) -> str | None:
        return said(str(self.path))

    def _holds(self, facts: Facts) -> bool:
        return any(True for _ in self.path.match(facts.event))

    def _why(self, facts: Facts, explain: Explain) -> list[str]:
        return explain(self.path, facts.event)


def said(filter_: str) -> str | None:
    """Return *filter_*, or ``None`` if it needs escapes: jsonpath2 takes those of a string as they are."""
    return None if '\\' in filter_ else filter_
