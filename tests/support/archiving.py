"""Handlers that upload, and an archive that makes an event of each upload; processes of their own import them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, TextIO

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
        with self._new_file() as file:
            rows = [dict(item._asdict()) for item in bundle.md_obj]
            rows.append({'destinationTable': 'Transactions._id', 'value': int(Path(file.name).stem)})
            json.dump(rows, file)
        return bundle, job_id, state

    def _new_file(self) -> TextIO:
        """Make the file of the next transaction, whoever else uploads at the moment."""
        for number in itertools.count(20):
            try:
                return (self.directory / f'{number}.json').open('x')
            except FileExistsError:
                continue
        raise AssertionError

    def events(self) -> list[dict[str, Any]]:
        return [ingest_event(data=json.loads(path.read_text()), eventID=f'metadata.ingest.{path.stem}')
                for path in sorted(self.directory.iterdir())]


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
