"""What commands print, and how they end: tables on a terminal, tab-separated lines in a pipe, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pacifica.dispatcher._operate.words import STATUS_NAMES, escaped, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

#: What the manual and ``--help`` say of each exit status.
EXIT_STATUSES = {
    0: 'all went well; of a service: it was stopped by a signal',
    EXIT_FAILED: 'the command did what was asked, and the answer is no',
    EXIT_USAGE: 'it can\'t do what was asked as it was asked: stderr says why',
    EXIT_INTERRUPTED: 'it was interrupted before it had anything to stop',
}

_STATUS_STYLES = {'2': 'green', '4': 'yellow', '5': 'bold red', '1': 'cyan'}
_WIDE = 10_000  # columns: no table is as wide


class UsageFault(click.ClickException):
    """What was asked can't work: the message says which argument, why, and what to write instead."""

    exit_code = EXIT_USAGE


class Column(NamedTuple):
    """A column of a table, whose texts are cut to fit the terminal, unless they are *whole* or *fold* into lines."""

    title: str
    whole: bool = False
    right: bool = False
    fold: bool = False


def on_terminal() -> bool:
    return sys.stdout.isatty()


def console(*, stderr: bool = False, wide: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, no emoji codes; *wide*: a pipe gets all of a table."""
    from rich.console import Console

    width = _WIDE if wide and not on_terminal() else None
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def print_json(value: Any, indent: int | None = None) -> None:
    """Print *value* as JSON in ASCII, which no terminal takes for anything else: one line, or indented ones."""
    click.echo(json.dumps(value, indent=indent))


def print_document(text: str) -> None:
    """Print the JSON *text* as one line in ASCII, its numbers as they were written."""
    # Outside of strings there is nothing else than white space to replace, and inside no control as it is.
    click.echo(re.sub(r'[^ -~]', lambda found: ' ' if found[0] in '\t\n\r' else escaped(found[0]), text))


def say(text: str, colour: str | None = None) -> None:
    """Print *text*, which may hold what others wrote, as one line."""
    click.secho(printable(text), fg=colour)


def notice(text: str) -> None:
    """Say something on standard error, beside what the command prints."""
    click.echo(printable(text), err=True)


def styled(*parts: str | Text | tuple[str, str]) -> Text:
    """Return texts side by side, each plain, a text of rich's, or with its style."""
    from rich.text import Text

    return Text.assemble(*parts)


def status_text(status: object) -> Text:
    shown = printable(status)
    return styled((shown, _STATUS_STYLES.get(shown[:1], '')))


def status_name(status: object) -> Text:
    """Return what people call a status, which is shorter, in its colour."""
    text = status_text(status)
    text.plain = next((name for name, string in STATUS_NAMES.items() if string == text.plain), text.plain)
    return text


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows*, whose texts are made printable: a table on a terminal, else a line each, parted by tabs, whole."""
    if not on_terminal():
        for row in rows:
            click.echo('\t'.join('' if value is None else printable(value) for value in row))
        return
    console().print(rich_table(columns, rows))


def rich_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> RichTable:
    from rich.table import Table
    from rich.text import Text

    cells = [[_cell(value, column) for value, column in zip(row, columns, strict=True)] for row in rows]
    table = Table(box=None, pad_edge=False, header_style='bold', padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        widest = max([len(column.title), *(row[number].cell_len for row in cells)])
        table.add_column(  # only columns that might wrap are made narrower; their texts, which don't, are cut then
            Text(column.title, no_wrap=True), no_wrap=column.whole, overflow='fold' if column.fold else 'ellipsis',
            justify='right' if column.right else 'left', min_width=widest if column.whole else None)
    for row in cells:
        table.add_row(*row)
    return table


def _cell(value: object, column: Column) -> Text:
    from rich.text import Text

    cell = value if isinstance(value, Text) else Text('' if value is None else printable(value))
    cell.no_wrap = not column.fold
    return cell


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield what is called with how many more are done: it moves a bar on standard error, if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console(stderr=True)
    if not shown.is_terminal or total in (0, 1):  # not Progress(disable=True), of which rich 13.0 prints an empty line
        yield lambda done: None
        return
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(  # standard output is left alone: it may be a pipe, while the bar is on the terminal
        *columns, console=shown, transient=True, redirect_stdout=False,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
