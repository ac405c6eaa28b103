"""Uploads to an Ingest that fails in every way: what is tried again, what is an error, and that it happens once."""

from __future__ import annotations

import io
import json
import tarfile
import time
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from pacifica.uploader import Uploader

from pacifica.dispatcher._transfers import progress
from pacifica.dispatcher.exceptions import (
    LeaseLostError, StagingError, TransactionDuplicateAttributeError, TransferError, UploadError,
)
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.task_context import TaskContext, task_context
from pacifica.dispatcher.uploader_runners import IdleTimeout, Progress, RemoteUploaderRunner
from support.fake_metadata import FakeMetadata
from support.fakes import drip, hang, late, reset, status
from support.pacifica_fakes import FakeIngest, fault_of_bundle
from support.processes import free_port

TRANSACTION = Transaction(submitter=10, instrument=54, project='1234a')
#: What a busy machine may add to the time that was given; a server that hangs would take half a minute.
SLACK = 10.0
DONE = {'task': 'ingest metadata', 'task_percent': '100.00000', 'complete': True}


@pytest.fixture
def ingest():
    """An Ingest."""
    with FakeIngest() as server:
        yield server


@pytest.fixture
def runner(ingest):
    """A runner for it."""
    return RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(ingest.port)))


@pytest.fixture
def output(tmp_path):
    """A directory with files to be uploaded."""
    root = tmp_path / 'output'
    (root / 'sub' / 'data').mkdir(parents=True)
    (root / 'sub' / '\xe9.bin').write_bytes(bytes(range(256)) * 5000)
    (root / 'sub' / 'data' / 'empty').write_bytes(b'')
    (root / 'top.csv').write_bytes(b'1,2\r\n')
    return root


def send(runner, output, timeout=20, **kwargs):
    """Upload the directory and return the job's id and state."""
    _, job_id, state = runner.upload(str(output), TRANSACTION, timeout=timeout, **kwargs)
    return job_id, state


def test_an_upload_is_done_when_ingest_says_that_all_of_it_is(ingest, runner, output):
    pairs = [TransactionKeyValue(key='k', value='v')]
    bundle, job_id, state = runner.upload(str(output), TRANSACTION, pairs)
    assert job_id == 1 and state['complete'] is True and state['task'] == 'ingest metadata'
    stream = io.BytesIO()
    bundle.stream(stream)
    assert stream.getvalue() == ingest.bundles[0]
    with tarfile.open(fileobj=io.BytesIO(ingest.bundles[0])) as archive:
        assert archive.getnames() == ['data/sub/data/empty', 'data/sub/é.bin', 'data/top.csv', 'metadata.txt']
        assert {'destinationTable': 'TransactionKeyValue', 'key': 'k', 'value': 'v'} in json.load(
            archive.extractfile('metadata.txt'))


def test_a_directory_named_data_is_found_by_ingest(ingest, runner, tmp_path):
    (tmp_path / 'out' / 'data' / 'data').mkdir(parents=True)
    (tmp_path / 'out' / 'data' / 'data' / 'a').write_bytes(b'a')
    send(runner, tmp_path / 'out')
    with tarfile.open(fileobj=io.BytesIO(ingest.bundles[0])) as archive:
        assert archive.getnames() == ['data/data/data/a', 'metadata.txt']
        # Ingest takes one leading "data" from the subdir, here and when it looks for the file.
        assert json.load(archive.extractfile('metadata.txt'))[-1]['subdir'] == 'data/data/data'


@pytest.mark.parametrize('fault', [reset, status(502), status(503), status(504)], ids=['reset', '502', '503', '504'])
@pytest.mark.parametrize('method', ['POST', 'GET'])
def test_passing_faults_are_tried_again(ingest, runner, output, method, fault):
    ingest.fail(method, fault, fault)
    assert send(runner, output)[0] == 1
    assert len(ingest.bundles) == 1


