"""A service written as the 0.2 series wants it, with Celery, in processes of its own, for tests that kill them.

    python celery_service.py PORT          a receiver
    celery -A celery_service worker        a worker

The environment says the rest, see :data:`SETTINGS`. The handler appends a line to the log as it starts and as it ends,
each written at once: ``start|end PROCESS-ID EVENT-ID SECONDS``; then its Celery request's id is kept with the event.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import celery
import cherrypy
from jsonpath2.path import Path
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from service import Logging  # noqa: E402  # isort: skip  # beside this file, wherever that is

SETTINGS = json.loads(os.environ['CELERY_SERVICE'])
"""``database``, ``log``, ``lease``, and ``celery``: the keyword arguments of ``create_celery_app``.

``CONCURRENCY`` in the environment is the limit of the route.
"""

METRICS = 'PROMETHEUS_MULTIPROC_DIR' in os.environ
"""Whether metrics are counted, in files that all processes share."""


class Asking(Logging):
    """Writes down too what Celery says the task is."""

    def handle(self, event: Any) -> None:
        """Write both down; do what the event says."""
        super().handle(event)
        task = current_task()
        assert task is not None
        task.save_result(request_id=celery.current_task.request.id)
        if event.data.get('raise'):
            raise {'SystemExit': SystemExit, 'BaseException': BaseException}[event.data['raise']]('as told')
        if event.data.get('exit'):
            os._exit(1)


router = Router()
limit = os.environ.get('CONCURRENCY')
router.add_route(Path.parse_str('$'), Asking(SETTINGS['log']), concurrency=int(limit) if limit else None)
database = connect(SETTINGS['database'])
ReceiveTaskModel = create_peewee_model(database)
celery_app = ReceiveTaskModel.create_celery_app(
    router, 'my.app', 'my.tasks.receive', lease=SETTINGS['lease'], metrics=METRICS, **SETTINGS['celery'],
)
application = ReceiveTaskModel.create_cherrypy_app(celery_app.tasks['my.tasks.receive'], metrics=METRICS)


def main(port: str) -> None:
    """Receive events until the process is killed."""
    database.create_tables([ReceiveTaskModel])
    database.close()
    cherrypy.quickstart(application, config={'global': {
        'server.socket_port': int(port), 'log.screen': False, 'engine.autoreload.on': False,
        'server.shutdown_timeout': 1,
    }})


if __name__ == '__main__':
    main(*sys.argv[1:])
