"""Cost of claims in two tables, one claim in each in turn: prints medians of milliseconds as JSON.

    python claim.py DATABASE_URL DATABASE_URL COUNT

``whole`` is a claim as a worker makes it, with its commit; ``statements`` is one that is rolled back, without the time
for that, so without the disk.
"""

import json
import statistics
import sys
import time

from playhouse.db_url import connect

from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.schema import ensure_schema
from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Claim
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer

WARM_UP = 10


class Table:
    """A table, and the time that claims took in it."""

    def __init__(self, url):
        self.store = Store(Writer(Connections(connect(url), ensure_schema)), QueueName('bench', 'bench.receive'))
        self.session = self.store.connections.writer
        self.whole, self.statements = [], []

    def claim(self):
        """Claim an event, in both ways."""
        began = time.perf_counter()
        held = self.store.claim('bench', 3600.0)
        self.whole.append(time.perf_counter() - began)
        assert held is not None, 'no event was waiting'
        self.session.execute(self.session.dialect.begin)
        began = time.perf_counter()
        Claim.run(self.session, [Claim(self.store.name, 'bench', 3600.0)])
        self.statements.append(time.perf_counter() - began)
        self.session.rollback()

    def medians(self):
        """Return the medians."""
        return {
            name: statistics.median(values[WARM_UP:]) * 1000
            for name, values in (('whole', self.whole), ('statements', self.statements))
        }


tables = [Table(url) for url in sys.argv[1:3]]
for turn in range(WARM_UP + int(sys.argv[3])):
    for table in tables if turn % 2 else reversed(tables):
        table.claim()
print(json.dumps({'first': tables[0].medians(), 'second': tables[1].medians()}))