def test_an_upload_that_ingest_could_give_no_id_is_tried_again(ingest, runner, output):
    ingest.fail('POST', status(500))
    assert send(runner, output)[0] == 1
    ingest.fail('POST', *[status(500)] * 99)
    with pytest.raises(UploadError, match='500 .*said by the service') as caught:
        send(runner, output, timeout=0.3)
    assert (caught.value.transient, caught.value.status) == (True, 500)


BAD_POLLS = [status(500), status(200, b'not JSON'), status(200, b'[]'), status(404), reset]


@pytest.mark.parametrize('fault', BAD_POLLS)
def test_one_bad_poll_is_nothing(ingest, runner, output, fault):
    ingest.fail('GET', fault)
    assert send(runner, output)[0] == 1


@pytest.mark.parametrize('bad', [
    {'state': 'DATA_ACCESS_ERROR'}, {'state': None}, {'job_id': 7}, {'complete': 'yes'},
])
def test_a_state_that_is_not_known_is_an_error_when_it_stays(ingest, runner, output, bad):
    ingest.script = [bad, DONE]
    assert send(runner, output)[0] == 1
    ingest.script = [bad]
    with pytest.raises(UploadError, match='job 2 of Ingest is in a state that is not known') as caught:
        send(runner, output)
    assert (caught.value.transient, caught.value.job_id) == (False, 2)


@pytest.mark.parametrize('end', [{}, {'task': None}])
def test_a_job_that_does_not_say_whether_it_is_complete_is_judged_by_state_and_percent(ingest, runner, output, end):
    old = {'complete': None}
    ingest.script = [{**old, 'task': 'Policy Validation', 'task_percent': '100.00000'}, {**DONE, **old, **end}]
    assert send(runner, output)[1]['task_percent'] == '100.00000' and ingest.count('GET') == 2
    ingest.script = [{**old, 'state': 'FAILED', 'task': 'ingest files', 'exception': 'no'}]
    with pytest.raises(UploadError, match='job 2 of Ingest failed'):
        send(runner, output, timeout=1)


def test_a_path_that_the_archive_can_not_keep_is_said_before_any_request(ingest, runner, output):
    (output / ('d' * 200) / ('e' * 55)).mkdir(parents=True)
    (output / ('d' * 200) / ('e' * 55) / 'a').write_bytes(b'')
    with pytest.raises(StagingError, match="its directory has 256 characters"):
        send(runner, output)
    assert ingest.count('POST') == 0


def test_key_values_are_sent_without_files_and_without_a_transaction(ingest, runner, tmp_path):
    heard = []
    runner.progress = heard.append
    _, job_id, _ = runner.upload(str(tmp_path), None, [TransactionKeyValue(key='k', value='v')], timeout=20)
    assert job_id == 1 and heard == [Progress('upload', 0, 0, 0, 0)]


@pytest.mark.parametrize('end', [
    {'task': 'ingest files', 'task_percent': '100.00000', 'complete': True}, {**DONE, 'task_percent': '99.99'},
    {**DONE, 'task_percent': None}, {**DONE, 'task': 'Policy Validation'},
])
def test_a_job_that_ends_before_its_end_is_an_error(ingest, runner, output, end):
    ingest.script = [end]
    with pytest.raises(UploadError, match='job 1 of Ingest is in a state that is not known'):
        send(runner, output)


@pytest.mark.parametrize(('task', 'transient'), [
    ('ingest files', True), ('open tar', True), ('load metadata', True), ('something new', False),
])
def test_a_failed_job_is_an_error_with_its_task_and_ingests_own_message(ingest, runner, output, task, transient):
    said = 'Traceback (most recent call last):\n  File "/srv/x.py", line 1\nx.Error: No.\n\nFile 358 is wrong.'
    ingest.script = [{}, {'state': 'FAILED', 'task': task, 'complete': True, 'exception': said}]
    with pytest.raises(UploadError) as caught:
        send(runner, output)
    error = caught.value
    assert (error.job_id, error.transient, error.state['task']) == (1, transient, task)
    assert error.service is None
    assert f"job 1 of Ingest failed: state 'FAILED', task '{task}'" in str(error)
    assert 'File 358 is wrong.' in str(error) and '/srv' not in str(error)
    assert error.state['exception'] == said


