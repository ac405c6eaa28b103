"""Downloads from a Cartd that fails in every way: what is tried again, what is an error, and what is left behind."""

from __future__ import annotations

import collections
import hashlib
import io
import os
import tarfile
import time
from uuid import uuid4

import pytest
import requests
from cloudevents.model import Event
from pacifica.downloader import Downloader

from pacifica.dispatcher._transfers import cart, service
from pacifica.dispatcher.downloader_runners import IdleTimeout, Progress, RemoteDownloaderRunner
from pacifica.dispatcher.exceptions import DownloadError, RetryLater, TransferError, UnsafePathError
from pacifica.dispatcher.models import File
from pacifica.dispatcher.staging import StagedEventHandler
from pacifica.dispatcher.task_context import TaskContext, task_context
from support.events import ingest_event
from support.fakes import drip, hang, late, reset, status
from support.pacifica_fakes import FakeCartd, tar_of
from support.processes import free_port
from support.staging import read_all

#: What a busy machine may add to the time that was given; a server that hangs would take half a minute.
SLACK = 10.0
CONTENT = {'sub/dir/\xe9.bin': bytes(range(256)) * 300, 'top.csv': b'1,2\r\n', 'empty': b''}


@pytest.fixture
def cartd():
    """A Cartd that has the files of CONTENT."""
    with FakeCartd(dict(CONTENT)) as server:
        yield server


@pytest.fixture
def runner(cartd):
    """A runner for it."""
    return RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)))


def files(contents=CONTENT):
    """Return the files of an event that has these contents."""
    return [
        File(_id=number, name=path, size=len(content), hashtype='sha1', hashsum=hashlib.sha1(content).hexdigest())
        for number, (path, content) in enumerate(contents.items())
    ]


