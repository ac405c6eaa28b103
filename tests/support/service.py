"""A service in a process of its own, for tests that kill it.

    python service.py receiver|worker DATABASE_URL LOG LEASE PORT

A receiver listens on PORT and has a worker; a worker is alone. The handler appends a line to LOG as it starts and as it
ends, each written at once: ``start|end PROCESS-ID EVENT-ID SECONDS``. If the environment has ``NOTIFY``, a URL, that is
told of events that have ended; ``POLL_INTERVAL`` is the worker's, in seconds; ``ISOLATION`` is where handlers run, and
their PROCESS-ID is the service's all the same; ``CONCURRENCY`` is the limit of the route.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import cherrypy
from jsonpath2.path import Path
from playhouse.db_url import connect

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.hooks import Notify
from pacifica.dispatcher.receiver import WorkerPlugin, create_peewee_model
from pacifica.dispatcher.router import Router


class Logging(EventHandler):
    """Writes down that it ran; takes as many seconds as the event says."""

    def __init__(self, path: str) -> None:
        self._path = path

    def handle(self, event: Any) -> None:
        """Write, take the time, write."""
        self._write('start', event)
        time.sleep(event.data.get('seconds', 0))
        self._write('end', event)

    def _write(self, what: str, event: Any) -> None:
        line = f'{what} {os.environ.get("SERVICE", os.getpid())} {event.event_id} {time.time():.3f}\n'
        with open(self._path, 'ab', buffering=0) as log:
            log.write(line.encode())


def main(kind: str, url: str, log: str, lease: str, port: str) -> None:
    """Run the service until it is killed."""
    os.environ['SERVICE'] = str(os.getpid())
    router = Router()
    limit = os.environ.get('CONCURRENCY')
    router.add_route(Path.parse_str('$'), Logging(log), concurrency=int(limit) if limit else None)
    model = create_peewee_model(connect(url))
    notify = os.environ.get('NOTIFY')
    queue = model.create_queue(
        router, 'my.app', 'my.tasks.receive', notify=Notify(notify) if notify else None)
    poll_interval = float(os.environ.get('POLL_INTERVAL', '0.25'))
    worker = queue.create_worker(concurrency=4, lease=float(lease), poll_interval=poll_interval, grace=5,
                                 isolation=os.environ.get('ISOLATION', 'thread'))
    if kind == 'worker':
        worker.run()
        return
    cherrypy.config.update({
        'server.socket_port': int(port), 'log.screen': False, 'engine.autoreload.on': False,
        'server.shutdown_timeout': 1,
    })
    cherrypy.tree.mount(model.create_cherrypy_app(queue), '/')
    cherrypy.engine.signals.subscribe()
    WorkerPlugin(cherrypy.engine, worker).subscribe()
    cherrypy.engine.start()
    cherrypy.engine.block()


if __name__ == '__main__':
    main(*sys.argv[1:])
