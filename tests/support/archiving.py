"""Handlers that upload, and an archive that makes an event of each upload; processes of their own import them."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, UploaderRunner
from support.events import ingest_event

__all__ = ['Archive', 'OfOldStyle', 'Staged']


class Archive(UploaderRunner):
    """Keeps each upload as the event that Pacifica Metadata would publish for it; a file each, for other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def upload(self, basedir_name: str, transaction: Any = None, transaction_key_values: Any = None,
               timeout: float = 180) -> Any:
        bundle, job_id, state = LocalUploaderRunner().upload(basedir_name, transaction, transaction_key_values)
        rows = [dict(item._asdict()) for item in bundle.md_obj]
        for number in itertools.count(20):
            if self._keep(number, [*rows, {'destinationTable': 'Transactions._id', 'value': number}]):
                break
        return bundle, job_id, state

    def _keep(self, number: int, rows: list[dict[str, Any]]) -> bool:
        """Make the file of a transaction, whole at once; ``False`` if the number is another upload's."""
        with NamedTemporaryFile('w', dir=self.directory, suffix='.part') as file:
            json.dump(rows, file)
            file.flush()
            try:
                os.link(file.name, self.directory / f'{number}.json')
            except FileExistsError:
                return False
            return True

    def events(self) -> list[dict[str, Any]]:
        return [ingest_event(data=json.loads(path.read_text()), eventID=f'metadata.ingest.{path.stem}')
                for path in sorted(self.directory.glob('*.json'))]


class Staged(EventHandler):
    """Makes a file from whatever comes."""

    def handle(self, event: Any) -> None:
        with event.create('result.txt') as file:
            file.write('made')


class OfOldStyle(EventHandler):
    """Calls the runner itself, as handlers of 0.2 do, with the key-values of its event."""

    def __init__(self, archive: UploaderRunner, scratch: Path) -> None:
        self.archive = archive
        self.scratch = scratch

    def handle(self, event: Any) -> None:
        (self.scratch / 'result.txt').write_text('made')
        transaction = Transaction.from_cloudevents_model(event)
        self.archive.upload(
            str(self.scratch), Transaction(submitter=transaction.submitter, instrument=transaction.instrument,
                                           project=transaction.project),
            TransactionKeyValue.from_cloudevents_model(event))
