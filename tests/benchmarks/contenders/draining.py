"""What those share that drain a queue: the event, and a way to notice the last one."""

import threading

EVENT = {
    'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventTime': '2026-11-24T08:54:35',
    'source': 'http://metadata.pacifica.org/transactions?_id=19', 'extensions': {}, 'contentType': 'application/json',
    'data': [
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'Transactions.instrument', 'value': 54},
        {'destinationTable': 'Transactions.project', 'value': '1234a'},
        {'destinationTable': 'TransactionKeyValue', 'key': 'Micronic Adjustment', 'value': '5.66%'},
        {'_id': 364, 'ctime': '2020-08-01T12:00:00', 'destinationTable': 'Files', 'hashtype': 'sha1', 'name': 'top.csv',
         'hashsum': '13ab9f4291943d24149ff0a6b80050ce822cf627', 'mimetype': 'text/csv', 'size': 4, 'subdir': '',
         'mtime': '2020-08-01T12:00:00'},
        {'destinationTable': 'Transactions._id', 'value': 19},
    ],
}


class Countdown:
    """Called once for each event; :meth:`wait` returns when all of them were."""

    def __init__(self, count):
        self._left = count
        self._lock = threading.Lock()
        self._done = threading.Event()

    def __call__(self):
        """Count one."""
        with self._lock:
            self._left -= 1
            if not self._left:
                self._done.set()

    def wait(self):
        """Wait for the last one; give up after ten minutes."""
        if not self._done.wait(600):
            raise SystemExit(f'{self._left} events were never handled')
