"""The whole service of this project, receiver and worker in one process.

    python dispatcher.py PORT DATABASE_URL [CONCURRENCY]

With BENCH_METRICS in the environment it counts for Prometheus, and serves /metrics; BENCH_ISOLATION is where handlers
run, ``process`` or ``thread``.
"""

import os
import sys

import cherrypy
from playhouse.db_url import connect
from routing import router

from pacifica.dispatcher.receiver import WorkerPlugin, create_peewee_model

metrics = bool(os.environ.get('BENCH_METRICS'))
model = create_peewee_model(connect(sys.argv[2]))
queue = model.create_queue(router, 'bench', 'bench.receive', metrics=metrics)
concurrency = int(sys.argv[3]) if len(sys.argv) > 3 else 4

cherrypy.config.update({
    'server.socket_port': int(sys.argv[1]), 'server.thread_pool': 10, 'log.screen': False,
    'engine.autoreload.on': False,
})
cherrypy.tree.mount(model.create_cherrypy_app(queue, metrics=metrics), '/')
if concurrency:
    WorkerPlugin(cherrypy.engine, queue.create_worker(
        concurrency, isolation=os.environ.get('BENCH_ISOLATION', 'process'), import_name='routing:router')).subscribe()
cherrypy.engine.signals.subscribe()
cherrypy.engine.start()
cherrypy.engine.block()
