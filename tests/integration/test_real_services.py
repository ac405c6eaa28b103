"""The transfers against the real Pacifica services, where PACIFICA_STACK says how to start them."""

from __future__ import annotations

import collections
import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from cloudevents.model import Event

from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.exceptions import DownloadError, TransferError, UploadError
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue
from pacifica.dispatcher.staging import PROVENANCE_KEY, StagedEventHandler
from pacifica.dispatcher.task_context import TaskContext, task_context
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner
from support.events import wait_until
from support.stack import Subscriber, running
from support.staging import read_all, write_files

# One set of services at a time, in one process of the test run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group('services')]
TRANSACTION = Transaction(submitter=10, instrument=54, project='1234a')


@pytest.fixture(scope='module')
def subscriber(stack):
    """Gets the event of each ingest."""
    with Subscriber(stack) as server:
        yield server


class Copy(EventHandler):
    """Sends every file back as it is."""

    def handle(self, event):
        """Copy the files."""
        for file in event.files:
            with event.open(file, 'rb') as source, event.create(file.path, 'wb') as target:
                shutil.copyfileobj(source, target, 1 << 20)


def tree(root, count):
    """Write files of many kinds and return their contents by path."""
    contents = {
        'événement.txt': 'café\r\n'.encode(), 'leer/größe/ø.bin': bytes(range(256)) * 400, 'empty': b'',
        'data/of/its own': b'named as the folder of a bundle', 'data/data': b'\0', '日本語/файл': b'x' * 5000,
        # As long as the archive's table lets a directory be: 255 characters.
        '/'.join(['deep' * 12] * 5) + '/' + 'deep.' * 2 + '/file': b'deep', 'a b;c&d=e%20+?#.txt': b'punctuation',
        **{f'scans/{number % 7}/scan-{number:03}.csv': os.urandom(number * 17) for number in range(count - 8)},
    }
    write_files(root, contents)
    return contents


def upload(stack, root, **kwargs):
    """Upload a directory and return its transaction."""
    _, job_id, state = RemoteUploaderRunner(stack.uploader()).upload(str(root), TRANSACTION, **kwargs)
    assert state['complete'] is True
    return job_id


def test_a_round_trip_of_50_files_is_byte_for_byte(stack, subscriber, tmp_path):
    contents = tree(tmp_path, 50)
    job_id = upload(stack, tmp_path, transaction_key_values=[TransactionKeyValue(key='é', value='ü')])
    event = subscriber.event_of(job_id)
    assert max(map(len, contents)) > 255  # longer than Cartd keeps
    assert {file.path: file.size for file in File.from_cloudevents_model(Event(event))} == {
        path: len(content) for path, content in contents.items()}
    handler = StagedEventHandler(
        RemoteDownloaderRunner(stack.downloader()), Copy(), RemoteUploaderRunner(stack.uploader()))
    before = set(subscriber.events)
    handler.handle(Event(event))
    new = wait_until(lambda: set(subscriber.events) - before)
    caused = Event(subscriber.events[new.pop()])
    pairs = {pair.key: pair.value for pair in TransactionKeyValue.from_cloudevents_model(caused)}
    assert pairs == {PROVENANCE_KEY: job_id}
    assert stack.archived(Transaction.from_cloudevents_model(caused)._id) == contents
    openers = RemoteDownloaderRunner(stack.downloader()).download(
        str(tmp_path / 'back'), files := File.from_cloudevents_model(caused))
    for file, opener in zip(files, openers):
        with opener(mode='rb') as stream:
            assert stream.read() == contents[file.path]


HOSTILE = [
    'back\\slash', '..\\up', 'a\\b/c\\d', 'C:drive', 'd:/x', 'new\nline', 'tab\t', ' lead and trail ', 'dot.', '-rf',
    '~', 'quote"\'`$(id)`;|&', '%2e%2e%2f?#', '*[a]{b}<c>', '\x01\x7f', 'e\u0301 \u202e\U0001f600', '...',
    'metadata.txt', 'data',
]


def test_names_that_mean_something_to_somebody_make_the_round_trip(stack, subscriber, tmp_path):
    contents = {name: name.encode() * 100 for name in HOSTILE}
    write_files(tmp_path / 'out', contents)
    files = File.from_cloudevents_model(Event(subscriber.event_of(upload(stack, tmp_path / 'out'))))
    openers = RemoteDownloaderRunner(stack.downloader()).download(str(tmp_path / 'back'), files)
    assert dict(zip((file.path for file in files), read_all(openers))) == contents


def test_an_upload_that_a_handler_only_describes_is_a_transaction_without_files(stack, subscriber, tmp_path):
    class Describes(EventHandler):
        """Adds a key-value alone."""

        def handle(self, event):
            """Add it."""
            event.key_values.append(TransactionKeyValue(key='looked at', value='yes'))

    (tmp_path / 'a').write_text('a')
    event = Event(subscriber.event_of(upload(stack, tmp_path)))
    before = set(subscriber.events)
    StagedEventHandler(None, Describes(), RemoteUploaderRunner(stack.uploader())).handle(event)
    caused = Event(subscriber.events[wait_until(lambda: set(subscriber.events) - before).pop()])
    assert File.from_cloudevents_model(caused) == []
    pairs = {pair.key: pair.value for pair in TransactionKeyValue.from_cloudevents_model(caused)}
    assert pairs == {PROVENANCE_KEY: Transaction.from_cloudevents_model(event)._id, 'looked at': 'yes'}


