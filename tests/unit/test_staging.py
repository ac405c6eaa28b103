"""The handler between a download and an upload: what it gets, what is sent, what is cleaned up."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import pickle
import tarfile

import pytest
from cloudevents.model import Event
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher.downloader_runners import DownloaderRunner, LocalDownloaderRunner
from pacifica.dispatcher.exceptions import (
    DownloadError, RetryLater, StagingError, TransactionDuplicateAttributeError, UnsafePathError,
)
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue
from pacifica.dispatcher.staging import PROVENANCE_KEY, IdleTimeout, StagedEvent, StagedEventHandler
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, UploaderRunner
from support.staging import event_of, write_files

CONTENT = {'événement.txt': b'event data\n', 'sub/top.csv': b'1,2\r\n'}


class Calls(EventHandler):
    """Does what a test says, and keeps the event."""

    def __init__(self, action=lambda event: None):
        self.action = action
        self.event = None

    def handle(self, event):
        """Call the action."""
        self.event = event
        self.action(event)


class Uploads(UploaderRunner):
    """Keeps what it is given."""

    def __init__(self):
        self.calls = []

    def upload(self, basedir_name, transaction=None, transaction_key_values=None, timeout=180):
        """Keep the files' bytes, and the rest of the call."""
        contents = {}
        for directory, _, names in os.walk(basedir_name):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, 'rb') as stream:
                    contents[os.path.relpath(path, basedir_name)] = stream.read()
        self.calls.append((contents, transaction, transaction_key_values, timeout))
        return None, 7, {}


@pytest.fixture
def download(tmp_path):
    """A runner that has the files of CONTENT."""
    return LocalDownloaderRunner(str(write_files(tmp_path / 'source', CONTENT)))


@pytest.fixture
def work(tmp_path):
    """The directory in which the temporary directories are made."""
    path = tmp_path / 'work'
    path.mkdir()
    return path


def test_files_are_staged_in_handled_and_uploaded(download, work, tmp_path):
    handler = StagedEventHandler(download, Uppercase(), LocalUploaderRunner(tmp_path / 'bundles'), directory=work)
    handler.handle(event_of(CONTENT))
    bundle, = (tmp_path / 'bundles').iterdir()
    with tarfile.open(bundle) as archive:
        assert archive.extractfile('data/événement.txt').read() == b'EVENT DATA\n'
        assert archive.extractfile('data/sub/top.csv').read() == b'1,2\r\n'
        metadata = json.load(archive.extractfile('metadata.txt'))
    assert {'destinationTable': 'TransactionKeyValue', 'key': PROVENANCE_KEY, 'value': 19} in metadata
    assert {'destinationTable': 'Transactions.project', 'value': '1234a'} in metadata
    assert list(work.iterdir()) == []


class Some(LocalDownloaderRunner):
    """Stages in the CSV files alone, the last of the event first."""

    def download(self, basedir_name, files=None, timeout=180):
        """Ask for some of the files."""
        return super().download(basedir_name, [file for file in files[::-1] if file.name.endswith('.csv')], timeout)


def test_a_file_is_opened_as_itself_though_the_runner_staged_in_only_some(download, work):
    contents = {'a.txt': b'a', 'b.csv': b'b', 'c.txt': b'c', 'd.csv': b'd'}
    for path, content in contents.items():
        (work.parent / 'source' / path).write_bytes(content)
    found = {}

    def read(event):
        for path in contents:
            try:
                with event.open(path) as source:
                    found[path] = source.read()
            except FileNotFoundError as exc:
                found[path] = str(exc)

    StagedEventHandler(Some(download.basedir_name, verify=True), Calls(read), None, directory=work).handle(
        event_of(contents))
    assert (found['b.csv'], found['d.csv']) == ('b', 'd')
    assert 'was not staged in with this event' in found['a.txt'] and 'was not staged in' in found['c.txt']


