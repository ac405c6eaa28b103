"""The output of an event as ``show`` prints it: of an attempt that is over, or as it comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import click

from pacifica.dispatcher._cli.output import console, status_text, styled
from pacifica.dispatcher._operate.output import GAP, Line, Reader, progress_text
from pacifica.dispatcher._operate.words import moment, printable
from pacifica.dispatcher._queue.output import KeptOutput
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.status import FINAL

if TYPE_CHECKING:
    from rich.text import Text

_PAUSE = 0.5  # seconds between two looks
_STYLES = {'stderr': 'yellow', 'log': 'cyan', GAP: 'dim', 'progress': 'bold'}
_WIDTH = 8


def attempt_paragraphs(runs: Sequence[KeptOutput], attempt: int | None, most: int | None) -> Iterator[str | Text]:
    """Yield the progress and the last *most* lines of the latest run, or of that of an *attempt*.

    :raises click.ClickException: if there is no output of that attempt.
    """
    of_attempt = [run for run in runs if attempt in (None, run.attempt)]
    if not of_attempt:
        if attempt is not None:
            kept = ', '.join(sorted({str(run.attempt) for run in runs})) or 'none'
            raise click.ClickException(f'no output of attempt {attempt} is kept; there is of: {kept}')
        return
    run, reader = of_attempt[-1], Reader()
    if progress := progress_text(run.progress, run.progress_text):
        yield styled((f'\nProgress of attempt {run.attempt}', 'bold'))
        yield f'  {printable(progress)}'
    lines = [*reader.news(run), *reader.rest()]
    if lines:
        yield styled((f'\nOutput of attempt {run.attempt} (UTC)', 'bold'))
        if most is not None and len(lines) > most:
            yield styled((f'  … {len(lines) - most:,} lines before these: --full', 'dim'))
        yield from map(line_text, deque(lines, most))


def line_text(line: Line) -> Text:
    return styled(
        (f'  {moment(line.time)}  ', 'dim'), (f'{line.stream:<{_WIDTH}}  {printable(line.text)}',
                                              _STYLES.get(line.stream, '')))


def follow(records: Records, task_id: UUID) -> None:
    """Print what an event's runs print, as it comes, until it has ended or Ctrl-C is pressed.

    :raises click.ClickException: if there is no such event, or no more.
    """
    follower = _Follower()
    out = console()
    try:
        while True:
            status = records.status(task_id)  # first, so that nothing that was printed before its end is missed
            runs = records.outputs(task_id)
            if status is None or runs is None:
                raise click.ClickException(f'there is no event {task_id}')
            for text in follower.news(runs, status in FINAL):
                out.print(text, soft_wrap=True)
            if status in FINAL:
                out.print(styled('\nStatus  ', status_text(status)))
                return
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return


class _Follower:
    """Tells what is new in the output of an event's runs."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._progress = ''

    def news(self, runs: Sequence[KeptOutput], ended: bool) -> Iterator[Text]:
        for run in runs:
            reader = self._readers.get(run.run)
            if reader is None:
                self._progress, reader = '', self._readers.setdefault(run.run, Reader())
                yield styled((f'Attempt {run.attempt}, {moment(run.began)}', 'bold'))
            yield from map(line_text, reader.news(run))
            if ended or run is not runs[-1]:
                yield from map(line_text, reader.rest())
        if runs and (said := progress_text(runs[-1].progress, runs[-1].progress_text)) not in ('', self._progress):
            self._progress = said
            yield line_text(Line(runs[-1].updated, 'progress', said))
