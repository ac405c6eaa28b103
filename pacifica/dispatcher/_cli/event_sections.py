"""What ``show`` prints of an event's data, relatives and images, as the dashboard's page has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pacifica.dispatcher._cli.output import status_name, styled
from pacifica.dispatcher._operate.contents import contents
from pacifica.dispatcher._operate.words import printable, size
from pacifica.dispatcher._queue.search import Filter

if TYPE_CHECKING:
    from rich.text import Text

    from pacifica.dispatcher._cli.table import Table

_MOST_RELATED = 20


def event_sections(
    table: Table, task_id: UUID, record: Mapping[str, Any], most: int | None,
) -> Iterator[str | Text]:
    """Read and yield the relatives, the images, and the first *most* files and key-values."""
    for title, wanted, id_ in (
            ('Made from', Filter(transaction_id=record['parentTransactionID']), record['parentTransactionID']),
            ('Results', Filter(parent_transaction=record['transactionID']), record['transactionID'])):
        yield from _section(title, [
            f'{row["taskID"]}  transaction {printable(row["transactionID"])}, {status_name(row["taskStatus"])}'
            for row in (() if id_ is None else table.search.page(wanted, limit=_MOST_RELATED).rows)])
    yield from _section('Images', [
        f'{image.number}  {printable(image.name)}, {image.media}, {size(image.size)}'
        for image in table.previews.of(task_id)])
    about = contents(record['eventData'])
    yield from _section('Files', [
        ', '.join(filter(None, (printable(file.path), size(file.size), printable(file.media))))
        for file in about.files[:most]], about.count)
    yield from _section('Key-values', [
        f'{printable(key)}  {printable(value)}' for key, value in about.key_values[:most]], about.key_value_count)


def _section(title: str, lines: Sequence[str], count: int = 0) -> Iterator[str | Text]:
    """Yield a title and its lines, if there are any, and how many of *count* are left out."""
    if not lines and not count:
        return
    yield styled((f'\n{title}', 'bold'))
    yield from (f'  {line}' for line in lines)
    if (left := count - len(lines)) > 0:
        yield styled((f'  … {left:,} more', 'dim'))