@pytest.mark.parametrize(('given', 'idle'), [({}, True), ({'download_timeout': 180}, False)])
def test_the_timeout_is_a_limit_of_silence_unless_one_is_given_also_for_a_runner_of_0_2(download, work, given, idle):
    seen = []

    class Old(LocalDownloaderRunner):
        def download(self, basedir_name, files=None, timeout=180):
            seen.append(timeout)
            return super().download(basedir_name, files, timeout)

    StagedEventHandler(Old(download.basedir_name), Calls(), None, directory=work, **given).handle(event_of(CONTENT))
    assert seen == [180] and isinstance(seen[0], IdleTimeout) is idle


def test_a_file_without_a_name_is_no_fault_where_nothing_is_staged_in(work):
    inner, event = Calls(), event_of({})
    event.d['data'].append({'destinationTable': 'Files', '_id': 1})
    StagedEventHandler(None, inner, None, directory=work).handle(event)
    assert [file._id for file in inner.event.files] == [1]


@pytest.mark.parametrize('count', [1, 3])
def test_openers_that_do_not_say_what_they_open_must_be_one_for_each_file(work, count):
    class Strange(DownloaderRunner):
        def download(self, basedir_name, files=None, timeout=180):
            return [lambda **kwargs: io.StringIO('content')] * count

    with pytest.raises(StagingError, match=f'returned {count} openers for 2 files'):
        StagedEventHandler(Strange(), Calls(), None, directory=work).handle(event_of(CONTENT))


def test_the_handler_gets_the_event_itself_with_more(download, work):
    inner, source = Calls(), event_of(CONTENT)
    StagedEventHandler(download, inner, Uploads(), directory=work).handle(source)
    staged = inner.event
    assert isinstance(staged, StagedEvent) and isinstance(staged, Event)
    assert staged.to_dict() == source.to_dict()
    assert (staged.event_type, staged.event_id, staged.source, staged.data, staged.extensions) == (
        source.event_type, source.event_id, source.source, source.data, source.extensions)
    assert [file.path for file in staged.files] == list(CONTENT)
    assert staged.input_directory.is_absolute() and work in staged.output_directory.parents


def test_the_upload_says_where_it_comes_from_and_the_handler_may_change_that(download, work):
    def change(event):
        event.create('a').close()
        assert [(pair.key, pair.value) for pair in event.key_values] == [(PROVENANCE_KEY, 19)]
        event.transaction.project = 'other'
        event.key_values.append(TransactionKeyValue(key='k', value='v'))

    uploads = Uploads()
    StagedEventHandler(download, Calls(change), uploads, upload_timeout=5.5, directory=work).handle(event_of(CONTENT))
    (contents, transaction, pairs, timeout), = uploads.calls
    assert contents == {'a': b''} and timeout == 5.5
    assert (transaction._id, transaction.submitter, transaction.instrument, transaction.project) == (
        None, 10, 54, 'other')
    assert [(pair.key, pair.value) for pair in pairs] == [(PROVENANCE_KEY, 19), ('k', 'v')]


def test_a_handler_that_made_no_file_causes_no_upload(download, work):
    uploads = Uploads()
    inner = Calls(lambda event: (event.output_directory / 'empty').mkdir())
    StagedEventHandler(download, inner, uploads, directory=work).handle(event_of(CONTENT))
    assert inner.event is not None and uploads.calls == []


def describe(event):
    """Add a key-value."""
    event.key_values.append(TransactionKeyValue(key='k', value='v'))


def rename(event):
    """Change the transaction."""
    event.transaction.project = 'other'


@pytest.mark.parametrize('change', [describe, rename, lambda event: event.key_values.clear()])
def test_a_handler_that_only_describes_an_upload_makes_one_without_files(download, work, change):
    uploads = Uploads()
    StagedEventHandler(download, Calls(change), uploads, directory=work).handle(event_of(CONTENT))
    (contents, transaction, pairs, _), = uploads.calls
    assert contents == {} and (transaction.project == 'other' or [pair.key for pair in pairs] != [PROVENANCE_KEY])


