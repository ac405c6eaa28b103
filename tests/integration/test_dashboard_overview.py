"""The overview says first what needs somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.dashboard import Site, dashboard_site, ids_in


def fail_if_broken(event: Any) -> None:
    if event.event_type == 'broken':
        raise ValueError(f'no calibration for {event.event_id}')


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with dashboard_site(tmp_path, fail_if_broken) as served:
        yield served


def test_what_failed_alike_is_one_line_that_runs_all_of_it_again(site: Site) -> None:
    site.accept()
    site.run()
    assert 'Nothing needs anybody' in site.text() and 'id="needs-title"' not in site.text()
    task_ids = {site.accept(eventType='broken', eventID=f'run {number}') for number in range(3)}
    site.run()

    html = site.text()
    [group] = re.findall(r'id="group-([0-9a-f]{16})"[^>]*>3</a>', html)
    listed = site.text(f'events?group={group}')
    these = {'all': '1', 'status': '500 Internal Server Error', 'group': group, 'action': 'retry'}
    asked = site.press('events', these, on='')
    unchanged = {site.status(task_id) for task_id in task_ids}
    done = site.press('events', {**these, 'confirmed': '1'}, on='')

    assert html.index('id="needs-title"') < html.index('id="counts-title"')
    assert set(ids_in(listed)) == task_ids and 'These failed alike' in listed
    assert f'id="retry-{group}" name="action" value="retry"' in html
    assert asked.status == 200 and unchanged == {'500 Internal Server Error'}
    assert done.status == 303
    assert {site.status(task_id) for task_id in task_ids} == {'202 Accepted'}
    assert 'Failures of the last day' not in site.text()


def test_what_is_late_and_who_is_lost_is_said(site: Site) -> None:
    site.accept()
    site.model.update(due=site.model.due - 600).execute()
    assert 'no worker is at work' in site.text() and 'has been due for 10 min' in site.text()

    site.show_worker('a', 'host:77', 'processes', 8)
    assert 'no worker is at work' not in site.text()

    site.model._meta.database.execute_sql('UPDATE receivetaskworker SET seen = seen - 3600')
    html = site.text()
    assert 'no worker is at work' in html and '1 of 1 workers is lost' in html


def test_each_route_has_a_line(site: Site) -> None:
    site.accept()
    site.accept(eventType='broken')
    site.run()

    html = site.text()

    name = next(iter(site.queue.router)).name
    cells = '<td class="number">1</td><td class="number">1</td>'
    assert re.search(rf'<bdi>{re.escape(name)}</bdi></td><td class="number"></td><td class="number"></td>{cells}', html)
    assert html.count('<svg class="spark"') == 1
