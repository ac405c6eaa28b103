"""How long the three models take on one event of 10,000 files: ``python tests/benchmarks/bench_models.py``.

Prints the best of several runs, because the machine may be busy with something else.
"""

from __future__ import annotations

import sys
import time

from cloudevents.model import Event

from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue


def make_event(files: int) -> Event:
    """Return an ingest event as Pacifica Metadata sends it, with this many files."""
    data: list[dict[str, object]] = [
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'Transactions.instrument', 'value': 54},
        {'destinationTable': 'Transactions.project', 'value': '1234a'},
        {'destinationTable': 'TransactionKeyValue', 'key': 'Micronic Adjustment', 'value': '5.66%'},
    ]
    data += [
        {
            '_id': number, 'destinationTable': 'Files', 'name': f'scan-{number:05}.csv', 'subdir': f'day/{number % 31}',
            'size': 11, 'hashtype': 'sha1', 'hashsum': 'a95330fae38035baeb0e827676ad0e246dbc0e36',
            'mimetype': 'text/csv', 'ctime': '2020-08-01T12:00:00', 'mtime': '2020-08-01T12:00:00',
        }
        for number in range(files)
    ]
    data.append({'destinationTable': 'Transactions._id', 'value': 19})
    return Event({
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventID': 'metadata.ingest.19',
        'source': 'http://metadata.pacifica.org/transactions?_id=19', 'contentType': 'application/json', 'data': data,
    })


def main(files: int = 10_000, runs: int = 15) -> None:
    """Print the milliseconds each model takes, and their sum."""
    event = make_event(files)
    total = 0.0
    for model in (File, Transaction, TransactionKeyValue):
        best = float('inf')
        for _ in range(runs):
            began = time.perf_counter()
            found = model.from_cloudevents_model(event)
            best = min(best, time.perf_counter() - began)
            del found
        total += best
        print(f'{model.__name__:20} {best * 1000:7.2f} ms')
    print(f'{"together":20} {total * 1000:7.2f} ms for {files:,} files, best of {runs}')


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
