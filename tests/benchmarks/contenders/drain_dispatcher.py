"""Time that the worker of this project takes to drain a queue of no-op events: prints seconds as JSON.

    python drain_dispatcher.py DATABASE_URL COUNT THREADS
"""

import json
import sys
import threading
import time

from draining import EVENT, Countdown
from jsonpath2.path import Path
from playhouse.db_url import connect

from pacifica.dispatcher._events import from_dict
from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router


class Count(EventHandler):
    """Counts."""

    def handle(self, event):
        """Count the event."""
        countdown()


count = int(sys.argv[2])
countdown = Countdown(count)
router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Count())
database = connect(sys.argv[1])
model = create_peewee_model(database)
queue = model.create_queue(router, 'bench', 'bench.receive')
queue.accept([from_dict({**EVENT, 'eventID': str(number)}) for number in range(count)])
worker = queue.create_worker(int(sys.argv[3]))

began = time.perf_counter()
worker.start()
countdown.wait()
while model.select().where(model.task_status == '200 OK').count() < count:  # the last ones are being written
    threading.Event().wait(0.001)
seconds = time.perf_counter() - began
worker.stop()
print(json.dumps({'seconds': seconds}))
