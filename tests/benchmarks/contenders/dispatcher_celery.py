"""The service as the 0.2 series wants it written, on 0.2.5 or on this project: a receiver here, Celery workers apart.

    BENCH_DATABASE=URL BENCH_CELERY=JSON python dispatcher_celery.py PORT
    BENCH_DATABASE=URL BENCH_CELERY=JSON celery -A dispatcher_celery worker

``BENCH_CELERY`` holds Celery's settings. The same lines run on both; only what is installed differs.
"""

import json
import os
import sys

import cherrypy
from jsonpath2.path import Path
from notifying import Notify
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router

router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Notify())
# 0.2.5's workers are processes that take turns at one file: SQLite's usual 5 seconds of patience fail some of them.
settings = {'timeout': 60} if os.environ['BENCH_DATABASE'].startswith('sqlite') else {}
database = connect(os.environ['BENCH_DATABASE'], **settings)
model = create_peewee_model(database)
celery_app = app = model.create_celery_app(router, 'bench', 'bench.receive')
celery_app.conf.update(json.loads(os.environ['BENCH_CELERY']))
task = celery_app.tasks['bench.receive']

if 'BENCH_TRACE' in os.environ:
    import tracing  # knows this project's inside, so it is for that alone
    tracing.install(os.environ['BENCH_TRACE'])

if __name__ == '__main__':
    database.create_tables([model])
    database.close()
    cherrypy.config.update({
        'server.socket_port': int(sys.argv[1]), 'server.thread_pool': 10, 'log.screen': False,
        'engine.autoreload.on': False,
    })
    cherrypy.tree.mount(model.create_cherrypy_app(task), '/')
    cherrypy.engine.signals.subscribe()
    cherrypy.engine.start()
    cherrypy.engine.block()
