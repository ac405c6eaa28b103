"""What ``status`` prints: the overview of the table, read at one time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from pacifica.dispatcher._cli.output import (
    Column, console, notice, on_terminal, print_json, print_table, rich_table, status_text,
)
from pacifica.dispatcher._cli.times import in_words
from pacifica.dispatcher._queue.overview import COUNT_LIMIT, Bucket, Overview, WorkerState
from pacifica.dispatcher._queue.status import Status

__all__ = ['Glance', 'older_than', 'show', 'watching']

# span, width of its buckets, how many of them: "the last hour" is up to now, and as exact as a bucket is wide
_SPANS = (('hour', 300.0, 12), ('day', 3600.0, 24))


class Ended:
    """The events that ended within some time: how many in which status, and how long they took."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self.counts: dict[Status, int] = {}
        for bucket in buckets:
            for status, count in bucket.counts.items():
                self.counts[status] = self.counts.get(status, 0) + count
        self._seconds = sorted(seconds for bucket in buckets for seconds in bucket.seconds)

    def quantile(self, share: float) -> float | None:
        """Return within how many seconds this *share* of them ended (the nearest rank); ``None`` without any."""
        if not self._seconds:
            return None
        return self._seconds[min(len(self._seconds) - 1, int(share * len(self._seconds)))]


class Glance:
    """All that is shown, read from *overview* now."""

    def __init__(self, overview: Overview) -> None:
        self.counts = overview.counts()
        self.skipped = overview.skipped()
        self.unrouted = overview.unrouted()
        self.queues = overview.queues()
        self.workers = overview.workers()
        self.ended = {span: Ended(overview.ended(width, number)) for span, width, number in _SPANS}

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, whose keys are those of a record where they mean the same."""
        return {
            'counts': {status.value: count for status, count in self.counts.items()},
            'skipped': self.skipped,
            'unrouted': self.unrouted,
            'queues': [{'taskApplicationName': queue.application, 'taskName': queue.task,
                        'oldestAge': queue.oldest_age} for queue in self.queues],
            'workers': [_worker_as_json(worker) for worker in self.workers],
            'ended': {
                span: {'counts': {status.value: count for status, count in ended.counts.items()},
                       'p50': ended.quantile(0.5), 'p95': ended.quantile(0.95)}
                for span, ended in self.ended.items()
            },
        }


def _worker_as_json(worker: WorkerState) -> dict[str, Any]:
    values = asdict(worker)
    names = {'taskApplicationName': values.pop('application'), 'taskName': values.pop('task')}
    return {**names, **values, 'lost': worker.lost}


def show(glance: Glance, as_json: bool) -> None:
    """Print *glance*: on a terminal as tables, in a pipe as lines."""
    if as_json:
        print_json(glance.as_json())
    elif on_terminal():
        console().print(_tables(glance))
    else:
        print_table((), _lines(glance))


def older_than(glance: Glance, seconds: float) -> bool:
    """Return whether an event has been due for more than *seconds*, and say so."""
    oldest = max(glance.queues, key=lambda queue: queue.oldest_age, default=None)
    if oldest is None or oldest.oldest_age <= seconds:
        return False
    notice(f'an event of {oldest.application}, task {oldest.task}, has been due for {in_words(oldest.oldest_age)}')
    return True


def watching(overview: Overview, seconds: float) -> None:
    """Show it anew every so many *seconds*, until Ctrl-C."""
    with suppress(KeyboardInterrupt), Live(console=console(), auto_refresh=False) as live:
        while True:
            now = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())
            live.update(Group(Text(now, 'dim'), _tables(Glance(overview))), refresh=True)
            time.sleep(seconds)


def _lines(glance: Glance) -> list[Sequence[object]]:
    found: list[Sequence[object]] = [('count', status, count) for status, count in glance.counts.items()]
    found.append(('count', 'skipped', glance.skipped))
    found += [('unrouted', event_type, count) for event_type, count in glance.unrouted.items()]
    found += [('queue', queue.application, queue.task, f'{queue.oldest_age:.3f}') for queue in glance.queues]
    found += [
        ('worker', worker.owner, worker.application, worker.task, worker.engine, worker.concurrency,
         f'{worker.age:.3f}', 'lost' if worker.lost else 'there') for worker in glance.workers
    ]
    for span, ended in glance.ended.items():
        found += [('ended', span, status, count) for status, count in ended.counts.items()]
        found += [('ended', span, name, f'{value:.3f}') for name, value in _quantiles(ended) if value is not None]
    return found


def _quantiles(ended: Ended) -> list[tuple[str, float | None]]:
    return [('p50', ended.quantile(0.5)), ('p95', ended.quantile(0.95))]


def _tables(glance: Glance) -> RenderableType:
    parts = [_statuses(glance), *_unrouted(glance), _queues(glance), _workers(glance)]
    return Group(*(line for part in parts for line in (part, Text())))


def _statuses(glance: Glance) -> RenderableType:
    columns = [Column('STATUS', whole=True), Column('EVENTS', right=True)]
    columns += [Column(f'IN THE LAST {span.upper()}', right=True) for span in glance.ended]
    rows: list[list[object]] = [
        [status_text(status), _number(count),
         *(f'{ended.counts[status]:,}' if status in ended.counts else None for ended in glance.ended.values())]
        for status, count in glance.counts.items()
    ]
    if glance.skipped:
        nothing = [None] * len(glance.ended)
        rows.append([Text('of 200 OK, skipped', 'dim'), _number(glance.skipped), *nothing])
    for number, name in enumerate(('half took at most', '95 % took at most')):
        values = [_quantiles(ended)[number][1] for ended in glance.ended.values()]
        rows.append([Text(name, 'dim'), None, *(None if value is None else in_words(value) for value in values)])
    return rich_table(columns, rows)


def _number(count: int) -> str:
    return f'{count:,} or more' if count >= COUNT_LIMIT else f'{count:,}'


def _unrouted(glance: Glance) -> list[RenderableType]:
    if not glance.unrouted:
        return []
    return [rich_table([Column('LATEST WITHOUT A ROUTE'), Column('EVENTS', right=True)],
                       [(event_type, f'{count:,}') for event_type, count in glance.unrouted.items()])]


def _queues(glance: Glance) -> RenderableType:
    if not glance.queues:
        return Text('no event is due')
    return rich_table(
        [Column('APPLICATION'), Column('TASK'), Column('OLDEST DUE FOR', whole=True)],
        [(queue.application, queue.task, in_words(queue.oldest_age)) for queue in glance.queues])


def _workers(glance: Glance) -> RenderableType:
    if not glance.workers:
        return Text('no workers', 'yellow')
    return rich_table(
        [Column('WORKER'), Column('APPLICATION'), Column('TASK'), Column('ENGINE', whole=True),
         Column('CONCURRENCY', right=True), Column('LAST SEEN', whole=True)],
        [(worker.owner, worker.application, worker.task, worker.engine, worker.concurrency, _seen(worker))
         for worker in glance.workers])


def _seen(worker: WorkerState) -> Text:
    ago = f'{in_words(worker.age)} ago'
    return Text(f'{ago}: lost', 'bold red') if worker.lost else Text(ago)
