"""What is done with an event."""

import os
import tempfile

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue


class UppercaseEventHandler(EventHandler):
    """Downloads the event's files, writes them in capitals, uploads the result."""

    def __init__(self, downloader_runner, uploader_runner):
        """Keep the runners."""
        super().__init__()
        self.downloader_runner = downloader_runner
        self.uploader_runner = uploader_runner

    def handle(self, event):
        """Handle the event."""
        transaction = Transaction.from_cloudevents_model(event)
        key_values = TransactionKeyValue.from_cloudevents_model(event)
        files = File.from_cloudevents_model(event)
        with tempfile.TemporaryDirectory() as download_directory:
            openers = self.downloader_runner.download(download_directory, files)
            with tempfile.TemporaryDirectory() as upload_directory:
                for file, opener in zip(files, openers):
                    self.convert(opener, os.path.join(upload_directory, file.path))
                self.upload(upload_directory, transaction, key_values)

    @staticmethod
    def convert(opener, path):
        """Write one file in capitals."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with opener() as source, open(path, 'w', encoding='utf-8') as target:
            for line in source:
                target.write(line.upper())

    def upload(self, directory, transaction, key_values):
        """Upload what was written, with a note of where it comes from."""
        upload_transaction = Transaction(
            submitter=transaction.submitter,
            instrument=transaction.instrument,
            project=transaction.project,
        )
        upload_key_values = [
            TransactionKeyValue(key=key_value.key, value=key_value.value)
            for key_value in key_values
        ]
        upload_key_values.append(TransactionKeyValue(key='Transactions._id', value=str(transaction._id)))
        _, job_id, state = self.uploader_runner.upload(
            directory,
            transaction=upload_transaction,
            transaction_key_values=upload_key_values,
        )
        return job_id, state
