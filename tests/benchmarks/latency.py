"""From POST to handled, one event at a time, from a process of its own: prints milliseconds as JSON.

    python latency.py PORT COUNT SOCKET [SECONDS]

SECONDS is the pause before each event; it is 0 for the first ones, which don't count.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid

from load import Connection, Notifications, request

WARM_UP = 20


def main(port: int, count: int, path: str, pause: float = 0.0) -> None:
    """Send one event after another, each once the one before was handled."""
    run = uuid.uuid4().hex
    connection, notifications = Connection(port), Notifications(path)
    answered, handled = [], []
    for number in range(-WARM_UP, count):
        event_id = f'{run}.{number}'
        data = request(event_id)
        time.sleep(pause if number >= 0 else 0.0)
        began = time.perf_counter()
        connection.post(data)
        answered.append(time.perf_counter() - began)
        while notifications.next() != event_id:
            pass
        handled.append(time.perf_counter() - began)
    connection.close()
    notifications.close()
    handled_ms = sorted(seconds * 1000 for seconds in handled[WARM_UP:])
    print(json.dumps({
        'answered_ms': statistics.median(answered[WARM_UP:]) * 1000,
        'handled_ms': statistics.median(handled_ms),
        'handled_p95_ms': handled_ms[int(count * 0.95)],
        'handled_max_ms': handled_ms[-1],
    }))


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *map(float, sys.argv[4:]))
