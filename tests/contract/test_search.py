"""Finding events, on every database: what a page holds, what it leaves for the next, and what each filter means."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher._queue import search as module
from pacifica.dispatcher._queue.connections import Connections
from pacifica.dispatcher._queue.filters import Filter
from pacifica.dispatcher._queue.operator import Operator
from pacifica.dispatcher._queue.search import Search
from pacifica.dispatcher._queue.status import Status
from pacifica.dispatcher._queue.writer import Writer
from support.databases import model_in
from support.events import received
from support.queues import drain, queue_of


class Found:
    """A table of events to be found; those of the type ``broken`` have failed."""

    def __init__(self, model: Any, connections: Connections) -> None:
        def handle(event: Any) -> None:
            if event.event_type == 'broken':
                raise ValueError(f'Kalibrierung für {event.event_id} fehlt: 100% _nötig_')

        self.queue = queue_of(model, handle)
        self.search = Search(connections)

    def accept(self, **attributes: Any) -> str:
        return str(self.queue.accept([received(**attributes)])[0])

    def run(self) -> None:
        drain(self.queue.create_worker())

    def ids(self, limit: int = 50, **wanted: Any) -> list[str]:
        return [row['taskID'] for row in self.search.page(Filter(**wanted), limit=limit).rows]

    def all_pages(self, limit: int, **wanted: Any) -> list[str]:
        seen: list[str] = []
        before = None
        while True:
            page = self.search.page(Filter(**wanted), limit=limit, before=before)
            seen += [row['taskID'] for row in page.rows]
            before = page.older
            if before is None:
                return seen


@pytest.fixture
def found(model: Any, connections: Connections) -> Found:
    return Found(model, connections)


_WANTED: list[dict[str, Any]] = [
    {}, {'status': Status.FAILED}, {'event_type': 'broken'}, {'source': 'http://one'}, {'text': 'one'},
    {'event_type': 'broken', 'source': 'http://one'}, {'status': Status.FAILED, 'source': 'http://one'},
    {'status': Status.OK, 'text': 'example'}, {'transaction_id': '7'}, {'since': '2000-01-01 00:00:00.000000'},
]


@pytest.mark.parametrize('window', [2000, 4])
def test_pages_neither_repeat_nor_hide_an_event(found: Found, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    accepted = [found.accept(
        eventType='broken' if number % 2 else 'example', source='http://one' if number % 3 else 'http://two',
        data=[{'destinationTable': 'Transactions._id', 'value': 7 if number % 4 else 8}],
    ) for number in range(20)]
    found.run()
    everything = [row['taskID'] for row in found.search.page(Filter(), limit=100).rows]
    assert everything == accepted[::-1]
    whole = [found.ids(limit=100, **wanted) for wanted in _WANTED]
    monkeypatch.setattr(module, 'WINDOW', window)

    for wanted, ids in zip(_WANTED, whole, strict=True):
        seen = found.all_pages(3, **wanted)

        assert seen == ids and len(seen) == len(set(seen)) and seen, wanted


def test_an_event_that_arrives_between_pages_changes_none_of_them(found: Found) -> None:
    accepted = [found.accept() for _ in range(6)]
    first = found.search.page(Filter(), limit=3)
    found.accept()
    second = found.search.page(Filter(), limit=3, before=first.older)
    assert [row['taskID'] for row in (*first.rows, *second.rows)] == accepted[::-1]
    assert second.older is None


def test_a_page_says_how_far_it_looked(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'WINDOW', 5)
    oldest = found.accept(eventID='needle')
    for _ in range(9):
        found.accept()
    first = found.search.page(Filter(text='needl'), limit=3)
    assert not first.rows and first.older and first.looked_back_to
    second = found.search.page(Filter(text='needl'), limit=3, before=first.older)
    assert [row['taskID'] for row in second.rows] == [oldest]
    assert (second.older, second.looked_back_to) == (None, None)


def test_the_last_window_is_known_to_be_the_last(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'WINDOW', 5)
    for _ in range(5):
        found.accept()
    assert found.search.page(Filter(text='nowhere'), limit=3).older is None


@pytest.mark.parametrize('key', ['taskID', 'eventID', 'transactionID'])
def test_an_id_finds_its_event_wherever_it_is(found: Found, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(module, 'WINDOW', 2)
    task_id = found.accept(eventID='ingest.4711', data=[{'destinationTable': 'Transactions._id', 'value': 815}])
    for _ in range(5):
        found.accept()
    row = next(row for row in found.search.page(Filter(), limit=50).rows if row['taskID'] == task_id)
    page = found.search.page(Filter(text=f' {row[key]} '), limit=50)
    assert [each['taskID'] for each in page.rows] == [task_id] and page.older is None
    assert found.ids(text=task_id.upper()) == [task_id]


def test_an_id_finds_no_event_that_the_other_filters_exclude(found: Found) -> None:
    task_id = found.accept(eventType='other')
    assert found.ids(text=task_id, event_type='broken') == []
    assert found.ids(text=task_id, event_type='other') == [task_id]


@pytest.mark.parametrize('window', [2000, 2])
def test_all_events_that_an_id_finds_are_found_page_by_page(
    found: Found, monkeypatch: pytest.MonkeyPatch, window: int,
) -> None:
    transaction = [{'destinationTable': 'Transactions._id', 'value': 815}]
    ids = [found.accept(eventType='example' if number else 'broken', data=transaction) for number in range(6)]
    ids.append(found.accept(eventID='815'))
    found.accept(eventID='x815')
    found.run()
    monkeypatch.setattr(module, 'WINDOW', window)
    assert found.all_pages(2, text='815') == ids[::-1]
    assert found.all_pages(2, text='815', status=Status.FAILED) == [ids[0]]


def test_an_event_that_arrives_between_pages_does_not_change_what_a_text_means(found: Found) -> None:
    accepted = [found.accept(eventID=f'needle-{number}') for number in range(6)]
    first = found.search.page(Filter(text='needle'), limit=3)
    found.accept(eventID='needle')
    second = found.search.page(Filter(text='needle'), limit=3, before=first.older)
    assert [row['taskID'] for row in (*first.rows, *second.rows)] == accepted[::-1]


def test_filters_are_all_to_be_met(found: Found) -> None:
    one = found.accept(eventType='broken', source='http://one', eventID='a')
    found.accept(eventType='broken', source='http://two', eventID='b')
    found.accept(eventType='example', source='http://one', eventID='c')
    found.run()
    assert found.ids(event_type='broken', source='http://one', status=Status.FAILED, text='kalibr') == [one]
    assert found.ids(event_type='broken', source='http://one', status=Status.OK) == []


def test_since_is_included_and_until_is_not(found: Found) -> None:
    ids = [found.accept() for _ in range(3)]
    times = {row['taskID']: row['created'] for row in found.search.page(Filter(), limit=9).rows}
    assert found.ids(since=times[ids[1]]) == [ids[2], ids[1]]
    assert found.ids(until=times[ids[1]]) == [ids[0]]
    assert found.ids(since=times[ids[1]], until=times[ids[2]]) == [ids[1]]


@pytest.mark.parametrize('text, others', [
    ('100%', '1000'), ('a_b', 'axb'), ('wow!', 'wow'), ("it's", 'its'), ('back\\slash', 'backslash'), ('?', 'z'),
    ('%s', 'x'), ('"quoted"', 'quoted'),
])
def test_text_means_itself(found: Found, text: str, others: str) -> None:
    task_id = found.accept(eventID=f'x{text}y', source='http://plain')
    found.accept(eventID=f'x{others}y', source='http://plain')
    found.accept(eventID='other', source='http://plain')
    assert found.ids(text=text) == [task_id]


@pytest.mark.parametrize('stored, text', [
    ('Événement', 'Événement'), ('Événement', 'vÉNement'.replace('É', 'é')), ('ΑΒΓ', 'ΑΒΓ'), ('事件', '事件'),
    ('Run-7', 'RUN-7'), ('run-7', 'Run-7'), ('😀 event', '😀'),
])
def test_text_that_is_not_ascii_is_found(found: Found, stored: str, text: str) -> None:
    task_id = found.accept(source=f'http://x/{stored}', eventID='none')
    found.accept()
    assert found.ids(text=text) == [task_id]


def test_the_text_of_an_error_is_found(found: Found) -> None:
    task_id = found.accept(eventType='broken')
    found.run()
    assert found.ids(text='für') == found.ids(text='100% _nötig_') == found.ids(text='valueerror') == [task_id]


@pytest.mark.parametrize('wanted', [
    {'transaction_id': 'nul\0'}, {'transaction_id': 'x' * 1000}, {'text': 'nul\0'}, {'text': '\ud800'},
    {'source': '\ud800\0'}, {'event_type': 'x' * 20_000}, {'text': 'x' * 20_000},
])
def test_what_no_database_keeps_is_found_nowhere(found: Found, wanted: dict[str, str]) -> None:
    found.accept()
    assert found.ids(**wanted) == []


@pytest.mark.parametrize('before', ['', 'x', '2026-01-01', '~', 'a~b', '2026-01-01 00:00:00~x'])
def test_what_is_no_place_in_the_list_is_refused(found: Found, before: str) -> None:
    with pytest.raises(ValueError):
        found.search.page(Filter(), limit=3, before=before)


def test_an_operator_gets_all_that_match_in_batches(found: Found, writer: Writer) -> None:
    ids = [found.accept(eventType='broken') for _ in range(5)]
    found.accept()
    found.run()
    operator = Operator(writer)
    assert found.all_pages(2, status=Status.FAILED) == ids[::-1]
    assert operator.retry([UUID(each) for each in ids]) == [True] * 5
    assert found.ids(status=Status.ACCEPTED) == ids[::-1]


def _upload(number: int) -> list[dict[str, Any]]:
    return [
        {'destinationTable': 'Transactions.project', 'value': f'p{number % 2}'},
        {'destinationTable': 'Transactions.instrument', 'value': 54 + number % 3},
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'TransactionKeyValue', 'key': 'temperature', 'value': number},
        {'destinationTable': 'Files', 'name': f'run{number}.csv', 'subdir': 'raw', 'size': 1500},
    ]


_NUMBERS: list[tuple[dict[str, Any], list[int]]] = [
    ({'project': 'p1'}, [5, 3, 1]), ({'instrument': '54'}, [3, 0]), ({'submitter': '10', 'project': 'p0'}, [4, 2, 0]),
    ({'project': 'p1', 'instrument': '54'}, [3]), ({'project': 'p'}, []), ({'route': '$'}, []),
    ({'key_value': 'temperature=4'}, [4]), ({'key_value': 'temperature=44'}, []),
    ({'file': '*.csv'}, [5, 4, 3, 2, 1, 0]),
    ({'file': 'run2.csv'}, [2]), ({'file': 'raw/run[23]*'}, [3, 2]), ({'file': '*.CSV'}, []),
    ({'file': '*.csv', 'project': 'p0', 'key_value': 'temperature=2'}, [2]),
    ({'text': '1003', 'file': 'run3.csv'}, [3]), ({'text': '1003', 'file': 'run4.csv'}, []),
]


@pytest.mark.parametrize('window', [2000, 2])
def test_events_are_found_by_what_scientists_know_of_them(
    found: Found, monkeypatch: pytest.MonkeyPatch, window: int,
) -> None:
    monkeypatch.setattr(module, '_BATCH', 3)
    accepted = [found.accept(data=_upload(number), eventID=str(1000 + number)) for number in range(6)]
    monkeypatch.setattr(module, 'WINDOW', window)

    for wanted, numbers in _NUMBERS:
        assert found.all_pages(2, **wanted) == [accepted[number] for number in numbers], wanted


def test_what_reading_data_costs_is_bounded(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, '_BATCH', 2)
    monkeypatch.setattr(module, '_MOST_DATA', 1000)
    oldest, *_ = [found.accept(data=_upload(number) * 3) for number in range(6)]

    page = found.search.page(Filter(file='run0.csv'), limit=2)

    assert not page.rows and page.older and page.looked_back_to
    assert found.all_pages(2, file='run0.csv') == [oldest]


def test_a_row_says_what_scientists_know_of_the_event(found: Found) -> None:
    found.accept(data=_upload(1))

    row, = found.search.page(Filter(), limit=1).rows

    assert [row[key] for key in ('project', 'instrument', 'submitter', 'fileCount', 'fileBytes')] == [
        'p1', '55', '10', 1, 1500]


def test_events_of_an_earlier_table_are_known_once_it_is_upgraded(database_url: str) -> None:
    with model_in(database_url) as model:
        queue_of(model).accept([received(data=_upload(number)) for number in range(60)])
        database = model._meta.database
        of_table = ' ON receivetaskmodel' if 'mysql' in database_url else ''
        for name in ('project', 'instrument', 'submitter'):
            database.execute_sql(f'DROP INDEX receivetaskmodel_{name}{of_table}')
            database.execute_sql(f'ALTER TABLE receivetaskmodel DROP COLUMN {name}')

    with model_in(database_url) as model:
        assert model.migrate() == 'upgraded'
        assert model.select().where(model.project == 'p1', model.submitter == '10').count() == 30
