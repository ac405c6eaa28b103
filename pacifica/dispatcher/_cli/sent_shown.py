"""How ``send`` shows what it does: progress on a terminal, a table or JSON, and what was refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pacifica.dispatcher._cli.binding import Mode
from pacifica.dispatcher._cli.errors import EXIT_FAILED, UsageFault
from pacifica.dispatcher._cli.event_files import FileEvent
from pacifica.dispatcher._cli.sending import OK, Receiver, Sent

__all__ = ['run', 'table_console']

_WIDE = 10_000


def run(receiver: Receiver, events: list[FileEvent], mode: Mode, wait: float | None, as_json: bool) -> int:
    """Send *events*, show what came of it, also if that was interrupted or failed, and return the exit status.

    :param wait: seconds to wait until all have ended; ``None`` doesn't wait.
    :raises UsageFault: if the receiver can't be reached, or refuses whatever is sent.
    """
    if wait is not None:
        receiver.status_url('')
    done: list[Sent] = []
    try:
        with _progress('sending', len(events)) as advance:
            for sent in receiver.send(events, mode):
                done.append(sent)
                advance()
        if wait is not None:
            with _progress('waiting', sum(not sent.finished for sent in done)) as advance:
                receiver.wait(done, wait, lambda _sent: advance())
    except UsageFault as exc:
        if not done:
            raise
        _show(done, wait is not None, as_json)
        raise UsageFault(f'{exc.message} ({len(done)} of {len(events)} events were sent: see above)') from exc
    except KeyboardInterrupt:
        _show(done, wait is not None, as_json)
        raise
    _show(done, wait is not None, as_json)
    fine = all(sent.refusal is None and (wait is None or sent.status == OK) for sent in done)
    return 0 if fine else EXIT_FAILED


@contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    """Yield what is called after each of *total*: it moves a bar, on a terminal, if there are several."""
    console = Console(stderr=True)
    if not console.is_terminal or total < 2:  # not Progress(disable=True), of which rich 13.0 prints an empty line
        yield lambda: None
        return
    columns = [*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def table_console() -> Console:
    """Return a console that breaks tables only where there is a terminal to fit into, not in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def _show(done: Iterable[Sent], waited: bool, as_json: bool) -> None:
    done = list(done)
    if as_json:
        click.echo(json.dumps([sent.as_json() for sent in done], indent=2))
    else:
        _show_table(done, waited)
    for sent in done:
        if sent.refusal is not None:
            refusal = sent.refusal.partition(':')[0] if sent.faults else sent.refusal  # the rest says the same of them
            click.echo(f'{sent.event.name} was refused: {refusal}', err=True)
            for name, reason in sent.faults:
                click.echo(f'  {name}: {reason}', err=True)
        elif waited and not sent.finished:
            click.echo(f'{sent.event.name} has not ended yet: {sent.status or "its status is not known"}', err=True)


def _show_table(done: Iterable[Sent], waited: bool) -> None:
    columns = ['event', 'id', 'task', *(['status'] if waited else [])]
    table = Table(*columns, box=None, pad_edge=False, header_style='bold')
    for sent in done:
        task = Text('refused', 'bold red') if sent.refusal is not None else Text(sent.task_id or 'accepted')
        status = Text(sent.status or '', 'green' if sent.status == OK else 'bold red' if sent.finished else 'yellow')
        table.add_row(Text(sent.event.name), Text(sent.event.event_id), task, *([status] if waited else []))
    table_console().print(table)
