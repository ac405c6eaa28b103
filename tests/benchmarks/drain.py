"""A full queue emptied by Celery workers, from a process of its own: prints JSON.

    BENCH_DATABASE=URL BENCH_CELERY=JSON python drain.py COUNT SOCKET NODE …

The workers are told to take no messages while events and messages are laid before them, so that all of them begin
at the same moment with a full queue. SOCKET is where a handler sends the id of each event.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from load import Notifications

sys.path.append(str(Path(__file__).parent / 'contenders'))

from draining import EVENT  # noqa: E402  # as the contenders find them

START_SECONDS = 60.0
_MESSAGE_LIFETIME = 10.0  # as the engine has it


def command(app: Any, name: str, nodes: Sequence[str], **arguments: Any) -> None:
    """Have all workers carry out a command of Celery's; wait until each has answered that it has."""
    deadline = time.monotonic() + START_SECONDS
    left = set(nodes)
    while left:
        if time.monotonic() > deadline:
            raise SystemExit(f'workers do not answer to {name}: {sorted(left)}')
        replies = app.control.broadcast(
            name, arguments, destination=sorted(left), reply=True, timeout=2.0, limit=len(left))
        left -= {node for reply in replies for node in reply}


def fill(count: int) -> set[str]:
    """Store events and publish their messages; return the events' ids."""
    from dispatcher_celery import database, model, task

    from pacifica.dispatcher._events import from_dict

    run = uuid.uuid4().hex
    events = [from_dict({**EVENT, 'eventID': f'{run}.{number}'}) for number in range(count)]
    for task_id in task.store.accept(events, announced=_MESSAGE_LIFETIME):
        task.publish(task_id)
    model.close_connections()
    database.close()
    return {event.event_id for event in events}


def main(count: int, path: str, *nodes: str) -> None:
    """Print ``per_second``."""
    from dispatcher_celery import app

    queue = app.conf.task_default_queue
    command(app, 'cancel_consumer', nodes, queue=queue)
    left = fill(count)
    notifications = Notifications(path)
    began = time.perf_counter()
    app.control.broadcast('add_consumer', {'queue': queue}, destination=nodes)
    while left:
        left.discard(notifications.next())
    seconds = time.perf_counter() - began
    notifications.close()
    print(json.dumps({'per_second': count / seconds}))


if __name__ == '__main__':
    main(int(sys.argv[1]), *sys.argv[2:])
