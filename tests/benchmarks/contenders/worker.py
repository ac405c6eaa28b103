"""The worker of this project alone, in a process of its own, beside "dispatcher.py PORT DATABASE_URL 0".

    python worker.py DATABASE_URL [CONCURRENCY]
"""

import sys

from jsonpath2.path import Path
from notifying import Notify
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router

router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Notify())
queue = create_peewee_model(connect(sys.argv[1])).create_queue(router, 'bench', 'bench.receive')
queue.create_worker(int(sys.argv[2]) if len(sys.argv) > 2 else 4).run()
