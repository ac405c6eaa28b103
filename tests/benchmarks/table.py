"""What was measured, as a table: ours, theirs, and the ratios of rounds in which both were measured in turn."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
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
    return aligned([HEAD, *(row.cells() for row in rows)])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Return lines of text with columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


# How the number of a round is made out of those of its bursts, by unit, if not as the mean; rates are of equal loads.
_MEANS = {'/s': statistics.harmonic_mean, 'ms': statistics.median}

Found = dict[str, dict[str, list[float]]]


def interleave(
    rounds: int,
    contenders: Mapping[str, Callable[[], AbstractContextManager[Callable[[], Mapping[str, float]]]]],
    bursts: int = 1,
) -> Found:
    """Measure all contenders in each round; return by contender and unit the numbers, one a round.

    In a round each contender is started anew, then all are measured in short bursts one after another, *bursts* times,
    every other time in reverse order: what else the machine does at the time is the same for all of them.

    :param contenders: what starts one, yielding what measures a burst and returns numbers by unit.
    """
    numbers: Found = {name: {} for name in contenders}
    for turn in range(rounds):
        with ExitStack() as stack:
            measures = {name: stack.enter_context(start()) for name, start in contenders.items()}
            found: dict[str, list[Mapping[str, float]]] = {name: [] for name in measures}
            for burst in range(turn, turn + bursts):
                for name in reversed(measures) if burst % 2 else measures:
                    found[name].append(measures[name]())
        for name, results in found.items():
            for unit in results[0]:
                mean = _MEANS.get(unit, statistics.fmean)
                numbers[name].setdefault(unit, []).append(mean([result[unit] for result in results]))
        print(f'  round {turn + 1}, load average {os.getloadavg()[0]:.1f}: '
              + '; '.join(f'{name} {_last(values)}' for name, values in numbers.items()), flush=True)
    return numbers


def _last(numbers: Mapping[str, Sequence[float]]) -> str:
    return ', '.join(f'{values[-1]:.4g} {unit}' for unit, values in numbers.items())


def compare(what: str, unit: str, ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]],
            target: float | None = None, at_most: bool = False) -> Row:
    """Return the row of the numbers of one unit."""
    return Row(what, unit, ours[unit], theirs[unit], target, at_most)
