"""What is read out of an event, and which names can be files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents.model import Event
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher import _paths
from pacifica.dispatcher.exceptions import DispatcherError, TransactionDuplicateAttributeError, UnsafePathError
from pacifica.dispatcher.models import File, PacificaModel, Transaction, TransactionKeyValue

INGEST = [
    {'destinationTable': 'Transactions.submitter', 'value': 10},
    {'destinationTable': 'Transactions.instrument', 'value': 54},
    {'destinationTable': 'Transactions.project', 'value': '1234a'},
    {'destinationTable': 'TransactionKeyValue', 'key': 'Pacifica.Example', 'value': 'café'},
    {'destinationTable': 'TransactionKeyValue', 'key': 'Pacifica.Example', 'value': 5},
    {'_id': 363, 'destinationTable': 'Files', 'name': 'événement.txt', 'subdir': 'sub/dir', 'size': 11,
     'hashtype': 'sha1', 'hashsum': 'a95330fae38035baeb0e827676ad0e246dbc0e36', 'mimetype': 'text/plain',
     'ctime': '2020-08-01T12:00:00', 'mtime': '2020-08-01T12:00:00'},
    {'_id': 364, 'destinationTable': 'Files', 'name': 'top.csv', 'subdir': '', 'size': 4},
    {'destinationTable': 'Transactions._id', 'value': 19},
]
MODELS = (File, Transaction, TransactionKeyValue)


def event(data: Any = None, **attributes: Any) -> Event:
    """Return an event with these data; without any, it has none."""
    required = {'cloudEventsVersion': '0.1', 'eventType': 'x', 'source': 'http://a', 'eventID': '1'}
    return Event({**required, **({} if data is None else {'data': data}), **attributes})


def test_an_ingest_event_has_its_files_in_order():
    files = File.from_cloudevents_model(event(INGEST))
    assert [(file._id, file.path, file.size) for file in files] == [
        (363, 'sub/dir/événement.txt', 11), (364, 'top.csv', 4),
    ]
    assert (files[0].hashtype, files[0].mimetype, files[1].hashsum) == ('sha1', 'text/plain', None)


def test_an_ingest_event_has_one_transaction_and_its_key_values():
    transaction = Transaction.from_cloudevents_model(event(INGEST))
    assert vars(transaction) == {
        '_id': 19, 'submitter': 10, 'instrument': 54, 'project': '1234a', 'analytical_tool': None,
        'description': None, 'suspense_date': None,
    }
    pairs = TransactionKeyValue.from_cloudevents_model(event(INGEST))
    assert [(pair.key, pair.value) for pair in pairs] == [('Pacifica.Example', 'café'), ('Pacifica.Example', 5)]


@pytest.mark.parametrize('data', [
    None, {}, {'obj_type': 'files', 'method': 'PUT'}, 'text', [], 5, [None, 1, 'x', ['Files'], {}],
    [{'destinationTable': ['Files']}, {'destinationTable': None}], [{'destinationTable': 'Users', '_id': 1}],
])
def test_data_without_pacifica_records_give_nothing(data):
    source = event(data, contentType='text/plain')
    assert File.from_cloudevents_model(source) == []
    assert TransactionKeyValue.from_cloudevents_model(source) == []
    assert set(vars(Transaction.from_cloudevents_model(source)).values()) == {None}


def test_a_transaction_field_given_twice_is_an_error_that_names_it():
    source = event([*INGEST, {'destinationTable': 'Transactions._id', 'value': 19}])
    with pytest.raises(TransactionDuplicateAttributeError, match=r"'Transactions\._id' is already defined") as caught:
        Transaction.from_cloudevents_model(source)
    assert (caught.value.event, caught.value.name) == (source, '_id')


def test_unknown_transaction_fields_may_come_twice():
    source = event([{'destinationTable': 'Transactions.unheard_of', 'value': 1}] * 2)
    assert set(vars(Transaction.from_cloudevents_model(source)).values()) == {None}


@pytest.mark.parametrize('model', MODELS)
def test_attributes_that_a_model_does_not_know_are_ignored_whatever_their_names(model):
    odd = {'self': 1, '__class__': int, 'path': '../x', 'from_cloudevents_model': 2, '': 3, 'a b': 4, '__init__': 5}
    assert vars(model(**odd)) == vars(model())
    table = {File: 'Files', Transaction: 'Transactions.project', TransactionKeyValue: 'TransactionKeyValue'}[model]
    found = model.from_cloudevents_model(event([{**odd, 'destinationTable': table}]))
    assert vars(found[0] if isinstance(found, list) else found) == vars(model())


@pytest.mark.parametrize('model', MODELS)
def test_models_take_keywords_only_and_show_what_they_hold(model):
    assert issubclass(model, PacificaModel)
    with pytest.raises(TypeError):
        model('positional')
    assert repr(model()) == f'{model.__name__}()'
    assert repr(TransactionKeyValue(key='a', value=0)) == "TransactionKeyValue(key='a', value=0)"


def test_subclasses_are_made_of_events_too():
    class Mine(File):
        """A user's own file."""

    assert isinstance(Mine.from_cloudevents_model(event(INGEST))[0], Mine)


