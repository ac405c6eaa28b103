"""The plots' axes: their labels are short enough to be seen whole."""

from __future__ import annotations

import pytest

from pacifica.dispatcher._http.dashboard.charts import seconds_chart
from pacifica.dispatcher._operate.report import EndedEvents
from pacifica.dispatcher._queue.ended import Bucket
from pacifica.dispatcher._queue.status import Status


@pytest.mark.parametrize('took', [0.0004, 0.3, 7, 19, 21, 59, 61, 290, 499, 3000, 9000, 30_000, 90_000, 900_000])
def test_a_label_of_the_axis_of_durations_has_one_unit(took: float) -> None:
    chart = seconds_chart(EndedEvents([Bucket(0.0, {Status.OK: 1}, [took])]))

    assert all(len(tick.label.split()) == 2 for tick in chart.across)
    assert all(rect.y >= 10 and rect.height <= 140 for rect in chart.rects)
