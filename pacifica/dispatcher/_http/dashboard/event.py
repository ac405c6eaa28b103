"""What the page of one event shows: what it is, where it comes from, what came of it, and what was done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pacifica.dispatcher._http.dashboard.output import shown
from pacifica.dispatcher._operate import timeline
from pacifica.dispatcher._operate.actions import CANCEL, RETRY
from pacifica.dispatcher._operate.archive import TransactionUrl
from pacifica.dispatcher._operate.contents import MOST_FILES, Counter, contents
from pacifica.dispatcher._operate.parameters import in_lines
from pacifica.dispatcher._operate.words import moment
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.previews import Previews
from pacifica.dispatcher._queue.records import Records
from pacifica.dispatcher._queue.search import Search

_MOST_CHARACTERS = 200_000  # of an event that a page shows
_MOST_FORMATTED = 1_000_000  # characters: of a longer event the beginning is shown as it was received
_MOST_RELATED = 20


@dataclass(frozen=True)
class Related:
    """An event of another transaction, and how many files and key-values it has; ``None`` if it is gone by now."""

    row: Mapping[str, Any]
    counts: tuple[int, int] | None


class EventPage:
    """Reads what the page of an event shows; the queries of each look are few, and by indexes.

    :param archive: where the archive shows transactions; ``None`` if nobody has said so.
    """

    def __init__(
        self, records: Records, search: Search, previews: Previews, archive: TransactionUrl | None,
    ) -> None:
        self._records = records
        self._search = search
        self._previews = previews
        self._archive = archive
        self._counter = Counter(records)

    def values(self, task_id: UUID, *, file: str | None, changing: bool) -> dict[str, Any] | None:
        """Return what the template needs, ``None`` if there is no such event.

        :param file: which of its files are wanted.
        :param changing: whether only what changes is wanted: not the event itself.
        """
        record = self._records.get(task_id)
        if record is None:
            return None
        runs = self._records.outputs(task_id) or []
        running = self._records.running(task_id)
        return {
            'record': record, 'entries': timeline.entries(record, None if running is None else moment(running.since)),
            'uploads': timeline.uploads(record), 'saved': timeline.saved(record), 'running': running,
            'skip_reason': timeline.skip_reason(record), 'outputs': shown(runs), 'latest': runs[-1] if runs else None,
            'previews': self._previews.of(task_id), 'archive': self._archive, 'most_files': MOST_FILES,
            'parents': self._related(Filter(transaction_id=record['parentTransactionID'])),
            'results': self._related(Filter(parent_transaction=record['transactionID'])),
            'most_related': _MOST_RELATED, 'parameters': in_lines(record),
            'can_retry': record['taskStatus'] in RETRY.possible, 'can_cancel': record['taskStatus'] in CANCEL.possible,
            **({} if changing else self._event(record['eventData'], file)),
        }

    def _related(self, wanted: Filter) -> Sequence[Related]:
        if wanted.transaction_id is None and wanted.parent_transaction is None:
            return ()
        rows = self._search.page(wanted, limit=_MOST_RELATED).rows
        return [Related(row, self._counter.of(row['taskID'])) for row in rows]

    @staticmethod
    def _event(text: str, file: str | None) -> dict[str, Any]:
        told = timeline.document(text) if len(text) <= _MOST_FORMATTED else text
        return {
            'contents': contents(text, file), 'file': file or '', 'event': told[:_MOST_CHARACTERS],
            'whole': len(told) <= _MOST_CHARACTERS,
        }