REFUSED = ("HTTPConnectionPool(host='127.0.0.1', port=8181): Max retries exceeded with url: /x (Caused by "
           "NewConnectionError('...: Failed to establish a new connection: [Errno 111] Connection refused'))")


@pytest.mark.parametrize(('task', 'said'), [
    ('Policy Validation', REFUSED),
    ('Policy Validation', f'The server encountered an condition. (Traceback (most recent call last): {REFUSED}'),
    ('load metadata', REFUSED),
    ('ingest files', f'Traceback (most recent call last):\nrequests.exceptions.ConnectionError: {REFUSED}'),
    ('ingest files', "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))"),
    ('ingest metadata', REFUSED),
    ('ingest metadata', "{'status': '500 Internal Server Error', 'message': 'The server encountered an unexpected'}"),
])
def test_a_job_that_failed_of_a_service_that_ingest_needs_is_the_fault_of_that_service(
        ingest, careful, output, task, said):
    ingest.script = [{}, {'state': 'FAILED', 'task': task, 'complete': True, 'exception': said}]
    with pytest.raises(UploadError) as caught:
        send(careful, output)
    assert (caught.value.transient, caught.value.away) == (True, None)
    assert f"needs for '{task}'" in str(caught.value.service)


@pytest.mark.parametrize(('task', 'said'), [
    ('Policy Validation', 'Precondition Failed: Invalid values for project (Traceback (most recent call last):\n)'),
    ('ingest metadata', "{'status': '400 Bad Request', 'message': 'Could not insert records [ID: 67] due to'}"),
])
def test_a_job_whose_metadata_were_refused_is_a_lasting_error(ingest, careful, output, task, said):
    ingest.script = [{}, {'state': 'FAILED', 'task': task, 'complete': True, 'exception': said}]
    with pytest.raises(UploadError) as caught:
        send(careful, output)
    assert (caught.value.transient, caught.value.service) == (False, None)


def test_a_job_that_vanished_is_an_error(ingest, runner, output):
    ingest.script = [{}]
    ingest.fail('GET', status(503), *[status(404)] * 3)
    with pytest.raises(UploadError, match="job 1 of Ingest can't be asked for.*404.*said by") as caught:
        send(runner, output)
    assert (caught.value.transient, caught.value.status, caught.value.job_id) == (False, 404, 1)


def test_a_job_that_stops_for_ever_is_given_up_when_the_time_is_over(ingest, runner, output):
    ingest.script = [{'task': 'ingest files'}]
    began = time.monotonic()
    with pytest.raises(UploadError, match="job 1 .* not complete in .*'ingest files'") as caught:
        send(runner, output, timeout=0.7)
    assert caught.value.transient and caught.value.job_id == 1 and caught.value.state['task'] == 'ingest files'
    assert time.monotonic() - began < 0.7 + SLACK


def test_an_idle_timeout_begins_again_with_each_change_of_the_job(ingest, runner, output):
    ingest.script = [DONE]
    ingest.fail('GET', *[  # answers a second late, with another state each time
        lambda handler, number=number: (time.sleep(1), status(200, json.dumps(
            ingest.state(1, {'task': 'ingest files', 'updated': str(number)})).encode())(handler))
        for number in range(5)])
    began = time.monotonic()
    assert send(runner, output, timeout=IdleTimeout(4))[0] == 1
    assert time.monotonic() - began > 4


def test_an_idle_timeout_gives_up_a_job_that_changes_no_more(ingest, runner, output):
    ingest.script = [{'task': 'ingest files'}]
    began = time.monotonic()
    with pytest.raises(UploadError, match='job 1 .* not complete in 0.7 s without progress') as caught:
        send(runner, output, timeout=IdleTimeout(0.7))
    assert caught.value.transient and time.monotonic() - began < 0.7 + SLACK


