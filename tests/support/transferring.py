"""A dispatcher in a process of its own that makes capitals of every file: importable there, as tests are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonpath2.path import Path as JSONPath
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader
from playhouse.db_url import connect

from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner


def dispatcher(work: Path, cartd: int, ingest: int, metadata: str) -> tuple[Any, Any]:
    """Return the table and the queue of a dispatcher that makes capitals of every file.

    :param work: where its database and its files are.
    :param cartd: the port of Cartd.
    :param ingest: the port of Ingest.
    :param metadata: the URL of Metadata.
    """
    router = Router()
    router.add_route(JSONPath.parse_str('$["data"]'), StagedEventHandler(
        RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd))), Uppercase(),
        RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(ingest)), metadata_url=metadata), directory=work))
    model = create_peewee_model(connect(f'sqlite:///{work}/queue.db'))
    return model, model.create_queue(router, 'my.app', 'my.receive')


def work(*where: Any) -> None:
    """Work in a process of its own, until it is killed."""
    dispatcher(*where)[1].create_worker(1, lease=5.0).run()
