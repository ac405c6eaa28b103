"""A load of POSTs from a process of its own: prints rates as JSON.

    python load.py PORT COUNT CONNECTIONS [SOCKET]

Requests are made beforehand and sent over raw sockets kept open, so that as little of the machine as possible goes
into sending. With SOCKET, the path of a datagram socket to make, it also waits until a handler has sent the id of each
event there.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from pathlib import Path

sys.path.append(str(Path(__file__).parent / 'contenders'))

from draining import EVENT  # noqa: E402  # as the contenders find it

PATIENCE = 300.0


def request(event_id: str) -> bytes:
    """Return a POST of an event with *event_id*."""
    body = json.dumps({**EVENT, 'eventID': event_id}).encode()
    return (f'POST /receive HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode() + body


class Connection:
    """A connection to the service, kept open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(('127.0.0.1', port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, data: bytes) -> None:
        """Send the request and read its answer, which must be ``200``."""
        self._socket.sendall(data)
        answer = b''
        while b'\r\n\r\n' not in answer:
            answer += self._receive(answer)
        head, _, body = answer.partition(b'\r\n\r\n')
        length = int(head.lower().partition(b'content-length:')[2].split(None, 1)[0])
        while len(body) < length:
            body += self._receive(body)
        if not head.startswith(b'HTTP/1.1 200'):
            raise SystemExit(f'refused: {head!r} {body!r}')

    def _receive(self, so_far: bytes) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise SystemExit(f'the connection was closed after {so_far!r}')
        return data

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Notifications:
    """Where handlers send the ids of the events that they handled."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(PATIENCE)

    def next(self) -> str:
        """Wait for an id."""
        return self._socket.recv(1024).decode()

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        os.unlink(self._path)


def _send(port: int, requests: list[bytes], done: list[int]) -> None:
    connection = Connection(port)
    for data in requests:
        connection.post(data)
    connection.close()
    done.append(len(requests))


def _collect(notifications: Notifications, ids: set[str], ended: list[float]) -> None:
    left = set(ids)
    while left:
        left.discard(notifications.next())
    ended.append(time.perf_counter())


def main(port: int, count: int, connections: int, path: str | None = None) -> None:
    """Send *count* events and print how long that took."""
    run = uuid.uuid4().hex
    ids = [f'{run}.{number}' for number in range(count)]
    shares = [[request(event_id) for event_id in ids[start::connections]] for start in range(connections)]
    done: list[int] = []
    threads = [threading.Thread(target=_send, args=(port, share, done)) for share in shares]
    notifications, ended = (Notifications(path) if path else None), []
    collector = threading.Thread(target=_collect, args=(notifications, set(ids), ended))
    if notifications:
        collector.start()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = {'accepted_per_second': count / (time.perf_counter() - began)}
    if sum(done) != count:
        os._exit(1)  # a thread has said why; the others may wait for ever
    if notifications:
        collector.join()
        notifications.close()
        if not ended:
            raise SystemExit(f'not all events were handled within {PATIENCE:g} seconds')
        result['handled_per_second'] = count / (ended[0] - began)
    print(json.dumps(result))


if __name__ == '__main__':
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])