@pytest.mark.parametrize(('name', 'subdir', 'path'), [
    ('a', '', 'a'), ('a', None, 'a'), ('a', 'x/', 'x/a'), ('a', 'x//y///', 'x/y/a'), ('a', './x/.', 'x/a'),
    ('a', '.', 'a'), ('b/a', 'x', 'x/b/a'), ('...', '..x', '..x/...'), ('12:00 report.txt', 'é', 'é/12:00 report.txt'),
    ('C:a\\b', '..\\x', '..\\x/C:a\\b'), ('\udcff', '', '\udcff'), (' ', '-', '-/ '), ('a\nb', '', 'a\nb'),
])
def test_a_path_is_subdir_and_name(name, subdir, path):
    assert File(name=name, subdir=subdir).path == path


def test_a_file_without_a_name_has_no_path():
    with pytest.raises(AttributeError, match="field 'name' is None"):
        File(subdir='x').path
    assert not hasattr(File(), 'path')


@pytest.mark.parametrize(('name', 'subdir'), [
    ('', None), ('.', ''), ('..', ''), ('a', '..'), ('a', 'x/../../y'), ('../a', 'x'), ('a/..', ''),
    ('/etc/passwd', ''), ('a', '/etc'), ('a', '//x'), ('a/', ''), ('a//b', ''), ('./a', ''),
    ('a\0', ''), ('a', '\0'), (5, ''), (b'a', ''), ('a', 5), (['a'], ''),
    ('\ud800', ''),
])
def test_a_name_that_can_be_no_file_inside_a_directory_is_refused(name, subdir):
    with pytest.raises(UnsafePathError) as caught:
        File(name=name, subdir=subdir).path
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, DispatcherError)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(('name', 'subdir'), [
    ('..\\a', ''), ('a', 'x\\y'), ('C:a', ''), ('a', 'c:'), ('a', 'x/D:/y'), ('..', ''), ('a\0', ''),
])
def test_a_name_that_leads_out_on_windows_is_refused_there(monkeypatch, name, subdir):
    monkeypatch.setattr(_paths, '_FORBIDDEN', _paths._OUT['nt'])
    with pytest.raises(UnsafePathError):
        File(name=name, subdir=subdir).path


TEXT = st.text(st.sampled_from('ab./\\\0:C é\n\udcff') | st.characters(), max_size=12)


@given(name=TEXT, subdir=st.none() | TEXT)
def test_no_path_leads_out_of_a_directory(name, subdir):
    try:
        path = File(name=name, subdir=subdir).path
    except UnsafePathError:
        return
    parts = path.split('/')
    assert not {'', '.', '..'} & set(parts)
    assert '\0' not in path


KEYS = st.sampled_from(['destinationTable', 'name', 'value', 'key', '_id', 'self']) | st.text()
TABLES = st.sampled_from(['Files', 'TransactionKeyValue', 'Transactions._id', 'Transactions.project'])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner | TABLES),
    max_leaves=20,
)


@given(JSON)
def test_any_json_can_be_data(data):
    source = event(json.loads(json.dumps(data)), contentType='text/plain')
    for model in (File, TransactionKeyValue):
        assert isinstance(model.from_cloudevents_model(source), list)
    try:
        Transaction.from_cloudevents_model(source)
    except TransactionDuplicateAttributeError as exc:
        assert exc.name in {'_id', 'project'}
