"""Time that huey takes to drain a queue of no-op tasks that carry our event: prints seconds as JSON.

    python drain_huey.py SqlHuey|SqliteHuey FILE COUNT THREADS

Both on SQLite with a write-ahead log and ``synchronous=FULL``, as ours is.
"""

import json
import sys
import time
from contextlib import nullcontext

from draining import EVENT, Countdown
from huey import SqliteHuey
from huey.contrib.sql_huey import SqlHuey
from peewee import SqliteDatabase

kind, file, count, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if kind == 'SqlHuey':
    database = SqliteDatabase(file, pragmas={'journal_mode': 'wal', 'synchronous': 'full'}, timeout=30)
    huey = SqlHuey('bench', database=database)
    filling = database.atomic()
else:
    huey = SqliteHuey('bench', filename=file, fsync=True, timeout=30)
    filling = nullcontext()
countdown = Countdown(count)


@huey.task()
def no_op(event):
    """Count the event."""
    countdown()


with filling:
    for number in range(count):
        no_op({**EVENT, 'eventID': str(number)})
consumer = huey.create_consumer(workers=threads, worker_type='thread', periodic=False, check_worker_health=False)

began = time.perf_counter()
consumer.start()
countdown.wait()
seconds = time.perf_counter() - began
consumer.stop()
print(json.dumps({'seconds': seconds}))