@pytest.mark.parametrize('fault', [hang, drip], ids=['hang', 'drip'])
@pytest.mark.parametrize('method', ['POST', 'GET'])
def test_time_is_kept_against_servers_that_hang_or_drip(ingest, runner, output, method, fault):
    ingest.fail(method, *[fault] * 50)
    began = time.monotonic()
    with pytest.raises(UploadError) as caught:
        send(runner, output, timeout=0.6)
    assert caught.value.transient and f'{method} http://127.0.0.1:{ingest.port}' in str(caught.value)
    assert time.monotonic() - began < 0.7 + SLACK


def test_time_is_kept_against_a_server_that_takes_no_byte(ingest, runner, tmp_path):
    (tmp_path / 'out').mkdir()
    with (tmp_path / 'out' / 'large').open('wb') as stream:
        stream.truncate(64 << 20)
    ingest.fail('POST', *[hang] * 50)
    began = time.monotonic()
    with pytest.raises(UploadError) as caught:
        send(runner, tmp_path / 'out', timeout=0.6)
    assert caught.value.transient and time.monotonic() - began < 0.6 + SLACK


def test_late_answers_are_waited_for_and_no_second_job_is_made(ingest, output):
    runner = RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(ingest.port)), request_timeout=0.1)
    ingest.fail('POST', late(0.4))
    assert send(runner, output)[0] == 1
    assert ingest.count('POST') == 1


@pytest.mark.parametrize('code', [400, 401, 403, 404, 409])
def test_refusals_are_lasting(ingest, runner, output, code):
    ingest.fail('POST', status(code))
    with pytest.raises(UploadError, match=f'POST http://127.0.0.1:{ingest.port}/upload.*{code}.*said by') as caught:
        send(runner, output)
    assert (caught.value.transient, caught.value.status) == (False, code) and ingest.count('POST') == 1


def test_an_answer_that_comes_before_the_body_is_read_is_heard(ingest, runner, tmp_path):
    def too_large(handler):
        handler.answer(413, b'The entity sent with the request exceeds the maximum allowed bytes.', Connection='close')
        handler.close_connection = True

    (tmp_path / 'out').mkdir()
    with (tmp_path / 'out' / 'large').open('wb') as stream:
        stream.truncate(64 << 20)
    ingest.fail('POST', too_large)
    with pytest.raises(UploadError, match='413.*exceeds the maximum') as caught:
        send(runner, tmp_path / 'out')
    assert (caught.value.transient, caught.value.status) == (False, 413)


@pytest.mark.parametrize('answer', [b'{}', b'{"job_id": null}', b'{"job_id": "1"}'])
def test_an_answer_without_a_job_is_an_error(ingest, runner, output, answer):
    ingest.fail('POST', status(200, answer))
    with pytest.raises(UploadError, match='without a job id'):
        send(runner, output)
    assert ingest.count('POST') == 1


def test_a_file_that_changes_while_it_is_sent_stops_the_upload(ingest, tmp_path, monkeypatch):
    root = tmp_path / 'out'
    root.mkdir()
    for name in 'ab':
        (root / name).write_bytes(bytes(8 << 20))
    runner = RemoteUploaderRunner(
        Uploader(addr='127.0.0.1', port=str(ingest.port)),
        progress=lambda done: (root / 'b').write_bytes(b'') if done.files_done == 1 else None)
    monkeypatch.setattr(progress, 'CALL_EVERY', 0)
    with pytest.raises(StagingError, match="'b' (changed|shrank)"):
        send(runner, root)
    assert ingest.bundles == [] and ingest.count('POST') == 1


def test_a_transaction_with_an_id_is_refused_before_any_request(ingest, runner, output):
    with pytest.raises(TransactionDuplicateAttributeError):
        runner.upload(str(output), Transaction(_id=1, submitter=10, instrument=54, project='p'))
    assert ingest.requests == []


def test_progress_is_told(ingest, output):
    heard = []
    runner = RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(ingest.port)), progress=heard.append)
    send(runner, output)
    assert heard[-1] == Progress('upload', 3, 3, 1_280_005, 1_280_005)


