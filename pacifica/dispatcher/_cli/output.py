"""What commands print: tables on a terminal, tab-separated lines in a pipe, JSON for programs.

What events and errors say may be anything that a sender, or who controls its data, has thought of. Nothing of it
reaches a terminal but as :func:`printable` text: no control character, no escape sequence, no change of direction.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

__all__ = [
    'STATUS_NAMES', 'Column', 'console', 'json_option', 'notice', 'on_terminal', 'print_json', 'print_table',
    'printable', 'progress', 'rich_table', 'status_name', 'status_text',
]

STATUS_NAMES = {
    'waiting': '202 Accepted',
    'processing': '102 Processing',
    'ok': '200 OK',
    'failed': '500 Internal Server Error',
    'unrouted': '422 Unprocessable Entity',
}
"""What people call a status, and its status string."""

_STATUS_STYLES = {'2': 'green', '4': 'yellow', '5': 'bold red', '1': 'cyan'}

json_option = click.option('--json', 'as_json', is_flag=True, help='Print JSON, for programs.')


class Column(NamedTuple):
    """A column of a table.

    :param title: shown on a terminal only.
    :param whole: whether its texts are never cut to fit the terminal.
    :param right: whether they are numbers.
    """

    title: str
    whole: bool = False
    right: bool = False


def printable(text: object) -> str:
    """Return *text* in one line, all but its printable characters written as JSON escapes them (``\\u001b``)."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return ''.join(character if character.isprintable() else _escaped(character) for character in shown)


def _escaped(character: str) -> str:
    return '\\u007f' if character == '\x7f' else json.dumps(character)[1:-1]


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, no emoji codes, no guesses at what to colour."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """Print *value* as one line of JSON in ASCII, which no terminal takes for anything else."""
    click.echo(json.dumps(value))


def notice(text: str) -> None:
    """Say something on standard error, beside what the command prints."""
    click.echo(printable(text), err=True)


def status_text(status: object) -> Text:
    """Return a status string in its colour."""
    from rich.text import Text

    shown = printable(status)
    return Text(shown, _STATUS_STYLES.get(shown[:1], ''))


def status_name(status: object) -> Text:
    """Return what people call a status, which is shorter, in its colour."""
    text = status_text(status)
    names = {string: name for name, string in STATUS_NAMES.items()}
    text.plain = names.get(text.plain, text.plain)
    return text


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows*: a table on a terminal, else a line each, its values parted by tabs, whole, without a heading.

    A value is a text of rich's, or is shown as :func:`printable` text; ``None`` is empty.
    """
    if not on_terminal():
        for row in rows:
            click.echo('\t'.join('' if value is None else printable(value) for value in row))
        return
    console().print(rich_table(columns, rows))


def rich_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> RichTable:
    """Return *rows* as a table of rich's, whose columns are cut to fit the terminal unless they are ``whole``."""
    from rich.table import Table
    from rich.text import Text

    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style='bold', padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        widest = max([len(column.title), *(row[number].cell_len for row in cells)])
        table.add_column(  # only columns that might wrap are made narrower; their texts, which don't, are cut then
            Text(column.title, no_wrap=True), no_wrap=column.whole, overflow='ellipsis',
            justify='right' if column.right else 'left', min_width=widest if column.whole else None)
    for row in cells:
        table.add_row(*row)
    return table


def _cell(value: object) -> Text:
    from rich.text import Text

    cell = value if isinstance(value, Text) else Text('' if value is None else printable(value))
    cell.no_wrap = True
    return cell


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield what is called with how many more are done: it moves a bar on standard error, if that is a terminal.

    :param total: how many there are; ``None`` if that is not known.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console(stderr=True)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(  # standard output is left alone: it may be a pipe, while the bar is on the terminal
        *columns, console=shown, transient=True, redirect_stdout=False, disable=not shown.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
