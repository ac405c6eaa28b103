"""How fast the front door takes events: ``python tests/benchmarks/bench_front_door.py``.

Prints, each as the best of several runs because the machine may be busy with something else:

- how long decoding takes for events of 1 and of 10,000 files, with nothing around it;
- requests per second over HTTP, each stored in SQLite before it is answered, beside a bare CherryPy echo;
- how long an event of 10,000 files (2 MB) takes from its first byte to its answer.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pacifica.dispatcher._events import decode

HERE = Path(__file__).parent
PORT = 18790
HEADERS = {'Content-Type': 'application/json'}


def make_event(files: int, event_id: str = 'metadata.ingest.19') -> bytes:
    """Return an ingest event as Pacifica Notifications sends it, with this many files."""
    data: list[dict[str, Any]] = [
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'TransactionKeyValue', 'key': 'Micronic Adjustment', 'value': '5.66%'},
    ]
    data += [
        {
            '_id': number, 'destinationTable': 'Files', 'name': f'scan-{number:05}.csv', 'subdir': 'day', 'size': 11,
            'hashtype': 'sha1', 'hashsum': 'a95330fae38035baeb0e827676ad0e246dbc0e36', 'mimetype': 'text/csv',
        }
        for number in range(files)
    ]
    return json.dumps({
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventID': event_id,
        'source': 'http://metadata.pacifica.org/transactions?_id=19', 'contentType': 'application/json', 'data': data,
    }).encode()


def best(run: Callable[[], Any], runs: int = 15) -> float:
    """Return the seconds of the fastest run."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


@contextmanager
def serving(script: str, *arguments: str) -> Iterator[None]:
    """Run one of the contenders until the block ends."""
    process = subprocess.Popen([sys.executable, HERE / 'contenders' / script, str(PORT), *arguments])
    try:
        while True:
            connection = http.client.HTTPConnection('127.0.0.1', PORT)
            try:
                connection.request('GET', '/')
                connection.getresponse().read()
                break
            except OSError:
                time.sleep(0.05)
            finally:
                connection.close()
        yield
    finally:
        process.terminate()
        process.wait()


def requests_per_second(count: int = 3000, connections: int = 8, runs: int = 3) -> float:
    """Return the best rate at which the running contender answers events of one file."""
    load = [sys.executable, HERE / 'load.py', str(PORT), str(count), str(connections)]
    results = [json.loads(subprocess.run(load, capture_output=True, check=True).stdout) for _ in range(runs)]
    return float(max(result['accepted_per_second'] for result in results))


def large_events(count: int = 15) -> list[float]:
    """Return the seconds from the first byte of an event of 10,000 files to its answer, each on a new connection."""
    times = []
    for number in range(count):
        body = make_event(10_000, f'large.{number}')
        connection = http.client.HTTPConnection('127.0.0.1', PORT)
        connection.connect()
        began = time.perf_counter()
        connection.request('POST', '/receive', body, HEADERS)
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - began)
        assert response.status == 200, response.status
        connection.close()
    return sorted(times)


def main() -> None:
    """Measure and print."""
    for files in (1, 10_000):
        body = make_event(files)
        seconds = best(partial(decode, {'content-type': 'application/json'}, body))
        print(f'decode {files:6} files, {len(body):8} bytes: {seconds * 1e3:8.3f} ms')
    with serving('echo.py'):
        echo = requests_per_second()
    print(f'bare CherryPy echo:   {echo:6.0f} requests/s')
    with tempfile.TemporaryDirectory() as directory, serving('dispatcher.py', f'sqlite:///{directory}/e.db', '0'):
        ours = requests_per_second()
        large = large_events()
    print(f'accept, 1 file:       {ours:6.0f} requests/s, {ours / echo:.2f} of the echo')
    print(f'accept, 10,000 files: {large[0] * 1e3:6.1f} ms best, {large[len(large) // 2] * 1e3:.1f} ms median')


if __name__ == '__main__':
    main()
