"""What ``show`` prints of an event's data, relatives and images, as the dashboard's page has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pacifica.dispatcher._cli.output import status_name, styled
from pacifica.dispatcher._operate.contents import Contents, contents
from pacifica.dispatcher._operate.words import printable, size
from pacifica.dispatcher._queue.search import Filter

if TYPE_CHECKING:
    from rich.text import Text

    from pacifica.dispatcher._cli.table import Table

_MOST_RELATED = 20


class EventSections:
    """Reads what there is beside the record of an event, while the table is open."""

    def __init__(self, table: Table, task_id: UUID, record: Mapping[str, Any]) -> None:
        self._contents: Contents = contents(record['eventData'])
        self._images = table.previews.of(task_id)
        self._related: dict[str, Sequence[Mapping[str, Any]]] = {}
        for title, wanted, id_ in (
                ('Made from', Filter(transaction_id=record['parentTransactionID']), record['parentTransactionID']),
                ('Results', Filter(parent_transaction=record['transactionID']), record['transactionID'])):
            self._related[title] = () if id_ is None else table.search.page(wanted, limit=_MOST_RELATED).rows

    def paragraphs(self, most: int | None) -> Iterator[str | Text]:
        """Yield the relatives, the images, and the first *most* files and key-values."""
        for title, rows in self._related.items():
            yield from _section(title, [
                f'{row["taskID"]}  transaction {printable(row["transactionID"])}, {status_name(row["taskStatus"])}'
                for row in rows], None, len(rows))
        yield from _section('Images', [
            f'{image.number}  {printable(image.name)}, {image.media}, {size(image.size)}' for image in self._images],
            None, len(self._images))
        files, pairs = self._contents.files, self._contents.key_values
        yield from _section('Files', [
            ', '.join(filter(None, (printable(file.path), size(file.size), printable(file.media)))) for file in files],
            most, self._contents.count)
        yield from _section('Key-values', [f'{printable(key)}  {printable(value)}' for key, value in pairs],
                            most, self._contents.key_value_count)


def _section(title: str, lines: Sequence[str], most: int | None, count: int) -> Iterator[str | Text]:
    """Yield a title and its lines, if there are any, and how many are left out."""
    if not lines:
        return
    yield styled((f'\n{title}', 'bold'))
    yield from (f'  {line}' for line in lines[:most])
    if left := count - len(lines[:most]):
        yield styled((f'  … {left:,} more', 'dim'))
