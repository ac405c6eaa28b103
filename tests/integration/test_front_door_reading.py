"""Lists in pages, filters, and answers that the client already has."""

import json
import uuid

import pytest
import requests

from pacifica.dispatcher._http import create_application
from support.front_door import INGEST, MemoryStore, cherrypy_server

STORE = MemoryStore()


@pytest.fixture(scope='module')
def url():
    with cherrypy_server(create_application(STORE.accept, STORE)) as client:
        yield f'http://127.0.0.1:{client.port}'


@pytest.fixture(autouse=True)
def tasks(url):
    STORE.__init__()
    return [
        requests.post(url + '/receive', json={**INGEST, 'source': f'/{number % 2} &', 'eventType': f't{number % 5}'},
                      timeout=9).json()
        for number in range(10)
    ]


def test_pages_follow_each_other_to_the_last(url, tasks):
    seen, link, pages = [], '/?limit=3', 0
    while link:
        answered = requests.get(url + link, timeout=9)
        seen += [each['taskID'] for each in answered.json()]
        link = '/' + answered.links['next']['url'] if answered.links else None
        pages += 1
    assert (seen, pages) == (tasks[::-1], 4)
    assert 'Link' not in requests.get(url + '/?limit=10', timeout=9).headers
    assert 'Link' not in requests.get(url + '/', timeout=9).headers


def test_filters_are_kept_on_the_next_page(url, tasks):
    query = {'limit': 2, 'source': '/1 &', 'status': '202 Accepted', 'since': '2026-01-01'}
    answered = requests.get(url + '/', params=query, timeout=9)
    assert [each['taskID'] for each in answered.json()] == [tasks[9], tasks[7]]
    answered = requests.get(url + '/' + answered.links['next']['url'], timeout=9)
    assert [each['taskID'] for each in answered.json()] == [tasks[5], tasks[3]]
    assert len(requests.get(url + '/', params={'type': 't3'}, timeout=9).json()) == 2
    assert requests.get(url + '/', params={'since': '2026-11-30T00:00:00+02:00'}, timeout=9).json() == []
    assert requests.get(url + '/', params={'status': '200 OK'}, timeout=9).json() == []


@pytest.mark.parametrize('query, field', [
    ('limit=0', 'limit'), ('limit=1001', 'limit'), ('limit=-1', 'limit'), ('limit=x', 'limit'), ('limit=', 'limit'),
    ('limit=' + '9' * 5000, 'limit'), ('after=x', 'after'), ('since=yesterday', 'since'),
    ('since=0001-01-01T00:00%2B23:00', 'since'), ('kv=temperature', 'kv'),
    ('limit=1&limit=2', 'limit'), ('source=a&source=b', 'source'),
])
def test_parameters_that_make_no_sense_are_refused(url, query, field):
    refused = requests.get(f'{url}/?{query}', timeout=9)
    assert (refused.status_code, [fault['field'] for fault in refused.json()['faults']]) == (422, [field])


@pytest.mark.parametrize('path', ['/get/', '/status/'])
def test_a_client_that_has_the_answer_gets_304(url, tasks, path):
    answered = requests.get(url + path + tasks[0], timeout=9)
    tag = answered.headers['ETag']
    for condition in (tag, f'W/{tag}', f'"x", {tag}', '*'):
        again = requests.get(url + path + tasks[0], headers={'If-None-Match': condition}, timeout=9)
        assert (again.status_code, again.content, again.headers['ETag']) == (304, b'', tag)
        head = requests.head(url + path + tasks[0], headers={'If-None-Match': condition}, timeout=9)
        assert (head.status_code, head.headers['ETag']) == (304, tag)
    assert requests.get(url + path + tasks[0], headers={'If-None-Match': '"x"'}, timeout=9).json() == answered.json()
    STORE.statuses[uuid.UUID(tasks[0])] = '200 OK'
    changed = requests.get(url + path + tasks[0], headers={'If-None-Match': tag}, timeout=9)
    assert changed.status_code == 200 and '200 OK' in changed.text


def test_records_with_surrogates_and_nul_are_shown(url):
    event = {**INGEST, 'eventID': 'a\x00\ud800', 'data': '\ud800'}
    task_id = requests.post(url + '/receive', json=event, timeout=9).json()
    record = requests.get(url + '/get/' + task_id, timeout=9)
    assert record.status_code == 200 and json.loads(record.text)['eventID'] == 'a\x00\ud800'