def test_key_values_of_a_route_alone_cause_no_upload(download, work):
    uploads = Uploads()
    StagedEventHandler(download, Calls(), uploads, directory=work, key_values={'k': 'v'}).handle(event_of(CONTENT))
    assert uploads.calls == []


def test_a_description_that_nothing_uploads_is_a_warning(work, caplog):
    StagedEventHandler(None, Calls(describe), None, directory=work).handle(event_of(CONTENT))
    assert 'staging.output_not_uploaded' in caplog.messages


def test_a_file_that_an_event_lists_twice_is_one_file(download, work):
    inner, event = Calls(), event_of(CONTENT)
    event.d['data'] = event.data + event.data[3:5]
    StagedEventHandler(download, inner, None, directory=work).handle(event)
    assert [file.path for file in inner.event.files] == list(CONTENT)


@pytest.mark.parametrize('data', [{'obj_type': 'files', 'method': 'PUT'}, 'text', None])
def test_an_event_without_files_is_handled_without_a_download(work, data):
    class Never(DownloaderRunner):
        """Must not be asked."""

        def download(self, basedir_name, files=None, timeout=180):
            """Fail."""
            raise AssertionError

    inner = Calls()
    event = event_of({})
    event.d['data'] = data
    StagedEventHandler(Never(), inner, Uploads(), directory=work).handle(event)
    assert inner.event.files == [] and inner.event.key_values == [] and inner.event.data == data


def test_handlers_that_need_no_files_or_make_none_need_no_runner(work, caplog):
    inner = Calls(lambda event: event.create('a').close())
    StagedEventHandler(None, inner, None, directory=work).handle(event_of(CONTENT))
    assert [file.path for file in inner.event.files] == list(CONTENT)
    with pytest.raises(FileNotFoundError, match='not staged in'):
        inner.event.open(inner.event.files[0])
    assert 'staging.output_not_uploaded' in caplog.messages


class Stop(BaseException):
    """What stops a process."""


@pytest.mark.parametrize('raised', [KeyError('x'), Stop(), RetryLater(5)])
@pytest.mark.parametrize('keep', [False, None])
def test_what_the_handler_raises_comes_through_and_the_directories_are_removed(download, work, raised, keep):
    def fail(event):
        event.create('a').close()
        (event.output_directory / 'closed').mkdir(mode=0)
        raise raised

    uploads = Uploads()
    with pytest.raises(type(raised)) as caught:
        StagedEventHandler(download, Calls(fail), uploads, keep_failed=keep, directory=work).handle(event_of(CONTENT))
    assert caught.value is raised
    assert list(work.iterdir()) == [] and uploads.calls == []


@pytest.mark.parametrize('place', [True, 'kept'])
def test_the_directories_of_a_failed_event_can_be_kept_and_the_log_says_where(download, work, tmp_path, caplog, place):
    def fail(event):
        with event.create('half') as stream:
            stream.write('done')
        raise KeyError

    keep = True if place is True else tmp_path / place / 'deep'
    with pytest.raises(KeyError):
        StagedEventHandler(download, Calls(fail), None, keep_failed=keep, directory=work).handle(event_of(CONTENT))
    kept, = (work if place is True else keep).iterdir()
    assert (kept / 'output' / 'half').read_text() == 'done'
    assert (kept / 'download' / 'sub' / 'top.csv').read_bytes() == b'1,2\r\n'
    record, = [record for record in caplog.records if record.message == 'staging.kept']
    assert (record.directory, record.event_id) == (str(kept), 'metadata.ingest.19')
    assert place is True or list(work.iterdir()) == []


@pytest.mark.parametrize('raised', [Stop(), RetryLater(5)])
def test_an_event_that_did_not_fail_is_not_kept(download, work, raised):
    def stop(event):
        raise raised

    with pytest.raises(type(raised)):
        StagedEventHandler(download, Calls(stop), None, keep_failed=True, directory=work).handle(event_of(CONTENT))
    assert list(work.iterdir()) == []


