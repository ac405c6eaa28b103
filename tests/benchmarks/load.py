"""A load of POSTs from a process of its own: ``python load.py PORT COUNT CONNECTIONS``; prints seconds as JSON.

Requests are made beforehand and sent over raw sockets kept open, so that as little of the machine as possible goes
into sending.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import uuid

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


def request(event_id: str) -> bytes:
    """Return a POST of an event with *event_id*."""
    body = json.dumps({**EVENT, 'eventID': event_id}).encode()
    return (f'POST /receive HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode() + body


def send(port: int, requests: list[bytes], latencies: list[float]) -> None:
    """Send the requests one after another over one connection."""
    with socket.create_connection(('127.0.0.1', port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, data in enumerate(requests):
            began = time.perf_counter()
            connection.sendall(data)
            answer = connection.recv(65536)
            while b'\r\n\r\n' not in answer or not answer.endswith(b'"'):
                more = connection.recv(65536)
                if not more:
                    raise SystemExit(f'request {number} of {len(requests)} was answered with {answer!r}')
                answer += more
            if not answer.startswith(b'HTTP/1.1 200'):
                raise SystemExit(f'refused: {answer!r}')
            latencies.append(time.perf_counter() - began)


def main(port: int, count: int, connections: int) -> None:
    """Send *count* events and print how long that took."""
    run = uuid.uuid4().hex
    shares = [
        [request(f'{run}.{number}') for number in range(start, count, connections)] for start in range(connections)
    ]
    latencies: list[float] = []
    threads = [threading.Thread(target=send, args=(port, share, latencies)) for share in shares]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    assert len(latencies) == count, 'a connection failed'
    print(json.dumps({'seconds': seconds, 'per_second': count / seconds}))


if __name__ == '__main__':
    main(*map(int, sys.argv[1:4]))