def test_errors_name_the_url_without_credentials(ingest, output):
    url = f'http://user:secret@127.0.0.1:{ingest.port}'
    ingest.fail('POST', status(403))
    runner = RemoteUploaderRunner(Uploader(upload_url=f'{url}/upload?token=secret', status_url=f'{url}/get_state'))
    with pytest.raises(UploadError, match=f'http://127.0.0.1:{ingest.port}/upload was') as caught:
        send(runner, output)
    assert 'secret' not in str(caught.value)


class Store:
    """Keeps the result of one task through its attempts, as the queue does."""

    def __init__(self):
        self.task_id, self.attempt, self.result = uuid4(), 0, {}

    def save(self, result):
        """Keep it, as JSON."""
        self.result = json.loads(json.dumps(result))

    def run(self):
        """Begin another attempt."""
        self.attempt += 1
        return task_context(TaskContext(self.task_id, self.attempt, json.loads(json.dumps(self.result)), self.save))


def test_a_rerun_asks_for_the_job_of_the_run_before(ingest, runner, output):
    ingest.script, store = [{}], Store()
    with store.run(), pytest.raises(UploadError):
        send(runner, output, timeout=2)
    kept, = store.result['uploads']
    assert len(kept.pop('contents')) == 64
    assert kept == {
        'service': f'http://127.0.0.1:{ingest.port}/get_state', 'job_id': 1, 'attempt': 1, 'state': None,
    }
    ingest.jobs[1] = [DONE]
    with store.run():
        assert send(runner, output)[0] == 1
    assert len(ingest.bundles) == 1
    assert store.result['uploads'][0]['state']['complete'] is True


def test_the_job_is_stored_before_it_is_waited_for(ingest, runner, output):
    store = Store()
    ingest.fail('GET', lambda handler: status(200, json.dumps(
        ingest.state(1, {'state': 'FAILED', 'task': str(store.result['uploads'][0]['job_id'])})).encode())(handler))
    with store.run(), pytest.raises(UploadError, match="task '1'"):
        send(runner, output)


def test_a_confirmed_upload_is_not_even_asked_for(ingest, runner, output):
    store = Store()
    for _ in range(3):
        with store.run():
            assert send(runner, output)[0] == 1
    assert len(ingest.bundles) == 1 and ingest.count('POST') == 1
    ingest.jobs.clear()
    with store.run():
        assert send(runner, output) == (1, store.result['uploads'][0]['state'])


@pytest.mark.parametrize('change', [
    lambda ingest: ingest.jobs.update({1: [{'state': 'FAILED', 'task': 'ingest files', 'complete': True}]}),
    lambda ingest: ingest.jobs.update({1: ingest.jobs.pop(1)[:0] or [{'state': 'FAILED', 'complete': True}]}),
])
def test_a_rerun_uploads_again_if_the_job_failed(ingest, runner, output, change):
    ingest.script, store = [{}], Store()
    with store.run(), pytest.raises(UploadError):
        send(runner, output, timeout=2)
    change(ingest)
    ingest.script = [DONE]
    with store.run():
        assert send(runner, output)[0] == 2
    assert [kept['job_id'] for kept in store.result['uploads']] == [2]


def test_a_rerun_uploads_again_if_the_job_never_was(ingest, runner, output):
    ingest.script, store = [{}], Store()
    with store.run(), pytest.raises(UploadError):
        send(runner, output, timeout=2)
    ingest.jobs = {5: [{}]}
    ingest.script = [DONE]
    with store.run():
        assert send(runner, output)[0] == 2


def test_a_rerun_does_not_upload_again_while_the_outcome_is_not_known(ingest, runner, output):
    ingest.script, store = [{}], Store()
    for _ in range(3):
        with store.run(), pytest.raises(UploadError) as caught:
            send(runner, output, timeout=2)
        assert caught.value.transient and caught.value.job_id == 1
        assert (caught.value.service, caught.value.away) == (f'http://127.0.0.1:{ingest.port}/get_state', None)
    assert len(ingest.bundles) == 1


