"""Bar charts as numbers: what the templates draw as SVG, and list as a table for those who don't see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pacifica.dispatcher._operate.report import EndedEvents, percentile
from pacifica.dispatcher._operate.words import duration, moment
from pacifica.dispatcher._queue.ended import Bucket
from pacifica.dispatcher._queue.status import Status

#: The plot's area in the units of its ``viewBox``, 600 × 180.
LEFT, TOP, WIDTH, HEIGHT = 72, 10, 520, 140
#: From the bottom of a bar to its top.
_STACK = ((Status.OK, 'ok'), (Status.UNPROCESSABLE, 'unrouted'), (Status.FAILED, 'failed'))
_LABELS = 6
# Lengths of time that people have a word for, as they have for their halves.
_NICE_SECONDS = (60, 120, 240, 600, 1200, 3600, 7200, 14_400, 43_200, 86_400, 172_800)


class Rect(NamedTuple):
    """One part of a bar; ``kind`` is its CSS class."""

    x: float
    y: float
    width: float
    height: float
    kind: str


class Tick(NamedTuple):
    """A line across the plot, or a place below it, with its label."""

    position: float
    label: str
    at: str = ''  # the moment (UTC) that the label is of, if it is a time


class Chart(NamedTuple):
    rects: Sequence[Rect]
    across: Sequence[Tick]
    along: Sequence[Tick]
    summary: str


def throughput_chart(ended: EndedEvents) -> Chart:
    """Return how many events ended in each part of a span, and how."""
    buckets = ended.buckets
    top = _nice(max((sum(bucket.counts.values()) for bucket in buckets), default=0), whole=True)
    rects = []
    step = WIDTH / max(1, len(buckets))
    for position, bucket in enumerate(buckets):
        base = float(TOP + HEIGHT)
        for status, kind in _STACK:
            height = HEIGHT * bucket.counts.get(status, 0) / top
            if height:
                base -= height
                rects.append(_rect(position, step, base, height, kind))
    totals = {kind: ended.counts.get(status, 0) for status, kind in _STACK}
    summary = (f'{sum(totals.values())} events ended: {totals["ok"]} OK, {totals["unrouted"]} without a route, '
               f'{totals["failed"]} failed.')
    return Chart(rects, _across(top, '{:,.0f}'.format), _along(buckets, step), summary)


def seconds_chart(ended: EndedEvents) -> Chart:
    """Return the median and the 95th percentile of the seconds from acceptance to the end, in each part of a span."""
    buckets = ended.buckets
    ends = [(percentile(bucket.seconds, 0.5), percentile(bucket.seconds, 0.95)) for bucket in buckets]
    most = max((high or 0 for _, high in ends), default=0)
    top = _nice(most, whole=False) if most <= 20 else _nice_seconds(most)
    step = WIDTH / max(1, len(buckets))
    rects = []
    for position, (median, high) in enumerate(ends):
        for value, kind in ((high, 'high'), (median, 'median')):
            if value:
                height = max(1.0, HEIGHT * value / top)
                rects.append(_rect(position, step, TOP + HEIGHT - height, height, kind))
    median, high = ended.percentile(0.5), ended.percentile(0.95)
    summary = 'No event ended.' if median is None else (
        f'Half of the events ended within {duration(median)}, 95 % within {duration(high)} of their arrival.')
    return Chart(rects, _across(top, duration), _along(buckets, step), summary)


def sparkline(ended: EndedEvents) -> Sequence[Rect]:
    """Return bars for a plot of 120 × 24 without axes: how many events ended in each part of a span, and how."""
    most = max((sum(bucket.counts.values()) for bucket in ended.buckets), default=0)
    step = 120 / max(1, len(ended.buckets))
    width = round(step * 0.8, 1)
    rects = []
    for position, bucket in enumerate(ended.buckets):
        base = 24.0
        for status, kind in _STACK:
            height = 24 * bucket.counts.get(status, 0) / max(1, most)
            if height:
                base -= height
                rects.append(Rect(round(position * step, 1), round(base, 1), width, round(height, 1), kind))
    return rects


def table(ended: EndedEvents) -> list[dict[str, object]]:
    """Return the rows of both charts' table, the newest first, without parts of the span in which nothing ended."""
    return [
        {'begin': moment(bucket.begin)[:16], **{kind: bucket.counts.get(status, 0) for status, kind in _STACK},
         'median': duration(percentile(bucket.seconds, 0.5)), 'high': duration(percentile(bucket.seconds, 0.95))}
        for bucket in reversed(ended.buckets) if any(bucket.counts.values())
    ]


def _rect(position: int, step: float, y: float, height: float, kind: str) -> Rect:
    left = LEFT + position * step + step * 0.1
    return Rect(round(left, 1), round(y, 1), round(step * 0.8, 1), round(height, 1), kind)


def _nice(most: float, *, whole: bool) -> float:
    """Return 1, 2 or 5 times a power of ten, no less than *most*."""
    if most <= 0 or (whole and most < 1):
        return 1
    power = 10.0 ** math.floor(math.log10(most))
    nice = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= most * 0.9999)
    return max(nice, 2.0) if whole else nice


def _nice_seconds(most: float) -> float:
    days = 86_400 * _nice(most / 86_400, whole=True)
    return next((each for each in _NICE_SECONDS if each >= most), days)


def _across(top: float, show: Callable[[float], str]) -> list[Tick]:
    return [Tick(TOP + HEIGHT - HEIGHT * part, show(top * part)) for part in (0, 0.5, 1)]


def _along(buckets: Sequence[Bucket], step: float) -> list[Tick]:
    each = max(1, len(buckets) // _LABELS)
    return [Tick(round(LEFT + position * step + step / 2, 1), moment(bucket.begin)[11:16], moment(bucket.begin))
            for position, bucket in enumerate(buckets) if position % each == 0]
