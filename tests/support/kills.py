"""What tests that kill things have in common: events are sent until they are accepted, and runs are counted."""

from __future__ import annotations

import random
import threading
from typing import Any

import requests

from support.events import wait_until
from support.processes import Service

FINAL = ('200 OK', '422 Unprocessable Entity', '500 Internal Server Error')


def new_dice() -> random.Random:
    """Return dice, having printed the seed that makes them fall the same again."""
    seed = random.randrange(2**32)
    print(f'seed {seed}')
    return random.Random(seed)


def post(service: Service, event: dict[str, Any]) -> str:
    """Send *event* until it is accepted, as often as it takes; return its task id."""
    def answer() -> str | None:
        try:
            response = requests.post(f'http://127.0.0.1:{service.port}/receive', json=event, timeout=10)
        except requests.RequestException:
            return None
        return str(response.json()) if response.status_code == 200 else None

    return str(wait_until(answer, 120))


def post_all(service: Service, events: list[dict[str, Any]], task_ids: dict[str, str]) -> list[threading.Thread]:
    """Start eight senders that share *events*; *task_ids* gets the id that each event was answered with."""
    def send(share: list[dict[str, Any]]) -> None:
        for event in share:
            task_ids[event['eventID']] = post(service, event)

    threads = [threading.Thread(target=send, args=(events[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    return threads


def check_ends(service: Service, model: Any, task_ids: dict[str, str]) -> None:
    """Fail unless every accepted event has ended, nearly all of them well, and none ran again without a reason."""
    statuses = {str(row.task_id): row.task_status for row in model.select(model.task_id, model.task_status)}
    assert len(set(task_ids.values())) == len(task_ids)
    assert [task_id for task_id in task_ids.values() if statuses[task_id] not in FINAL] == []
    assert runs_without_reason(service) == {}
    assert sum(status == '200 OK' for status in statuses.values()) > len(task_ids) * 0.9


def runs_without_reason(service: Service) -> dict[str, Any]:
    """Return the events that were run again though the worker that ran them before was never killed."""
    return {
        event_id: lines for event_id, lines in service.runs().items()
        if any(pid not in service.killed for pid in [pid for what, pid, _ in lines if what == 'start'][:-1])
    }


def ended_in(service: Service) -> set[str]:
    """Return the ids of the events that a handler has brought to its end."""
    return {event_id for event_id, lines in service.runs().items() if 'end' in {what for what, _, _ in lines}}
