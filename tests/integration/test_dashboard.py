"""The dashboard's pages over HTTP: what they show, to whom, and with which headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher._lineage import step
from pacifica.dispatcher._queue import search
from pacifica.dispatcher.exceptions import DatabaseUnavailableError
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task, stage
from support.dashboard import SCRIPT_NAME, Site, dashboard_site, ids_in, older_in
from support.events import received
from support.front_door import MemoryStore, wsgi_server
from support.queues import APPLICATION, record

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
          "form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
NUMBERS = itertools.count(1)
HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(1)>'


def handle(event: Any) -> None:
    """Fail if the event says so; else do what staging does."""
    if event.event_type == 'broken':
        raise ValueError(f'no calibration for <{event.event_id}>')
    with stage('download', files=2, bytes=2_500_000):
        pass
    task = current_task()
    assert task is not None
    task.save_result(uploads=[{'service': 'http://ingest.example.org', 'job_id': 4242, 'contents': 'x', 'attempt': 1,
                               'state': {'state': 'OK', 'task': 'ingest metadata'}}])


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with dashboard_site(tmp_path_factory.mktemp('dashboard'), handle) as served:
        yield served


def test_the_overview_counts_events_and_names_the_queue_that_waits(site: Site) -> None:
    site.accept()
    site.run()
    site.accept()
    html = site.text()
    counts = {kind: int(number.replace(',', '')) for kind, number in re.findall(
        r'id="count-(\d+)".*?<strong>([\d,]+)</strong>', html)}
    assert counts['202'] >= 1 and counts['200'] >= 1
    assert 'my.tasks.receive' in html and 'The last hour' in html and 'The last day' in html


def test_the_overview_tells_of_which_types_the_events_without_a_route_are(site: Site) -> None:
    queue = site.model.create_queue(Router(), 'my.app', 'my.tasks.without_routes')
    queue.accept([received(eventType='unwanted')])
    assert queue.create_worker().run_once()
    assert re.search(r'Of the latest without a route: .*\d+ × <bdi>unwanted</bdi>', site.text())


def test_plots_have_a_title_a_description_and_the_same_as_a_table(site: Site) -> None:
    site.accept()
    site.run()
    html = site.text()
    plots = re.findall(r'<svg class="chart"[^>]*aria-labelledby="([^"]+)">', html)
    assert len(plots) == 4
    for label in ' '.join(plots).split():
        assert re.search(rf'<(title|desc) id="{label}">[^<]+<', html)
    assert html.count('The same as a table') == 2 and '<th scope="row">' in html


def test_workers_are_listed_until_they_are_lost(site: Site) -> None:
    site.show_worker('a', 'host:77', 'processes', 8)
    html = site.text()
    assert re.search(r'host:77.*<span class="badge s200">alive</span>.*processes</td><td class="number">8<', html)
    site.model._meta.database.execute_sql('UPDATE receivetaskworker SET seen = seen - 3600')
    assert '<span class="badge s500">lost</span>' in site.text()


def test_an_event_page_tells_what_happened(site: Site) -> None:
    task_id = site.accept(eventID='told.1')
    assert 'Waits for a worker' in site.text(f'events/{task_id}')
    site.run()
    html = site.text(f'events/{task_id}')
    for part in ('Received', 'Attempt 1', 'download', '2 files', '2.5 MB', 'Ended', '200 OK', '4242', 'ingest metadata',
                 'http://ingest.example.org', 'Event as JSON', '&#34;eventID&#34;: &#34;told.1&#34;'):
        assert part in html, part
    assert re.search(r'<a id="by-transaction" href="\.\./events\?transaction=\d+">', html)


def test_a_skipped_event_says_what_made_it_and_leads_there(site: Site) -> None:
    [route] = site.queue.router
    made_by = {'Pacifica.Dispatcher.source_transaction': 4711, 'Pacifica.Dispatcher.lineage.1': step(
        APPLICATION, route.name)}
    rows = [{'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value} for key, value in made_by.items()]
    task_id = site.accept(data=[*rows, {'destinationTable': 'Transactions._id', 'value': 4712}])
    site.run()

    html = site.text(f'events/{task_id}')

    assert re.search(r'200 OK</span> skipped: <bdi>made by [^<]+ from transaction 4711</bdi>', html)
    assert 'id="by-parent" href="../events?transaction=4711"' in html
    assert 'id="by-children" href="../events?parent=4712"' in html
    assert task_id in site.text('events?parent=4711') and task_id not in site.text('events?parent=4712')
    assert re.search(r'\d+ of those in 200 OK were skipped', site.text())


def test_a_failed_event_shows_its_error_and_traceback(site: Site) -> None:
    task_id = site.accept(eventType='broken', eventID='e-7')
    site.run()
    html = site.text(f'events/{task_id}')
    assert 'ValueError' in html and 'no calibration for &lt;e-7&gt;' in html
    assert 'Traceback (most recent call last)' in html


@pytest.mark.parametrize('query', [
    'status=500+Internal+Server+Error&type=broken', 'status=failed&type=broken', 'text={event}',
    'type=broken&source={source}', 'source={source}',
    'transaction={transaction}', 'q={task}', 'q={event}', 'q=FIND-ME', 'q={transaction}',
    'q=calibration&type=broken&since={now}',
    'since={now}&source={source}', 'until=2999-01-01&source={source}',
])
def test_every_filter_finds_the_event(site: Site, query: str) -> None:
    source = 'http://find.example.org/é?a=1&b=%'
    now = str(record(site.model, site.accept()).created)
    event = f'find-me.{next(NUMBERS)}'
    task_id = site.accept(eventType='broken', eventID=event, source=source)
    site.accept(eventType='broken', eventID='another')
    site.run()
    transaction = record(site.model, task_id).transaction_id
    html = site.text('events?' + query.format(
        source=quote(source), transaction=transaction, task=task_id, now=quote(now), event=event))
    assert task_id in ids_in(html)
    if 'source' in query or 'transaction' in query or '{task}' in query:
        assert all(record(site.model, each).source == source or '{transaction}' in query for each in ids_in(html))


@pytest.mark.parametrize('query, numbers', [
    ('kv=sample=1', [7, 4, 1]), ('file=*2.csv', [8, 5, 2]), ('kv=sample=1&file=a/run-1.csv', [7, 4, 1]),
    ('kv=sample=1&file=run-2.csv', []), ('kv=sample=1&project=rare', [4]),
])
@pytest.mark.parametrize('most', [20_000_000, 1])
def test_the_list_for_programs_finds_the_same_by_key_values_and_files_page_by_page(
    site: Site, monkeypatch: pytest.MonkeyPatch, query: str, numbers: list[int], most: int,
) -> None:
    monkeypatch.setattr(search, '_BATCH', 2)
    monkeypatch.setattr(search, '_MOST_DATA', most)  # 1: pages that are empty, since they may read no more
    kind = f'{query} {most}'
    task_ids = [site.accept(eventType=kind, data=[
        {'destinationTable': 'Transactions.project', 'value': 'rare' if number == 4 else 'usual'},
        {'destinationTable': 'TransactionKeyValue', 'key': 'sample', 'value': str(number % 3)},
        {'destinationTable': 'Files', '_id': 1, 'subdir': 'a', 'name': f'run-{number % 3}.csv'},
    ]) for number in range(9)]
    address, seen = f'?limit=2&{query}&{urlencode({"type": kind})}', []
    while address:
        answered = site.client.get(f'{SCRIPT_NAME}/{address}')
        assert all(set(each) == {'taskID', 'created', 'updated', 'deleted'} for each in answered.json())
        seen += [each['taskID'] for each in answered.json()]
        address = answered.headers['Link'][1:].partition('>')[0] if 'Link' in answered.headers else ''

    assert seen == [task_ids[number] for number in numbers]
    assert most == 1 or ids_in(site.text(f'events?{query}&{urlencode({"type": kind})}')) == seen


def test_pages_follow_one_another_to_the_end(site: Site) -> None:
    accepted = [site.accept(eventType='paged') for _ in range(120)]
    path: str | None = 'events?type=paged'
    found: list[str] = []
    pages = 0
    while path:
        html = site.text(path)
        found += ids_in(html)
        path = older_in(html)
        pages += 1
    assert found == accepted[::-1] and pages == 3
    site.run()


def test_a_search_that_has_not_looked_everywhere_says_how_far_it_looked(
    site: Site, monkeypatch: pytest.MonkeyPatch,
) -> None:
    oldest = site.accept(eventType='far', eventID='needle')
    for _ in range(60):
        site.accept(eventType='far')
    monkeypatch.setattr('pacifica.dispatcher._queue.search.WINDOW', 50)
    html = site.text('events?type=far&q=needl')
    assert not ids_in(html) and 'No event found so far' in html and 'Looked at all events back to' in html
    further = older_in(html)
    assert further and 'Look further back' in html
    assert ids_in(site.text(further)) == [oldest]


@pytest.mark.parametrize('path, status, text', [
    ('events?status=lost', 422, 'status</strong> must be waiting, processing'),
    ('events?kv=x', 422, 'kv</strong> must be KEY=VALUE'),
    ('events?since=Tuesday', 422, 'since</strong> must be a date'),
    ('events?before=x', 422, 'before'),
    ('events?colour=red', 404, 'no parameter'),
    ('events/x', 422, 'not a UUID'),
    ('events/00000000-0000-7000-8000-000000000000', 404, 'there is no event'),
    ('events/a/b', 404, 'nothing at'),
    ('nothing', 404, 'nothing at'),
    ('static/no.css', 404, 'no such file'),
    ('static/../rendering.py', 404, 'no such file'),
    ('events?q=%FF', 404, 'UTF-8'),
    ('?x=<script>&fragment=1', 404, 'no parameter'),
])
def test_errors_are_pages_of_the_same_look(site: Site, path: str, status: int, text: str) -> None:
    answer = site.get(path)
    html = answer.body.decode()
    assert answer.status == status and text.lower() in html.lower()
    assert answer.headers['Content-Type'] == 'text/html; charset=utf-8'
    assert answer.headers['Content-Security-Policy'] == POLICY and answer.headers['Cache-Control'] == 'no-store'
    assert 'static/dashboard.css' in html and '<script>' not in html


@pytest.mark.parametrize('method, path', [
    ('DELETE', 'events'), ('PUT', ''), ('POST', ''), ('OPTIONS', ''), ('POST', 'static/dashboard.css'),
])
def test_other_methods_are_refused_with_a_page(site: Site, method: str, path: str) -> None:
    answer = site.client.request(method, f'{SCRIPT_NAME}/dashboard/{path}')
    assert answer.status == 405 and 'GET' in answer.headers['Allow']
    assert answer.headers['Content-Type'] == 'text/html; charset=utf-8'


def attributes_in(html: str) -> set[str]:
    """Return the names of all attributes; what is called like one in a text or a value is none."""
    names: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: names.update(name for name, _ in attributes)
    parser.feed(html)
    return names


@pytest.mark.parametrize('path', ['', 'events', 'events/{id}', '?fragment=1', 'events?fragment=1'])
def test_pages_are_guarded_by_their_headers(site: Site, path: str) -> None:
    answer = site.get(path.format(id=site.accept()))
    headers = answer.headers
    assert headers['Content-Security-Policy'] == POLICY
    assert headers['X-Content-Type-Options'] == 'nosniff' and headers['Referrer-Policy'] == 'same-origin'
    assert headers['Cache-Control'] == 'no-store' and headers['X-Frame-Options'] == 'DENY'
    html = answer.body.decode()
    assert not re.search(r'<script(?! src="[^":]*" defer></script>)|<style|javascript:', html)
    assert not [name for name in attributes_in(html) if name.startswith('on') or name == 'style']
    assert not re.search(r'(?:src|href|action)="(?:[a-z]+:)?//', html)


def test_a_fragment_is_the_part_that_changes(site: Site) -> None:
    fragment = site.text('?fragment=1')
    assert fragment.lstrip().startswith('<p id="say">') and 'data-part="counts"' in fragment
    assert '<html' not in fragment and '<header' not in fragment


@pytest.mark.parametrize('name, content_type', [
    ('dashboard.css', 'text/css;charset=utf-8'), ('dashboard.js', 'text/javascript;charset=utf-8'),
    ('icon.svg', 'image/svg+xml'),
])
def test_static_files_are_revalidated(site: Site, name: str, content_type: str) -> None:
    answer = site.get(f'static/{name}')
    assert answer.status == 200 and answer.headers['Content-Type'].replace(' ', '') == content_type
    assert answer.headers['Cache-Control'] == 'no-cache'
    again = site.get(f'static/{name}', If_None_Match=answer.headers['ETag'])
    assert (again.status, again.body) == (304, b'')


def test_without_the_slash_it_leads_to_the_slash(site: Site) -> None:
    answer = site.client.get(SCRIPT_NAME + '/dashboard')
    assert (answer.status, answer.headers['Location']) == (308, 'dashboard/')


@pytest.mark.parametrize('text', [
    HOSTILE, 'a&b"c\'d', 'abc\u202egpj.exe', 'nul\0nul', 'lone\ud800surrogate', 'x' * 15_000,
    '{{ 7919 * 7907 }}{% raw %}', 'שלום עולם', '\x1b[31mred', 'a\nb\r\nc', ']]></script><svg/onload=x>', '😀' * 100,
], ids=range(12))
def test_what_comes_from_an_event_is_escaped(site: Site, text: str) -> None:
    attributes = {'eventType': text, 'source': 'http://x/' + text, 'eventID': text, 'data': [
        {'destinationTable': 'Transactions._id', 'value': text[:60]}]}
    task_id = site.accept(**attributes)
    site.run()
    stored = text.encode('utf-8', 'backslashreplace').decode().replace('\0', '')
    site.model.update(exc_type=stored, exc_value=stored, exc_traceback=stored, route=stored).where(
        site.model.task_id == UUID(task_id)).execute()
    for path in (f'events/{task_id}', 'events', f'events?q={quote(text[:50].encode("utf-8", "replace"))}'):
        html = site.text(path)
        assert not re.search(r'<script(?! src="[^":]*" defer></script>)|<img|<svg/', html)
        assert not re.search('[\0\x1b\u202e\ud800]', html) and '62615533' not in re.findall(r'<bdi>([^<]*)</bdi>', html)
    if text.isprintable() and len(text) < 50:
        assert text.replace('&', '&amp;').replace('"', '&#34;').replace("'", '&#39;').replace('<', '&lt;').replace(
            '>', '&gt;') in site.text(f'events/{task_id}')


def test_a_large_event_is_shown_in_part(site: Site) -> None:
    task_id = site.accept(data=[{'destinationTable': 'Files', 'name': 'n' * 1000}] * 1000)
    answer = site.get(f'events/{task_id}')
    assert len(answer.body) < 400_000 and f'GET /get/{task_id}'.encode() in answer.body


def test_an_error_of_the_server_tells_nobody_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise RuntimeError('s3cret')

    monkeypatch.setattr('pacifica.dispatcher._queue.search.Search.page', fail)
    answer = site.get('events')
    assert answer.status == 500 and b's3cret' not in answer.body and b'Traceback' not in answer.body
    assert answer.headers['Content-Type'] == 'text/html; charset=utf-8'


def test_a_database_that_is_away_is_a_page_that_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise DatabaseUnavailableError('host db.internal does not answer')

    monkeypatch.setattr('pacifica.dispatcher._queue.overview.Overview.counts', fail)
    answer = site.get('')
    assert answer.status == 503 and b'db.internal' not in answer.body and answer.headers['Retry-After']


def test_it_can_be_off(site: Site) -> None:
    with wsgi_server(site.model.create_cherrypy_app(site.queue, dashboard=False)) as client:
        answer = client.get('/dashboard/')
        assert answer.status == 404 and answer.json()['message']


def test_an_application_without_one_has_none() -> None:
    store = MemoryStore()
    with wsgi_server(create_application(store.accept, store)) as client:
        assert client.get('/dashboard/').status == 404


def test_the_document_of_the_api_does_not_list_it(site: Site) -> None:
    assert not [path for path in site.client.get(SCRIPT_NAME + '/openapi.json').json()['paths'] if 'dash' in path]
