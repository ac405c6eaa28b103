"""A handler that uploads, in a module of its own so that other processes can import it; ``TEST_GATE`` holds it up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from jsonpath2.path import Path as JSONPath
from pacifica.uploader import Uploader

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.exceptions import LeaseLostError
from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner


class Uploading(EventHandler):
    """Uploads a file, once the gate is there, if there is to be one; says beside it when it passed, and lost."""

    def handle(self, event: Any) -> None:
        """Upload."""
        task, gate = current_task(), os.environ.get('TEST_GATE')
        assert task is not None
        task.save_result(process=os.getpid())
        while gate and not Path(gate).exists():
            time.sleep(0.01)
        if gate:
            Path(f'{gate}.passed').touch()
        directory = Path(os.environ.get('TMPDIR', '/tmp'), f'uploading-{os.getpid()}-{task.run_id}')
        directory.mkdir()
        (directory / 'a').write_text('a')
        try:
            runner = RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=os.environ['TEST_INGEST_PORT']))
            runner.upload(str(directory), Transaction(submitter=1, instrument=1, project='1'), [])
        except LeaseLostError:
            Path(f'{gate}.lost').touch()
            raise
        finally:
            (directory / 'a').unlink()
            directory.rmdir()


def router() -> Router:
    made = Router()
    made.add_route(JSONPath.parse_str('$'), Uploading())
    return made


ROUTER = router()
