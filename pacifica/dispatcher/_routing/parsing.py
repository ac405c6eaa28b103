"""A JSONPath as people write it: parsed by jsonpath2, or refused with the form that jsonpath2 has for what was meant.

jsonpath2 is older than RFC 9535, and refuses much of what that and other languages have in its parser's words.
"""

from __future__ import annotations

from typing import Any

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from jsonpath2.parser.JSONPathLexer import JSONPathLexer
from jsonpath2.parser.JSONPathParser import JSONPathParser
from jsonpath2.path import Path

from pacifica.dispatcher._routing.cures import cured
from pacifica.dispatcher.exceptions import ConfigurationError


def parse(text: str) -> Path:
    """Return the path that *text* is.

    :raises ConfigurationError: if it is no JSONPath of jsonpath2's; the message says what to write instead, if that is
        known, and else where it goes wrong.
    """
    try:
        return _parsed(text)
    except ValueError as exc:
        cures, instead = cured(text)
        said = '; '.join(cures) or str(exc)
        if cures and instead is not None and _is_path(instead):
            said += f'; so: {instead}'
        raise ConfigurationError(f'{text!r} is no JSONPath: {said}') from exc


def _is_path(text: str) -> bool:
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> Path:
    _check(text)
    return Path.parse_str(text)


def _check(text: str) -> None:
    """Raise a ``ValueError`` for what *Path.parse_str* would print a line on stderr for, and then refuse."""
    listener = _Refusing()
    lexer = JSONPathLexer(InputStream(text))
    parser = _Parser(CommonTokenStream(lexer))
    for each in (lexer, parser):
        each.removeErrorListeners()
        each.addErrorListener(listener)
    parser.jsonpath()


class _Refusing(ErrorListener):  # type: ignore[misc]  # ANTLR has no types
    def syntaxError(self, recognizer: Any, offending: Any, line: int, column: int, message: str, error: Any) -> None:
        raise ValueError(f'line {line}:{column} {message}')


class _Parser(JSONPathParser):  # type: ignore[misc]  # jsonpath2 has no types
    """The parser with what its grammar asks for: whether the last token is a whole number."""

    def tryCast(self, kind: type) -> bool:
        try:
            kind(self._input.LT(-1).text)
        except ValueError:
            return False
        return True