def test_each_upload_of_a_handler_is_asked_for_in_its_order(ingest, runner, output):
    store = Store()
    for _ in range(2):
        with store.run():
            assert [send(runner, output)[0], send(runner, output)[0]] == [1, 2]
    assert len(ingest.bundles) == 2


def test_the_jobs_of_another_ingest_mean_nothing(ingest, runner, output):
    store = Store()
    with store.run():
        send(runner, output)
    with FakeIngest() as other, store.run():
        send(RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(other.port))), output)
        assert len(other.bundles) == 1
    assert len(store.result['uploads']) == 2


def test_a_worker_that_lost_its_event_stops(ingest, runner, output):
    def lost(result):
        raise LeaseLostError('lost')

    with task_context(TaskContext(uuid4(), 1, {}, lost)), pytest.raises(LeaseLostError):
        send(runner, output)


@pytest.mark.parametrize('answers', [[False], [True, False]], ids=['before it begins', 'before its last byte'])
def test_an_event_that_is_another_workers_leaves_no_job_behind(ingest, runner, output, answers):
    task = TaskContext(uuid4(), held=lambda: answers.pop(0))

    with task_context(task), pytest.raises(LeaseLostError):
        send(runner, output)

    assert not ingest.jobs and not any(fault_of_bundle(body) is None for body in ingest.bundles)


def test_outside_of_a_task_every_upload_is_one(ingest, runner, output):
    assert [send(runner, output)[0], send(runner, output)[0]] == [1, 2]
    assert Path(output).exists()


class Archive(FakeMetadata):
    """A Metadata that knows the transaction of each job of an Ingest that is complete."""

    def __init__(self, ingest):
        super().__init__({})
        self.ingest = ingest
        self.taken = set()  # jobs that it took though they failed

    def do_get(self, handler, path, query):
        """Take up what Ingest has done."""
        for job_id, states in self.ingest.jobs.items():
            done = states[-1].get('complete') and states[-1].get('state') != 'FAILED' and len(states) == 1
            if done or job_id in self.taken:
                with tarfile.open(fileobj=io.BytesIO(self.ingest.bundles[job_id - 1])) as archive:
                    rows = json.load(archive.extractfile('metadata.txt'))
                self.transactions[job_id] = datetime.now(timezone.utc).isoformat()[:19]
                self.key_values[job_id] = [(row['key'], row['value']) for row in rows if 'key' in row]
                self.files[job_id] = [row for row in rows if row['destinationTable'] == 'Files']
        super().do_get(handler, path, query)


@pytest.fixture
def archive(ingest):
    """The Metadata of the Ingest."""
    with Archive(ingest) as server:
        yield server


@pytest.fixture
def careful(ingest, archive):
    """A runner that knows where Metadata is."""
    return RemoteUploaderRunner(Uploader(addr='127.0.0.1', port=str(ingest.port)), metadata_url=archive.url)


def swallowed(how):
    """Begin the job, and fail instead of telling its id."""
    def fault(handler):
        answer, handler.answer_json = handler.answer_json, lambda value: None
        handler.server.do_post(handler, '/upload', {})
        handler.answer_json = answer
        how(handler)
    return fault


def lost(handler):
    """An answer of something in between, whose own request to Ingest got through."""
    handler.answer(504)


@pytest.mark.parametrize('how', [reset, lost, lambda handler: handler.answer(200, b'oops')],
                         ids=['reset', '504', 'no JSON'])
def test_an_upload_whose_answer_is_lost_is_found_instead_of_sent_again(ingest, careful, output, how):
    store, ingest.script = Store(), [DONE]
    ingest.fail('POST', swallowed(how))
    with store.run():
        job_id, state = send(careful, output, timeout=60)
    assert (job_id, state['complete'], len(ingest.bundles)) == (1, True, 1)
    kept, = store.result['uploads']
    assert kept['job_id'] == 1 and 'upload' not in kept