def test_a_download_that_fails_is_not_handled(tmp_path, work):
    inner = Calls()
    with pytest.raises(DownloadError, match="'événement.txt'|'\\\\xe9v"):
        StagedEventHandler(LocalDownloaderRunner(str(tmp_path)), inner, None, directory=work).handle(event_of(CONTENT))
    assert inner.event is None and list(work.iterdir()) == []


def test_an_event_that_repeats_a_transaction_field_is_not_handled(download, work):
    event = event_of(CONTENT)
    event.data.append({'destinationTable': 'Transactions._id', 'value': 20})
    inner = Calls()
    with pytest.raises(TransactionDuplicateAttributeError):
        StagedEventHandler(download, inner, None, directory=work).handle(event)
    assert inner.event is None and list(work.iterdir()) == []


def test_an_event_that_lacks_a_project_has_its_upload_refused_by_name(download, work):
    event = event_of(CONTENT)
    del event.data[2]
    with pytest.raises(ValueError, match='no project'):
        StagedEventHandler(download, Uppercase(), LocalUploaderRunner(), directory=work).handle(event)


def test_links_to_the_input_are_not_uploaded(download, work):
    inner = Calls(lambda event: (event.output_directory / 'copy').symlink_to(event.input_directory / 'sub'))
    with pytest.raises(StagingError, match="'copy' is a link that leads out"):
        StagedEventHandler(download, inner, LocalUploaderRunner(), directory=work).handle(event_of(CONTENT))


def test_an_event_for_a_test_needs_no_service(tmp_path):
    event = StagedEvent.for_test(tmp_path, {'a/b.txt': 'été\r\n', 'c.bin': b'\xff\0'})
    with event.open('a/b.txt') as text, event.open(event.files[1], 'rb') as binary:
        assert (text.read(), binary.read()) == ('été\r\n', b'\xff\0')
    assert [(file.path, file.size) for file in event.files] == [('a/b.txt', 7), ('c.bin', 2)]
    assert event.files[0].hashsum == hashlib.sha1('été\r\n'.encode()).hexdigest()
    assert vars(event.transaction) == vars(Transaction(submitter=10, instrument=54, project='1234a'))


def test_the_handler_of_the_documentation_can_be_tested_on_one(tmp_path):
    event = StagedEvent.for_test(tmp_path, {'a/b.txt': 'hello'})
    Uppercase().handle(event)
    assert (event.output_directory / 'a/b.txt').read_text() == 'HELLO'


def test_an_event_for_a_test_can_be_a_real_one(tmp_path):
    event = StagedEvent.for_test(tmp_path, CONTENT, event=event_of(CONTENT).to_dict())
    assert event.event_id == 'metadata.ingest.19'
    with event.open('sub/top.csv', newline='') as stream:
        assert list(csv.reader(stream)) == [['1', '2']]
    with pytest.raises(ValueError, match="without content in this test: 'sub/top.csv'"):
        StagedEvent.for_test(tmp_path, {'événement.txt': b''}, event=event_of(CONTENT))


def test_an_event_without_files_can_be_made_for_a_test(tmp_path):
    assert StagedEvent.for_test(tmp_path).files == []


def test_text_is_read_in_the_encoding_of_the_event(tmp_path):
    source = event_of({'a': 'é'.encode('latin-1'), 'b': 'é'.encode()})
    source.data[3]['encoding'] = 'latin-1'
    event = StagedEvent.for_test(tmp_path, {'a': b'\xe9', 'b': 'é'}, event=source)
    for path in ('a', 'b'):
        with event.open(path) as stream:
            assert stream.read() == 'é'
    with event.open('b', encoding='latin-1') as stream:
        assert stream.read() == 'Ã©'


