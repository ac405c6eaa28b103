"""What was measured, as a table: ours, theirs, and the ratios of rounds in which both were measured in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

HEAD = ('what', 'ours', 'theirs', 'ratio (min / median / max)', 'target')


@dataclass(frozen=True)
class Row:
    """A comparison; each list has one number a round."""

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float | None
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self._ratios())

    def _ratios(self) -> list[float]:
        return [our / their for our, their in zip(self.ours, self.theirs)]

    def cells(self) -> tuple[str, ...]:
        """Return the row's texts."""
        ratios = self._ratios()
        target = ''
        if self.target is not None:
            met = self.ratio <= self.target if self.at_most else self.ratio >= self.target
            target = f'{"≤" if self.at_most else "≥"} {self.target:g} {"met" if met else "MISSED"}'
        return (
            self.what,
            f'{statistics.median(self.ours):,.4g} {self.unit}', f'{statistics.median(self.theirs):,.4g} {self.unit}',
            f'{min(ratios):.2f} / {self.ratio:.2f} / {max(ratios):.2f}', target,
        )


def text(rows: Sequence[Row]) -> str:
    """Return *rows* as lines of text."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


def interleave(rounds: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Take each measure once a round, every other round in reverse order; return the numbers of each."""
    numbers: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name in reversed(measures) if turn % 2 else measures:
            numbers[name].append(measures[name]())
        print(f'  round {turn + 1}: ' + ', '.join(f'{name} {values[-1]:.4g}' for name, values in numbers.items()),
              flush=True)
    return numbers