def names(directory):
    """Return every path under a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob('*'))


def test_files_come_into_data_in_their_order_and_the_cart_is_deleted(cartd, runner, tmp_path):
    openers = runner.download(str(tmp_path), files()[::-1])
    assert read_all(openers) == list(CONTENT.values())[::-1]
    assert names(tmp_path) == ['data', 'data/empty', 'data/sub', 'data/sub/dir', 'data/sub/dir/é.bin', 'data/top.csv']
    assert runner.input_directory(str(tmp_path)) == tmp_path / 'data'
    assert len(cartd.deleted) == 1 and not cartd.carts


def test_a_file_that_is_listed_twice_is_ordered_once_and_opened_by_both(cartd, runner, tmp_path):
    heard = []
    runner.progress = heard.append
    openers = runner.download(str(tmp_path), [*files(), *files()[1:2]])
    assert read_all(openers) == [*CONTENT.values(), CONTENT['top.csv']]
    assert [len(order) for order in cartd.ordered] == [3] and heard[-1].files_total == 3


def test_a_download_goes_again_and_again_into_one_directory(runner, tmp_path):
    for _ in range(2):
        assert read_all(runner.download(str(tmp_path), files())) == list(CONTENT.values())
    assert len(names(tmp_path)) == 6


def test_no_files_are_a_value_error_and_no_request(cartd, runner, tmp_path):
    with pytest.raises(ValueError, match='no files'):
        runner.download(str(tmp_path), [])
    assert cartd.requests == []


@pytest.mark.parametrize('wanted', [
    [File(_id=1, name='a'), File(_id=2, name='a')], [File(_id=1, name='a'), File(_id=2, name='b', subdir='a')],
    [File(name='a')], [File(_id=1, name='a', hashtype='crc7', hashsum='0')],
])
def test_what_no_cart_could_hold_is_an_error_and_no_request(cartd, runner, tmp_path, wanted):
    with pytest.raises(DownloadError, match="'a'") as caught:
        runner.download(str(tmp_path), wanted)
    assert not caught.value.transient and cartd.requests == []


@pytest.mark.parametrize('fault', [reset, status(502), status(503), status(504)], ids=['reset', '502', '503', '504'])
@pytest.mark.parametrize('method', ['POST', 'HEAD', 'GET'])
def test_passing_faults_are_tried_again(cartd, runner, tmp_path, method, fault):
    cartd.fail(method, fault, fault)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())
    assert not cartd.carts


@pytest.mark.parametrize('fault', [hang, drip], ids=['hang', 'drip'])
@pytest.mark.parametrize('method', ['POST', 'HEAD', 'GET', 'DELETE'])
def test_time_is_kept_against_servers_that_hang_or_drip(cartd, runner, tmp_path, method, fault):
    cartd.fail(method, *[fault] * 50)
    began = time.monotonic()
    try:
        openers = runner.download(str(tmp_path), files(), timeout=0.8)
        assert method == 'DELETE' and read_all(openers) == list(CONTENT.values())
    except DownloadError as exc:
        assert exc.transient and f'127.0.0.1:{cartd.port}' in str(exc) and method in str(exc)
    assert time.monotonic() - began < 0.8 + SLACK


def test_time_is_kept_against_a_body_that_drips(cartd, runner, tmp_path):
    def fault(handler):
        handler.send_response(200)
        handler.send_header('Content-Length', '100000')
        handler.end_headers()
        while not cartd.closing.wait(0.02):
            handler.wfile.write(b'\0')

    cartd.fail('GET', fault)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r'GET http://127.*in time \(the 0.7 s .* are over\)') as caught:
        runner.download(str(tmp_path), files(), timeout=0.7)
    assert caught.value.transient and time.monotonic() - began < 0.7 + SLACK
    assert names(tmp_path) == []


def test_one_request_that_hangs_is_given_up_and_tried_again(cartd, tmp_path):
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)), request_timeout=0.2)
    for method in ('POST', 'HEAD', 'GET'):
        cartd.fail(method, hang)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())


def test_late_answers_are_waited_for(cartd, runner, tmp_path):
    for method in ('POST', 'HEAD', 'GET', 'DELETE'):
        cartd.fail(method, late(0.1))
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())


def test_a_cartd_that_is_not_there_is_a_passing_fault(tmp_path):
    with FakeCartd({}) as server:
        port = server.port
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(port)))
    began = time.monotonic()
    with pytest.raises(DownloadError, match='Connection refused') as caught:
        runner.download(str(tmp_path), files(), timeout=2)
    assert caught.value.transient and 1 < time.monotonic() - began < 2 + SLACK


@pytest.mark.parametrize('code', [400, 401, 403, 404, 413])
@pytest.mark.parametrize('method', ['POST', 'HEAD', 'GET'])
def test_refusals_are_lasting(cartd, runner, tmp_path, method, code):
    if code == 404 and method != 'POST':
        pytest.skip('a cart that is gone: another test')
    cartd.fail(method, status(code))
    with pytest.raises(DownloadError) as caught:
        runner.download(str(tmp_path), files(), timeout=20)
    assert (caught.value.transient, caught.value.status) == (False, code)
    assert method == 'HEAD' or 'said by the service' in str(caught.value)
    assert cartd.count(method) == 1 and not cartd.carts


def test_a_cart_in_error_is_lasting_and_says_why(cartd, runner, tmp_path):
    del cartd.contents['top.csv']
    with pytest.raises(DownloadError, match='Failed to pull file.*top.csv') as caught:
        runner.download(str(tmp_path), files(), timeout=20)
    assert (caught.value.transient, caught.value.status) == (False, 500)
    assert cartd.count('POST') == 1 and not cartd.carts and names(tmp_path) == []


def test_a_cart_stuck_in_staging_gets_another_beside_it(cartd, tmp_path):
    cartd.stuck = 2
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)), cart_timeout=0.05)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())
    assert cartd.count('POST') == 3 and not cartd.carts and len(cartd.deleted) == 3


def test_carts_stuck_for_ever_are_a_passing_fault(cartd, tmp_path, monkeypatch):
    # 3 s to order three carts, and what is left of 30 to delete them: a tenth is little on a machine that is busy.
    monkeypatch.setattr(service, '_CLEANING_SHARE', 0.9)
    monkeypatch.setattr(service, '_CLEANING_MOST', 30.0)
    cartd.stuck = 99
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)), cart_timeout=0.01)
    began = time.monotonic()
    with pytest.raises(DownloadError, match='no cart was ready in .*: 3 ordered, staging heard of them') as caught:
        runner.download(str(tmp_path), files(), timeout=30)
    assert caught.value.transient and time.monotonic() - began < 3 + SLACK
    assert len(cartd.deleted) == 3 and not cartd.carts


def test_a_cart_that_vanished_is_ordered_again(cartd, runner, tmp_path):
    cartd.fail('HEAD', status(404))
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())
    assert cartd.count('POST') == 2
    cartd.fail('HEAD', *[status(404)] * 9)
    with pytest.raises(DownloadError, match='vanished') as caught:
        runner.download(str(tmp_path), files(), timeout=20)
    assert caught.value.status == 404


@pytest.mark.parametrize('damage', [
    lambda body: b'', lambda body: body[:300], lambda body: body[:5000], lambda body: body[:40_000],
    lambda body: body[:2560] + b'junk' * 128 + body[3072:], lambda body: tar_of({'top.csv': b'1,2\r\n'}),
], ids=['empty', 'half a header', 'half a file', 'half', 'junk in a header', 'files left out'])
def test_a_damaged_archive_is_fetched_again(cartd, runner, tmp_path, damage):
    whole = cartd.archive
    archives = [damage]
    cartd.archive = lambda contents: archives.pop()(whole(contents)) if archives else whole(contents)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())
    assert cartd.count('POST') == 2 and not cartd.carts and len(names(tmp_path)) == 6


def test_a_connection_lost_in_an_archive_is_tried_again(cartd, runner, tmp_path):
    def fault(handler):
        handler.send_response(200)
        handler.send_header('Transfer-Encoding', 'chunked')
        handler.end_headers()
        handler.wfile.write(b'2800\r\n' + tar_of(CONTENT)[:5000])
        reset(handler)

    cartd.fail('GET', fault)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())


def test_a_wrong_file_is_fetched_again_and_twice_wrong_is_lasting(cartd, runner, tmp_path):
    wrong = [{**CONTENT, 'top.csv': b'9,9\r\n'}]
    cartd.archive = lambda contents: tar_of(wrong.pop() if wrong else contents)
    assert read_all(runner.download(str(tmp_path), files(), timeout=20)) == list(CONTENT.values())
    cartd.archive = lambda contents: tar_of({**CONTENT, 'top.csv': os.urandom(5), 'empty': b'x'})
    with pytest.raises(DownloadError, match="'top.csv' has sha1 .*'empty' has 1 bytes instead of 0") as caught:
        runner.download(str(tmp_path / 'other'), files(), timeout=20)
    assert not caught.value.transient
    assert not cartd.carts and names(tmp_path / 'other') == []


def test_paths_longer_than_cartd_keeps_have_other_names_in_the_cart(cartd, runner, tmp_path):
    contents = {'/'.join(['d' * 50] * 25) + '/' + name: name.encode() for name in 'ab'}
    wanted = files(contents)
    cartd.contents = collections.defaultdict(lambda: b'a', {'top.csv': b'1,2\r\n'})
    cartd.archive = lambda found: tar_of(dict(zip(found, contents.values())))
    cartd.fail('HEAD', status(204, X_Pacifica_Status='ready', X_Pacifica_Message=''))
    assert read_all(runner.download(str(tmp_path), wanted)) == [b'a', b'b']
    assert {str(path.relative_to(tmp_path / 'data')) for path in tmp_path.rglob('*') if path.is_file()} == set(contents)
    asked, = cartd.ordered
    assert max(len(file['path']) for file in asked) < 255


def test_missing_files_are_named(cartd, runner, tmp_path):
    cartd.archive = lambda contents: tar_of({'empty': b''})
    with pytest.raises(DownloadError, match="'sub/dir/.xe9.bin' is missing; 'top.csv' is missing"):
        runner.download(str(tmp_path), files(), timeout=20)


def test_files_without_hash_or_size_are_not_compared(runner, tmp_path):
    wanted = [File(_id=1, name='top.csv'), File(_id=2, name='empty', size='0', hashtype='sha1')]
    assert read_all(runner.download(str(tmp_path), wanted)) == [b'1,2\r\n', b'']


def test_what_was_not_asked_for_is_not_written(cartd, runner, tmp_path):
    cartd.archive = lambda contents: tar_of({'extra': b'x', **contents, 'sub/more': b'y'})
    runner.download(str(tmp_path), files())
    assert len(names(tmp_path)) == 6


def archive_with(**attrs):
    """Return what makes an archive of one member that has these attributes."""
    def archive(contents):
        stream = io.BytesIO()
        with tarfile.open(mode='w', fileobj=stream, format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo('data/top.csv')
            content = attrs.pop('content', b'')
            member.size = len(content)
            for name, value in attrs.items():
                setattr(member, name, value)
            tar.addfile(member, io.BytesIO(content))
        return stream.getvalue()
    return archive


@pytest.mark.parametrize('attrs', [
    {'name': 'data/../../victim'}, {'name': '/etc/victim'}, {'name': 'data//x'}, {'name': 'data/a\\..\\b'},
    {'name': 'C:/x'}, {'type': tarfile.SYMTYPE, 'linkname': '/etc/passwd'},
    {'type': tarfile.SYMTYPE, 'linkname': '../..'}, {'type': tarfile.LNKTYPE, 'linkname': 'data/empty'},
    {'type': tarfile.FIFOTYPE}, {'type': tarfile.CHRTYPE, 'devmajor': 1}, {'type': tarfile.BLKTYPE},
    {'type': tarfile.GNUTYPE_SPARSE},
], ids=str)
def test_archives_that_would_leave_their_directory_are_refused(cartd, runner, tmp_path, attrs):
    (tmp_path / 'victim').write_text('mine')
    cartd.archive = archive_with(**attrs)
    with pytest.raises(DownloadError) as caught:
        runner.download(str(tmp_path / 'in' / 'to'), files(), timeout=5)
    assert not caught.value.transient or attrs.get('type') == tarfile.GNUTYPE_SPARSE
    assert names(tmp_path) in (['in', 'in/to', 'victim'], ['victim']) and (tmp_path / 'victim').read_text() == 'mine'
    assert not cartd.carts


def test_the_mode_of_a_member_is_not_taken_over(cartd, runner, tmp_path):
    cartd.contents = {'top.csv': b'1,2\r\n'}
    cartd.archive = archive_with(content=b'1,2\r\n', mode=0o6777)
    runner.download(str(tmp_path), files({'top.csv': b'1,2\r\n'}))
    assert (tmp_path / 'data' / 'top.csv').stat().st_mode & 0o7111 == 0


def test_a_file_twice_in_an_archive_is_refused(cartd, runner, tmp_path):
    once = archive_with(content=b'1,2\r\n')
    cartd.contents = {'top.csv': b'1,2\r\n'}
    cartd.archive = lambda contents: once({})[:1024] + tar_of(contents)
    with pytest.raises(DownloadError, match="'top.csv' more than once"):
        runner.download(str(tmp_path), files({'top.csv': b'1,2\r\n'}), timeout=5)


def test_a_header_that_would_fill_the_memory_is_refused(cartd, runner, tmp_path):
    header = tarfile.TarInfo('PaxHeader')
    header.type, header.size = tarfile.XHDTYPE, 1 << 36
    cartd.archive = lambda contents: header.tobuf(tarfile.GNU_FORMAT) + bytes(20480)
    with pytest.raises(DownloadError, match='header of 68719476736 bytes'):
        runner.download(str(tmp_path), files(), timeout=5)


def test_links_in_the_way_are_not_followed(runner, tmp_path):
    victim = tmp_path / 'victim'
    victim.mkdir()
    base = tmp_path / 'base'
    (base / 'data').mkdir(parents=True)
    (base / 'data' / 'sub').symlink_to(victim)
    with pytest.raises(UnsafePathError, match="'sub' is a link"):
        runner.download(str(base), files(), timeout=5)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'data').symlink_to(victim)
    with pytest.raises(UnsafePathError, match="'data' is a link"):
        runner.download(str(tmp_path / 'other'), files(), timeout=5)
    assert names(victim) == []


def test_paths_that_lead_out_are_refused_before_any_request(cartd, runner, tmp_path):
    for path in ('../x', '/x', 'a/../../x', 'a\0'):
        with pytest.raises(UnsafePathError):
            runner.download(str(tmp_path), [File(_id=1, name=path)])
    assert cartd.requests == []


def many(cartd, count):
    """Let the archive have so many small files instead, and return those of the event."""
    cartd.contents = {f'{number % 7}/{number}': b'%d' % number for number in range(count)}
    return files(cartd.contents)


def test_a_large_transaction_is_ordered_in_parts_each_file_once(cartd, runner, tmp_path):
    wanted = many(cartd, 450)
    assert read_all(runner.download(str(tmp_path), wanted)) == list(cartd.contents.values())
    assert [len(asked) for asked in cartd.ordered] == [200, 200, 50]
    assert not cartd.carts and len(cartd.deleted) == 3


def test_large_files_have_carts_of_their_own(cartd, runner, tmp_path):
    wanted = many(cartd, 4)
    for file, size in zip(wanted, (1 << 29, 1 << 30, 1, 1)):
        file.size = size
    with pytest.raises(DownloadError, match='instead of 536870912'):
        runner.download(str(tmp_path), wanted, timeout=20)
    assert [len(asked) for asked in cartd.ordered] == [1, 1]  # the second is the first one's, ordered again


def test_only_what_is_missing_or_wrong_is_ordered_again(cartd, runner, tmp_path):
    wanted, whole = many(cartd, 250), cartd.archive

    def archive(contents):
        cartd.archive = whole
        return tar_of({path: b'wrong' if path == '0/7' else body for path, body in contents.items() if path != '1/8'})

    cartd.archive = archive
    assert read_all(runner.download(str(tmp_path), wanted, timeout=60)) == list(cartd.contents.values())
    assert [len(asked) for asked in cartd.ordered] == [200, 2, 50]


def test_an_archive_cut_short_costs_only_what_had_not_come(cartd, runner, tmp_path):
    wanted, cuts = many(cartd, 100), [60 * 1024]
    cartd.archive = lambda contents: tar_of(contents)[:cuts.pop() if cuts else None]
    assert read_all(runner.download(str(tmp_path), wanted, timeout=60)) == list(cartd.contents.values())
    assert 0 < len(cartd.ordered[1]) < 100


def test_an_idle_timeout_begins_again_with_each_part(cartd, runner, tmp_path, monkeypatch):
    monkeypatch.setattr(cart, '_MOST_FILES', 1)
    cartd.fail('GET', *[late(1.5)] * 3)
    began = time.monotonic()
    assert read_all(runner.download(str(tmp_path), files(), timeout=IdleTimeout(4))) == list(CONTENT.values())
    assert time.monotonic() - began > 4


def test_an_idle_timeout_gives_up_a_cart_that_nobody_works_on(cartd, runner, tmp_path):
    cartd.stuck = 99
    began = time.monotonic()
    with pytest.raises(DownloadError, match='no cart was ready in 0.8 s without progress') as caught:
        runner.download(str(tmp_path), files(), timeout=IdleTimeout(0.8))
    assert caught.value.transient and time.monotonic() - began < 0.8 + SLACK and not cartd.carts


def test_what_comes_again_and_again_is_no_progress(cartd, runner, tmp_path):
    cartd.archive = lambda contents: tar_of(contents)[:3000]  # in the middle of a file, each time
    began = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        runner.download(str(tmp_path), files(), timeout=IdleTimeout(1))
    assert caught.value.transient and time.monotonic() - began < 1 + SLACK


def test_an_order_that_nobody_heard_made_no_cart(tmp_path, caplog):
    with FakeCartd({}) as server:
        port = server.port
    with pytest.raises(DownloadError, match='refused'):
        RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(port))).download(str(tmp_path), files(), timeout=1)
    assert 'cart.not_deleted' not in caplog.messages


def test_the_carts_that_could_not_be_deleted_are_one_line_in_the_log(cartd, runner, tmp_path, caplog):
    cartd.fail('DELETE', *[status(403)] * 99)
    runner.download(str(tmp_path), many(cartd, 450))
    line, = [record for record in caplog.records if record.message == 'cart.not_deleted']
    assert line.carts == 3 and f'127.0.0.1:{cartd.port}' in line.cart


class Attempts:
    """Attempts at one event of 450 files, staged in by a handler that does nothing with them."""

    def __init__(self, cartd, work, **settings):
        self.wanted, self.work, self.task_id = many(cartd, 450), work, uuid4()
        self.fails = None
        self.handler = StagedEventHandler(
            RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port))), self, None, directory=work,
            download_timeout=30, **settings)

    def handle(self, event):
        """Read all, then fail if that is wanted."""
        for file in event.files:
            event.open(file).close()
        if self.fails:
            raise self.fails

    def run(self, number):
        """Run the handler as the queue does."""
        event = Event(ingest_event(data=[{'destinationTable': 'Files', **vars(file)} for file in self.wanted]))
        with task_context(TaskContext(self.task_id, number)):
            self.handler.handle(event)

    @property
    def kept(self):
        """What is left in the directory."""
        return sorted(self.work.iterdir())


def test_what_was_verified_is_not_fetched_again_by_the_next_attempt(cartd, tmp_path):
    attempts = Attempts(cartd, tmp_path)
    whole, cartd.archive = cartd.archive, lambda contents: whole(contents) if len(cartd.ordered) < 2 else b''
    attempts.handler.download_timeout = 3
    with pytest.raises(DownloadError):
        attempts.run(1)
    assert len(attempts.kept) == 1
    cartd.archive, attempts.handler.download_timeout = whole, 30
    cartd.ordered.clear()
    attempts.run(2)
    assert [len(asked) for asked in cartd.ordered] == [200, 50]
    assert attempts.kept == [] and not cartd.carts


@pytest.mark.parametrize(('fails', 'kept'), [
    (TransferError('x', transient=True), 1), (RetryLater(1), 1), (KeyError('x'), 0), (TransferError('x'), 0),
])
def test_what_was_verified_stays_only_for_an_event_that_runs_again(cartd, tmp_path, fails, kept):
    attempts = Attempts(cartd, tmp_path)
    attempts.fails = fails
    with pytest.raises(type(fails)):
        attempts.run(1)
    assert len(attempts.kept) == kept
    attempts.fails = None
    cartd.ordered.clear()
    attempts.run(2)
    assert attempts.kept == [] and len(cartd.ordered) == (0 if kept else 3)


def test_kept_files_are_compared_with_the_event_again(cartd, tmp_path):
    attempts = Attempts(cartd, tmp_path)
    attempts.fails = RetryLater(1)
    with pytest.raises(RetryLater):
        attempts.run(1)
    (attempts.kept[0] / 'data/0/7').write_bytes(b'wrong')
    attempts.fails = None
    cartd.ordered.clear()
    attempts.run(2)
    assert [[file['path'] for file in asked] for asked in cartd.ordered] == [['0/7']]


def test_a_download_of_the_handler_itself_is_not_mixed_with_what_is_kept(cartd, runner, tmp_path):
    (tmp_path / 'work').mkdir()
    attempts = Attempts(cartd, tmp_path / 'work')
    attempts.handle = lambda event: runner.download(str(tmp_path / 'own'), attempts.wanted[:1])
    attempts.run(1)
    assert [len(asked) for asked in cartd.ordered] == [200, 200, 50, 1] and attempts.kept == []


@pytest.mark.parametrize('bound', [0, 1])
def test_nothing_is_kept_beyond_the_bound(cartd, tmp_path, bound):
    attempts = Attempts(cartd, tmp_path, keep_downloads=bound)
    attempts.fails = RetryLater(1)
    with pytest.raises(RetryLater):
        attempts.run(1)
    assert attempts.kept == []


def test_what_was_kept_for_a_day_is_removed_by_whichever_event_comes(cartd, tmp_path):
    old = tmp_path / f'.pacifica-kept-{uuid4()}.1'
    (old / 'data').mkdir(parents=True)
    os.utime(old, (1, 1))
    Attempts(cartd, tmp_path).run(1)
    assert not old.exists()


def test_carts_of_a_worker_that_died_are_deleted_by_the_next_attempt(cartd, tmp_path):
    attempts = Attempts(cartd, tmp_path)
    attempts.fails = RetryLater(1)
    with pytest.raises(RetryLater):
        attempts.run(1)
    cartd.carts['/left'] = []
    (attempts.kept[0] / 'carts').write_text('left')
    attempts.fails = None
    attempts.run(2)
    assert not cartd.carts


def test_progress_is_told(cartd, tmp_path):
    heard = []
    runner = RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(cartd.port)), progress=heard.append)
    runner.download(str(tmp_path), files())
    total = sum(map(len, CONTENT.values()))
    assert heard[-1] == Progress('download', 3, 3, total, total)


def test_errors_name_the_url_without_credentials(cartd, tmp_path):
    downloader = Downloader(cart_api_url=f'http://user:secret@127.0.0.1:{cartd.port}/carts')
    cartd.fail('POST', status(403))
    with pytest.raises(DownloadError, match=f'POST http://127.0.0.1:{cartd.port}/carts/.* 403 Forbidden') as caught:
        RemoteDownloaderRunner(downloader).download(str(tmp_path), files(), timeout=5)
    assert 'secret' not in str(caught.value) and 'user' not in str(caught.value)


def test_the_settings_of_the_client_are_used(cartd, tmp_path):
    seen = []

    def fault(handler):
        seen.append((handler.headers['Authorization'], handler.headers['X-Site']))
        handler.body()
        handler.answer(403)

    session = requests.Session()
    session.headers['X-Site'] = 'mine'
    cartd.fail('POST', fault)
    downloader = Downloader(addr='127.0.0.1', port=str(cartd.port), session=session, auth={'auth': ('u', 'p')})
    with pytest.raises(DownloadError):
        RemoteDownloaderRunner(downloader).download(str(tmp_path), files(), timeout=5)
    assert seen == [('Basic dTpw', 'mine')]


def test_nobody_listens_however_late_that_is_found(tmp_path):
    """On a busy machine a transfer's time may be over by then; it is the service that is away all the same."""
    class Late(requests.adapters.HTTPAdapter):
        def send(self, *args, **kwargs):
            time.sleep(0.5)
            return super().send(*args, **kwargs)

    session, port = requests.Session(), free_port()
    session.mount('http://', Late())
    with pytest.raises(DownloadError) as caught:
        RemoteDownloaderRunner(Downloader(addr='127.0.0.1', port=str(port), session=session)).download(
            str(tmp_path), files(), timeout=0.3)
    assert caught.value.service == f'Cartd at http://127.0.0.1:{port}' and 'refused' in caught.value.away
