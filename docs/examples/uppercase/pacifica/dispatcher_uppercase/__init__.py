"""A copy in capitals of every text file that reaches the archive.

Receiver and workers: ``pacifica-dispatcher serve pacifica.dispatcher_uppercase:router``.
"""

import os

from jsonpath2.path import Path
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader

from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner, RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import EventHandler, StagedEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, RemoteUploaderRunner


class Uppercase(EventHandler):
    """Writes an event's files in capitals."""

    def handle(self, event):
        """Handle the event."""
        for file in event.files:
            with event.open(file) as source, event.create(file.path) as target:
                target.write(source.read().upper())


if 'LOCAL_DIRECTORY' in os.environ:
    runners = LocalDownloaderRunner(os.environ['LOCAL_DIRECTORY']), LocalUploaderRunner()
else:
    runners = RemoteDownloaderRunner(Downloader()), RemoteUploaderRunner(Uploader())

router = Router()
router.add_route(
    Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'),
    StagedEventHandler(runners[0], Uppercase(), runners[1]),
)