def died(store, ingest, careful, output, script):
    """Let a worker die when Ingest has begun the job, whose states are *script*, and before the id is stored."""
    def die(result):
        if result['uploads'][0]['job_id'] is not None:
            raise SystemExit
        store.save(result)

    ingest.script = script
    with pytest.raises(SystemExit), task_context(TaskContext(store.task_id, 1, {}, die)):
        send(careful, output)
    store.attempt = 1


def test_the_upload_of_a_worker_that_died_before_it_had_the_id_is_found(ingest, careful, output):
    store = Store()
    died(store, ingest, careful, output, [DONE])
    with store.run():
        assert send(careful, output)[0] == 1
    assert len(ingest.bundles) == 1 and store.result['uploads'][0]['state']['complete'] is True


def test_a_job_that_is_still_at_work_is_waited_for_before_an_upload_is_sent_again(ingest, careful, output):
    store = Store()
    died(store, ingest, careful, output, [{'task': 'ingest files'}] * 5 + [DONE])
    with store.run():
        assert send(careful, output, timeout=60)[0] == 1
    assert len(ingest.bundles) == 1


def test_a_job_that_is_at_work_for_long_is_the_fault_of_ingest_also_where_its_id_is_not_known(ingest, careful, output):
    store = Store()
    died(store, ingest, careful, output, [{'task': 'ingest files'}])
    with store.run(), pytest.raises(UploadError) as caught:
        send(careful, output, timeout=3)
    assert (caught.value.transient, caught.value.away) == (True, None)
    assert caught.value.service == f'http://127.0.0.1:{ingest.port}/get_state'
    assert len(ingest.bundles) == 1


def test_an_upload_that_never_arrived_is_sent_again(ingest, careful, output):
    store = Store()
    died(store, ingest, careful, output, [{'state': 'FAILED', 'task': 'load metadata', 'complete': True}])
    ingest.script = [DONE]
    with store.run():
        assert send(careful, output, timeout=60)[0] == 2


def test_while_it_is_not_known_whether_an_upload_arrived_none_is_sent(ingest, archive, careful, output):
    store = Store()
    died(store, ingest, careful, output, [DONE])
    careful.metadata_url = f'http://127.0.0.1:{free_port()}'
    careful.request_timeout = 1
    with store.run(), pytest.raises(TransferError) as caught:
        send(careful, output)
    assert caught.value.transient and caught.value.service.startswith('Metadata at') and caught.value.away
    careful.metadata_url = archive.url
    with store.run():
        assert send(careful, output)[0] == 1
    assert len(ingest.bundles) == 1


def test_an_upload_that_ingest_refused_is_not_looked_for(ingest, archive, careful, output):
    store = Store()
    ingest.fail('POST', status(403))
    with store.run(), pytest.raises(UploadError):
        send(careful, output)
    ingest.script = [DONE]
    with store.run():
        assert send(careful, output)[0] == 1
    assert archive.requests == []


@pytest.mark.parametrize('said', [
    REFUSED, "{'status': '400 Bad Request', 'message': 'Could not insert records [ID: 1] due to duplicated ID values'}",
], ids=['unanswered', 'asked twice'])
def test_an_upload_that_metadata_has_though_its_job_failed_is_not_sent_again(ingest, archive, careful, output, said):
    store, archive.taken = Store(), {1}
    ingest.script = [{'state': 'FAILED', 'task': 'ingest metadata', 'complete': True, 'exception': said}]
    with store.run():
        job_id, state = send(careful, output)
    assert (job_id, state['complete'], len(ingest.bundles)) == (1, True, 1)
    with store.run():
        assert send(careful, output)[0] == 1
    assert len(ingest.bundles) == 1


def test_a_transaction_of_another_upload_is_not_taken_for_that_of_a_failed_job(ingest, archive, careful, output):
    said = "{'status': '400 Bad Request', 'message': 'Could not insert records [ID: 1] due to duplicated ID values'}"
    ingest.script = [{'state': 'FAILED', 'task': 'ingest metadata', 'complete': True, 'exception': said}]
    archive.transactions[1] = '2026-11-24T08:54:09'
    with pytest.raises(UploadError, match='duplicated ID'):
        send(careful, output)
