"""Run by a Python with pacifica-dispatcher 0.2.5: a service as its manual has it, on Celery.

    python service_of_0_2.py PORT            a receiver
    celery -A service_of_0_2 worker          a worker

The environment says the rest: ``DATABASE_URL``, ``BROKER_URL``, ``QUEUE``, and ``FOLDER``, where the handler appends
``0.2 EVENT-ID`` to the file ``runs`` as it starts. An event with data waits for the file ``go``.
"""

import os
import sys
import time

import cherrypy
from jsonpath2.path import Path
from playhouse.db_url import connect

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router


class Writes(EventHandler):
    """Writes down that it ran, and waits if the event says so."""

    def handle(self, event):
        """Write, wait."""
        with open(os.path.join(os.environ['FOLDER'], 'runs'), 'ab', buffering=0) as runs:
            runs.write(f'0.2 {event.event_id}\n'.encode())
        while event.data and not os.path.exists(os.path.join(os.environ['FOLDER'], 'go')):
            time.sleep(0.05)


router = Router()
router.add_route(Path.parse_str('$'), Writes())
database = connect(os.environ['DATABASE_URL'])
model = create_peewee_model(database)
celery_app = model.create_celery_app(router, 'my.app', 'my.tasks.receive', broker=os.environ['BROKER_URL'])
celery_app.conf.task_default_queue = os.environ['QUEUE']
application = model.create_cherrypy_app(celery_app.tasks['my.tasks.receive'])

if __name__ == '__main__':
    database.create_tables([model])
    database.close()
    cherrypy.quickstart(application, config={'global': {
        'server.socket_port': int(sys.argv[1]), 'log.screen': False, 'engine.autoreload.on': False}})
