"""The dashboard's pages with a million events in the table: ``python tests/benchmarks/bench_dashboard.py [-k WORDS]``.

Each answers in under 100 ms. ``PACIFICA_BENCH_ROWS`` sets another number of events, ``PACIFICA_BENCH_REQUESTS`` how
often each page is asked for.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playhouse.db_url import connect

if __name__ == '__main__':
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from benchmarks.spread import RARE_TYPE, SHARED_SOURCE, SHARED_TRANSACTION, fill

from pacifica.dispatcher.receiver import create_peewee_model
from support.databases import KINDS, temporary_database
from support.events import router_to
from support.front_door import Client, cherrypy_server

ROWS = int(os.environ.get('PACIFICA_BENCH_ROWS', '1000000'))
REQUESTS = int(os.environ.get('PACIFICA_BENCH_REQUESTS', '20'))
FAILED, OK = quote('500 Internal Server Error'), quote('200 OK')
TYPE, SOURCE = quote('org.example.acquired'), quote(SHARED_SOURCE)

PAGES = {
    'overview': '/dashboard/',
    'list': '/dashboard/events',
    **{f'list, {status[:3]}': f'/dashboard/events?status={quote(status)}' for status in (
        '202 Accepted', '102 Processing', '200 OK', '422 Unprocessable Entity', '500 Internal Server Error')},
    'list, a common type': f'/dashboard/events?type={TYPE}',
    'list, a rare type': f'/dashboard/events?type={quote(RARE_TYPE)}',
    'list, a common source': f'/dashboard/events?source={SOURCE}',
    'list, a common transaction': f'/dashboard/events?transaction={SHARED_TRANSACTION}',
    'list, one transaction': '/dashboard/events?transaction=123456',
    'list, a day 20 days ago': '/dashboard/events?since={since}&until={until}',
    'list, text that many have': '/dashboard/events?q=calibrated',
    'list, text that occurs nowhere': '/dashboard/events?q=nowhere-at-all',
    'list, an event id': '/dashboard/events?q=metadata.ingest.77777',
    'list, a key-value that none has': '/dashboard/events?kv=no-such-key%3D1',
    'list, a file that none has': '/dashboard/events?file=no-such-file.csv',
    'images': '/dashboard/previews',
    'failed, rare type': f'/dashboard/events?status={FAILED}&type={quote(RARE_TYPE)}',
    'OK, rare type': f'/dashboard/events?status={OK}&type={quote(RARE_TYPE)}',
    'OK, source, rare type': f'/dashboard/events?status={OK}&source={SOURCE}&type={quote(RARE_TYPE)}',
    'failed, transaction': f'/dashboard/events?status={FAILED}&transaction={SHARED_TRANSACTION}',
    'failed, text nowhere': f'/dashboard/events?status={FAILED}&q=nowhere',
    'OK, source, text nowhere': f'/dashboard/events?status={OK}&source={SOURCE}&q=nowhere',
    'waiting, other type, text nowhere': f'/dashboard/events?status={quote("202 Accepted")}&type=x&q=nowhere',
    'old day, text nowhere': '/dashboard/events?since={since}&until={until}&q=nowhere',
}


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Client]]:
    """A dashboard over a full table; nothing of it was asked for yet."""
    with temporary_database(request.param, tmp_path) as url:
        database = connect(url)
        model = create_peewee_model(database)
        model.create_table()
        began = time.monotonic()
        fill(database, request.param, ROWS)
        database.close()
        print(f'\n{request.param}: {ROWS} rows in {time.monotonic() - began:.0f} s')
        queue = model.create_queue(router_to(lambda event: None), 'my.app', 'my.tasks.receive')
        with cherrypy_server(model.create_cherrypy_app(queue)) as client:
            yield request.param, client
        model.close_connections()


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_pages_of_a_full_table(served: tuple[str, Client]) -> None:
    kind, client = served
    day = time.strftime('%Y-%m-%d', time.gmtime(time.time() - 20 * 86_400))
    next_day = time.strftime('%Y-%m-%d', time.gmtime(time.time() - 19 * 86_400))
    print(f'{kind:36}   first  median     p95     max   ms')
    for name, path in PAGES.items():
        path = path.format(since=day, until=next_day)
        _measure(client, name, path)
        if path.startswith('/dashboard/events'):
            older = _older(client.get(path).body.decode())
            if older:
                _measure(client, f'  {name}, page 2', older)
    deep = client.get('/dashboard/events').body.decode()
    event = re.search(r'href="\./(events/[0-9a-f-]{36})"', deep)
    assert event
    _measure(client, 'one event', f'/dashboard/{event[1]}')
    moment = time.strftime('%Y-%m-%d %H:%M:%S.000000', time.gmtime(time.time() - 29 * 86_400))
    _measure(client, 'list, a page of the oldest', '/dashboard/events?before=' + quote(
        f'{moment}~00000000-0000-7000-8000-000000000000'))


def _older(page: str) -> str | None:
    found = re.search(r'id="older"[^>]*href="\./([^"]*)"', page)
    return f'/dashboard/{unescape(found[1])}' if found else None


def _measure(client: Client, name: str, path: str) -> None:
    taken: list[Any] = []
    for _ in range(REQUESTS):
        began = time.monotonic()
        answer = client.get(path)
        taken.append(1000 * (time.monotonic() - began))
        assert answer.status == 200, answer.body
    rest = sorted(taken)
    print(f'{name:36} {taken[0]:7.1f} {statistics.median(rest):7.1f} {rest[int(len(rest) * 0.95) - 1]:7.1f}'
          f' {rest[-1]:7.1f}')
