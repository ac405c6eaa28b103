"""The whole service of this project, receiver and worker in one process.

    python dispatcher.py PORT DATABASE_URL [CONCURRENCY]

With BENCH_METRICS in the environment it counts for Prometheus, and serves /metrics.
"""

import os
import sys

import cherrypy
from jsonpath2.path import Path
from notifying import Notify
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import WorkerPlugin, create_peewee_model
from pacifica.dispatcher.router import Router

metrics = bool(os.environ.get('BENCH_METRICS'))
router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Notify())
model = create_peewee_model(connect(sys.argv[2]))
queue = model.create_queue(router, 'bench', 'bench.receive', metrics=metrics)
concurrency = int(sys.argv[3]) if len(sys.argv) > 3 else 4

cherrypy.config.update({
    'server.socket_port': int(sys.argv[1]), 'server.thread_pool': 10, 'log.screen': False,
    'engine.autoreload.on': False,
})
cherrypy.tree.mount(model.create_cherrypy_app(queue, metrics=metrics), '/')
if concurrency:
    WorkerPlugin(cherrypy.engine, queue.create_worker(concurrency)).subscribe()
cherrypy.engine.signals.subscribe()
cherrypy.engine.start()
cherrypy.engine.block()
