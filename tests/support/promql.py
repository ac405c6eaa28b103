"""Enough of PromQL's syntax to say whether a query can be right; there is no parser for Python to ask.

https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'''
    (?P<space>\s+)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<range>\[(?:\d+(?:ms|[smhdwy])|\$__rate_interval)\])
  | (?P<subquery>\[\d+[smhdwy]:\d+[smhdwy]\])
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/%^<>=])
  | (?P<bracket>[(){},])
''', re.VERBOSE)
_CLOSES = {')': '(', '}': '{'}
_RATES = frozenset({'rate', 'increase', 'irate'})  # of counters
_RANGED = _RATES | {'predict_linear'}
_AGGREGATIONS = frozenset({'sum', 'min', 'max', 'avg', 'count'})
_OTHER = frozenset({'histogram_quantile', 'quantile_over_time', 'absent', 'time', 'label_values'})
_GROUPING = frozenset({'by', 'without', 'on', 'ignoring'})
_WORDS = _GROUPING | {'unless', 'and', 'or'}


@dataclass(frozen=True)
class Selector:
    """A metric in a query, with the labels that are asked of it.

    :param ranged: whether it has a range.
    :param rate: whether that is for a rate, as counters need one.
    """

    name: str
    labels: frozenset[str]
    ranged: bool = False
    rate: bool = False


@dataclass(frozen=True)
class Query:
    """What a query selects, and the labels that its results are grouped by."""

    selectors: tuple[Selector, ...]
    grouped_by: frozenset[str]


def parse(query: str) -> Query:
    """Take *query* apart.

    :raises ValueError: if it can't be PromQL: an unknown character or function, brackets that don't match, a rate of
        what has no range, a range of what no rate is taken of, or a trend.
    """
    tokens = _tokens(query)
    _check_brackets(query, tokens)
    selectors: list[Selector] = []
    grouped: set[str] = set()
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        following = tokens[position + 1][1] if position + 1 < len(tokens) else ''
        position += 1
        if kind != 'name' or text in _AGGREGATIONS | _OTHER | _RANGED:
            continue
        if text in _WORDS:
            if text in _GROUPING:
                end = _index(tokens, ')', position)
                grouped.update(name for of, name in tokens[position:end] if of == 'name')
                position = end
            continue
        if following == '(':
            raise ValueError(f'there is no function {text!r} in PromQL, or it is not known here: {query}')
        labels, after = frozenset[str](), position
        if following == '{':
            after = _index(tokens, '}', position)
            labels = _matchers(query, tokens[position + 1:after])
            after += 1
        ranged = after < len(tokens) and tokens[after][0] == 'range'
        function = tokens[position - 3][1] if position >= 3 and tokens[position - 2][1] == '(' else ''
        if ranged != (function in _RANGED):
            raise ValueError(f'{text} needs both a range and a rate of it, or neither: {query}')
        selectors.append(Selector(text, labels, ranged, function in _RATES))
        position = after
    return Query(tuple(selectors), frozenset(grouped))


def _tokens(query: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise ValueError(f'{query[position:position + 20]!r} is no PromQL: {query}')
        position = match.end()
        if match.lastgroup != 'space':
            tokens.append((str(match.lastgroup), match[0]))
    return tokens


def _check_brackets(query: str, tokens: list[tuple[str, str]]) -> None:
    expected: list[str] = []
    for kind, text in tokens:
        if kind == 'bracket' and text in '({':
            expected.append(text)
        elif kind == 'bracket' and text in _CLOSES and (not expected or expected.pop() != _CLOSES[text]):
            raise ValueError(f'{text} closes nothing: {query}')
    if expected:
        raise ValueError(f'{expected[-1]} is never closed: {query}')


def _index(tokens: list[tuple[str, str]], text: str, start: int) -> int:
    return next(number for number in range(start, len(tokens)) if tokens[number][1] == text)


def _matchers(query: str, tokens: list[tuple[str, str]]) -> frozenset[str]:
    """Return the labels in ``name="value", …``."""
    names = set()
    for number in range(0, len(tokens), 4):
        name, operator, value = tokens[number:number + 3]
        if name[0] != 'name' or operator[1] not in ('=', '!=', '=~', '!~') or value[0] != 'string':
            raise ValueError(f'{name[1]}{operator[1]}{value[1]} is no matcher of labels: {query}')
        names.add(name[1])
    return frozenset(names)
