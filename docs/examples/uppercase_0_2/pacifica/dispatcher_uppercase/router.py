"""Which events are handled, with which runners."""

import os

from jsonpath2.path import Path
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader

from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner, RemoteDownloaderRunner
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, RemoteUploaderRunner

from .event_handlers import UppercaseEventHandler


def create_runners():
    """Return the runners: local ones if the environment names a directory."""
    if 'LOCAL_DIRECTORY' in os.environ:
        return LocalDownloaderRunner(os.environ['LOCAL_DIRECTORY']), LocalUploaderRunner()
    return RemoteDownloaderRunner(Downloader()), RemoteUploaderRunner(Uploader())


router = Router()
router.add_route(
    Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'),
    UppercaseEventHandler(*create_runners()),
)