def test_a_file_that_the_event_does_not_have_is_named(tmp_path):
    event = StagedEvent.for_test(tmp_path, {'a': b''})
    for path in ('b', '../input/a', '/etc/passwd', File(name='x', subdir='y')):
        with pytest.raises(FileNotFoundError, match="was not staged in with this event.*'a'"):
            event.open(path)
    with pytest.raises(ValueError, match='only read'):
        event.open('a', 'w')


def test_created_files_are_exact(tmp_path):
    event = StagedEvent.for_test(tmp_path)
    with event.create('text') as text, event.create('x/y/bytes', 'wb') as binary, event.create(
            File(name='latin', subdir='x'), encoding='latin-1') as latin:
        text.write('é\r\n\n')
        binary.write(b'\xff\r\n')
        latin.write('é')
    assert (event.output_directory / 'text').read_bytes() == b'\xc3\xa9\r\n\n'
    assert (event.output_directory / 'x/y/bytes').read_bytes() == b'\xff\r\n'
    assert (event.output_directory / 'x/latin').read_bytes() == b'\xe9'


def test_a_file_is_created_once(tmp_path):
    event = StagedEvent.for_test(tmp_path)
    with event.create('a/b') as stream:
        stream.write('mine')
    for path in ('a/b', event.output_directory.joinpath('a', 'b').relative_to(event.output_directory)):
        with pytest.raises(FileExistsError, match="'a/b' was created already"):
            event.create(path)
    with pytest.raises(UnsafePathError, match="'a' *is|'a': something|'b' is a link or no directory"):
        event.create('a/b/c')
    assert (event.output_directory / 'a/b').read_text() == 'mine'


@pytest.mark.parametrize('mode', ['r', 'a', 'rb', 'r+', 'b'])
def test_creating_is_for_writing(tmp_path, mode):
    with pytest.raises(ValueError, match='create'):
        StagedEvent.for_test(tmp_path).create('a', mode)


def test_nothing_is_created_outside_of_the_output(tmp_path):
    event = StagedEvent.for_test(tmp_path, {'a': b'mine'})
    (event.output_directory / 'link').symlink_to(event.input_directory)
    (event.output_directory / 'file').symlink_to(event.input_directory / 'a')
    for path in ('../input/a', '/tmp/x', 'link/b', 'x/../../b', 'b\0', '', '.'):
        with pytest.raises(UnsafePathError):
            event.create(path)
    with pytest.raises(FileExistsError):
        event.create('file')
    assert os.listdir(event.input_directory) == ['a']
    assert (event.input_directory / 'a').read_bytes() == b'mine'


@given(path=st.text(st.sampled_from('ab./\\\0:') | st.characters(), max_size=10))
def test_no_path_that_is_created_lies_outside(tmp_path_factory, path):
    root = tmp_path_factory.mktemp('event')
    event = StagedEvent.for_test(root)
    try:
        event.create(path).close()
    except (UnsafePathError, OSError):
        pass
    found = [os.path.join(directory, name) for directory, _, names in os.walk(root) for name in names]
    assert all(name.startswith(f'{event.output_directory}/') for name in found)


def test_staging_loads_no_http_client():
    script = 'import sys, pacifica.dispatcher.staging; print("requests" in sys.modules)'
    import subprocess
    import sys
    assert subprocess.run([sys.executable, '-c', script], capture_output=True, text=True).stdout == 'False\n'


def test_errors_of_staging_can_be_pickled():
    error = pickle.loads(pickle.dumps(TransactionDuplicateAttributeError(None, '_id')))
    assert (str(error), error.name) == ("field 'Transactions._id' is already defined: leave one of the two out", '_id')


def test_what_is_staged_is_said_in_the_log(download, work, caplog):
    caplog.set_level(logging.INFO)
    StagedEventHandler(download, Uppercase(), Uploads(), directory=work).handle(event_of(CONTENT))
    said = {record.message: record for record in caplog.records}
    assert said['staging.downloaded'].files == 2 and said['staging.uploaded'].job_id == 7