def test_a_failed_ingest_is_an_error_with_its_message(stack, tmp_path):
    (tmp_path / 'a').write_text('a')
    with pytest.raises(UploadError, match='Policy Validation.*Invalid values for project') as caught:
        RemoteUploaderRunner(stack.uploader()).upload(
            str(tmp_path), Transaction(submitter=10, instrument=54, project='none'))
    assert not caught.value.transient and caught.value.job_id


@pytest.mark.parametrize('wrong', [{'hashsum': '0' * 40}, {'_id': 999_999}], ids=str)
def test_a_cart_that_fails_is_an_error(stack, subscriber, tmp_path, wrong):
    (tmp_path / 'a').write_text('a')
    file, = File.from_cloudevents_model(Event(subscriber.event_of(upload(stack, tmp_path))))
    vars(file).update(wrong)
    with pytest.raises(DownloadError, match='Failed to pull') as caught:
        RemoteDownloaderRunner(stack.downloader()).download(str(tmp_path / 'back'), [file], timeout=60)
    assert (caught.value.transient, caught.value.status) == (False, 500)


def test_an_upload_can_be_read_back(stack, tmp_path):
    tree(tmp_path, 12)
    runner = RemoteUploaderRunner(stack.uploader(), read_back=stack.downloader(), policy_url=stack.url('policy'))
    assert runner.upload(str(tmp_path), TRANSACTION)[1]


@pytest.mark.slow
def test_a_file_of_1_gib_makes_the_round_trip(stack, subscriber, tmp_path):
    root, digest, block = tmp_path / 'out', hashlib.sha1(), os.urandom(1 << 20)
    root.mkdir()
    with (root / 'large.bin').open('wb') as stream:
        for number in range(1024):
            chunk = block[number:] + block[:number]
            digest.update(chunk)
            stream.write(chunk)
    event = Event(subscriber.event_of(upload(stack, root, timeout=600), 120))
    shutil.rmtree(root)
    opener, = RemoteDownloaderRunner(stack.downloader()).download(
        str(tmp_path), File.from_cloudevents_model(event), timeout=600)
    found = hashlib.sha1()
    with opener(mode='rb') as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    assert found.hexdigest() == digest.hexdigest()


class Queue:
    """Runs a handler as the queue does: again after a passing fault, with the result that was kept."""

    def __init__(self, handler, attempts=3):
        self.handler, self.attempts = handler, attempts

    def run(self, event):
        """Return how the event ended: the job that confirmed it, or the last error."""
        kept = {}
        for attempt in range(1, self.attempts + 1):
            with task_context(TaskContext(uuid4(), attempt, dict(kept), kept.update)):
                try:
                    self.handler.handle(event)
                    return kept['uploads'][0]['job_id']
                except TransferError as exc:
                    error = exc
                    if not exc.transient:
                        break
        return error


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_services_that_corrupt_and_lose_never_end_in_success_with_wrong_data(tmp_path):
    """200 events, four at a time, against upstream's own concurrency."""
    with running(racy=True) as stack:
        stack.allow_uploads(10_000)
        with Subscriber(stack) as subscriber:
            sources = {}
            for number in range(20):
                root = tmp_path / str(number)
                root.mkdir()
                contents = {f'dir/{name}.bin': os.urandom(3000 + number) for name in range(1 + number % 6)}
                for path, content in contents.items():
                    (root / path).parent.mkdir(exist_ok=True)
                    (root / path).write_bytes(content)
                job_id = upload(stack, root)
                assert stack.archived(job_id) == contents
                sources[job_id] = (Event(subscriber.event_of(job_id)), contents)
        seen_wrong, lock = [], threading.Lock()

        class Check(Copy):
            """Compares what was staged in with what was sent once, then sends it back, marked."""

            def handle(self, event):
                """Compare and copy."""
                contents = sources[event.key_values[0].value][1]
                found = {file.path: (event.input_directory / file.path).read_bytes() for file in event.files}
                if found != contents:
                    with lock:
                        seen_wrong.append(event.event_id)
                super().handle(event)

        handler = StagedEventHandler(
            RemoteDownloaderRunner(stack.downloader(), cart_timeout=3), Check(),
            RemoteUploaderRunner(
                stack.uploader(), read_back=stack.downloader(), policy_url=stack.url('policy')),
            download_timeout=30, upload_timeout=20, directory=tmp_path)
        with ThreadPoolExecutor(4) as pool:
            events = [(job_id, event) for job_id, (event, _) in sources.items()] * 10
            ends = list(pool.map(lambda item: (item[0], Queue(handler).run(item[1])), events))
        jobs = [end for _, end in ends if isinstance(end, int)]
        wrong = [(source, end) for source, end in ends
                 if isinstance(end, int) and stack.archived(end) != sources[source][1]]
        errors = collections.Counter(type(end).__name__ for _, end in ends if not isinstance(end, int))
        print(f'{len(ends)} events: {len(jobs)} succeeded, {dict(errors)} failed; wrong {len(wrong)}')
        assert len(ends) == 200 and seen_wrong == [] and wrong == []
        assert len(jobs) == len(set(jobs)), 'two events were told the same job'
        assert len(jobs) > 150
