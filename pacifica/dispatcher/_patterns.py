"""Patterns of file paths, as people write them: which of an event's files are meant."""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from pacifica.dispatcher.exceptions import ConfigurationError


class Patterns:
    """Which paths are meant, in the language of ``.gitignore``; equal and hashable by what was given.

    ``*.csv`` is at any depth, ``raw/*.csv`` in ``raw`` alone, ``raw/**`` all below it; ``!…`` takes back what patterns
    before it mean. Source of the format: gitignore(5). Case matters.

    :param patterns: at least one.
    :raises ConfigurationError: if there is none, or one can't be.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        if isinstance(patterns, str):
            raise ConfigurationError(f'patterns are a list: [{patterns!r}] instead of {patterns!r}')
        self.given = tuple(patterns)
        if not self.given:
            raise ConfigurationError('a list of patterns has at least one')
        for pattern in self.given:
            if not pattern.strip() or pattern.startswith('#'):
                raise ConfigurationError(f'{pattern!r} is no pattern of paths: write for example *.csv or raw/**')
        try:
            self._spec = GitIgnoreSpec.from_lines(self.given)
        except ValueError as exc:
            raise ConfigurationError(f'one of the patterns {self} can\'t be: {exc}') from exc

    def match(self, path: str) -> bool:
        """Return whether *path*, with ``/`` between its parts, is meant."""
        return bool(self._spec.match_file(path))  # None in releases before 1.0.1

    def __str__(self) -> str:
        return ', '.join(self.given)

    def __repr__(self) -> str:
        return f'Patterns({list(self.given)!r})'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and self.given == other.given

    def __hash__(self) -> int:
        return hash(self.given)
