"""In which line of a TOML document each key stands, which the standard library's parser doesn't tell."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Where a value is: keys, and numbers of elements of arrays.
Where = tuple[str | int, ...]

_BETWEEN = re.compile(r'(?:[ \t\r\n]|#[^\n]*)*')
_SPACE = re.compile(r'[ \t]*')
_QUOTED = re.compile(r'''"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''')
_BARE = re.compile(r'[A-Za-z0-9_-]+')
_TEXT = re.compile(r'''"{3}(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''', re.DOTALL)
_OTHER = re.compile(r'[^,\]}#\n]*')


def parse(text: str) -> dict[str, Any]:
    """Return what a TOML document says.

    :raises ValueError: if it is none; its text names the line.
    """
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except RecursionError as exc:
        raise ValueError('its values are nested too deeply') from exc
    return document


def lines_of(text: str) -> dict[Where, int]:
    """Return the line of each table, key and element in *text*, a document that :func:`parse` takes."""
    return _Scanner(text).scan()


class _Scanner:
    """Goes through a document once; being valid, it needs no more to be told apart than keys, brackets and texts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = (0, 1)  # up to where lines are counted, and the line there
        self._lines: dict[Where, int] = {}
        self._elements: dict[Where, int] = {}  # of arrays of tables

    def scan(self) -> dict[Where, int]:
        table: Where = ()
        self._skip(_BETWEEN)
        while self._at < len(self._text):
            if self._next('[['):
                table = self._header(is_array=True)
                self._at += 2
            elif self._next('['):
                table = self._header(is_array=False)
                self._at += 1
            else:
                self._pair(table)
            self._skip(_BETWEEN)
        return self._lines

    def _header(self, *, is_array: bool) -> Where:
        where: Where = ()
        line, keys = self._line(), self._key()
        for number, key in enumerate(keys, 1):
            where += (key,)
            if is_array and number == len(keys):
                self._elements[where] = self._elements.get(where, 0) + 1
            self._lines.setdefault(where, line)
            if where in self._elements:
                where += (self._elements[where] - 1,)
                self._lines.setdefault(where, line)
        return where

    def _pair(self, table: Where) -> None:
        line = self._line()
        for key in self._key():
            table += (key,)
            self._lines.setdefault(table, line)
        self._next('=')
        self._skip(_SPACE)
        self._value(table)

    def _value(self, where: Where) -> None:
        if self._next('['):
            number = 0
            while not self._ends(']'):
                element = (*where, number)
                self._lines[element] = self._line()
                self._value(element)
                number += 1
        elif self._next('{'):
            while not self._ends('}'):
                self._pair(where)
        elif not self._skip(_TEXT):
            self._skip(_OTHER)

    def _ends(self, bracket: str) -> bool:
        """Go to the next element; return whether there is none, but the bracket that ends them."""
        self._skip(_BETWEEN)
        if self._next(','):
            self._skip(_BETWEEN)
        return self._next(bracket)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while not parts or self._next('.'):
            self._skip(_SPACE)
            begin = self._at
            if self._skip(_QUOTED):
                parts.append(tomllib.loads(f'key = {self._text[begin:self._at]}')['key'])
            elif self._skip(_BARE):
                parts.append(self._text[begin:self._at])
            else:  # of a document that parse() doesn't take
                raise ValueError(f'no key in line {self._line()}')
            self._skip(_SPACE)
        return parts

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found is not None

    def _next(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _line(self) -> int:
        at, line = self._counted
        line += self._text.count('\n', at, self._at)
        self._counted = (self._at, line)
        return line
