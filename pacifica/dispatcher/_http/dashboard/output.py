"""What an event's page shows of its output: the end of what each run has printed, the latest run first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pacifica.dispatcher._operate.output import GAP, Line, parts
from pacifica.dispatcher._queue.output import KeptOutput

_LATEST, _EARLIER = 100_000, 10_000  # characters: a page that is looked at comes again and again


@dataclass(frozen=True)
class ShownOutput:
    """The output of one run: what of it is shown, and whether that is all that is kept."""

    key: int  # stays, whatever runs come and go
    attempt: int
    began: float
    parts: Sequence[Line]
    whole: bool


def shown(runs: Sequence[KeptOutput]) -> list[ShownOutput]:
    """Return what is shown of *runs*, which are the oldest first."""
    return [_shown(run, _EARLIER if number else _LATEST) for number, run in enumerate(reversed(runs))]


def _shown(run: KeptOutput, left: int) -> ShownOutput:
    kept: list[Line] = []
    for part in reversed(parts(run)):
        if len(part.text) > left:
            kept.append(part._replace(text=part.text[len(part.text) - left:]))
            return ShownOutput(_key(run), run.attempt, run.began, kept[::-1], False)
        kept.append(part)
        left -= 0 if part.stream == GAP else len(part.text)
    return ShownOutput(_key(run), run.attempt, run.began, kept[::-1], True)


def _key(run: KeptOutput) -> int:
    return int(run.began * 1e6)
