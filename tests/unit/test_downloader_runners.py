"""Taking files from a local directory, and opening what was staged in."""

from __future__ import annotations

import hashlib
import os

import pytest

from pacifica.dispatcher.downloader_runners import DownloaderRunner, LocalDownloaderRunner
from pacifica.dispatcher.exceptions import DownloadError, StagingError, UnsafePathError
from pacifica.dispatcher.models import File
from support.staging import read_all, write_files

CONTENT = {'top.csv': b'1,2\r\n', 'sub/dir/\xe9.txt': 'été\r\n'.encode(), 'sub/empty': b''}


def files(**attrs):
    """Return the files of CONTENT, in its order."""
    return [File(name=path, **attrs) for path in CONTENT]


@pytest.fixture
def source(tmp_path):
    """A directory with the files of CONTENT."""
    return write_files(tmp_path / 'source', CONTENT)


@pytest.fixture
def target(tmp_path):
    """An empty directory."""
    root = tmp_path / 'target'
    root.mkdir()
    return root


@pytest.mark.parametrize('link', [True, False])
def test_files_are_linked_or_copied_again_and_again(source, target, link):
    runner = LocalDownloaderRunner(str(source), link=link)
    assert isinstance(runner, DownloaderRunner)
    for _ in range(3):
        openers = runner.download(str(target), files())
        assert read_all(openers) == list(CONTENT.values())
        assert {(target / path).is_symlink() for path in CONTENT} == {link}
    assert sorted(os.listdir(target)) == ['sub', 'top.csv']
    assert sorted(os.listdir(target / 'sub')) == ['dir', 'empty']


def test_openers_are_in_the_order_of_the_files(source, target):
    openers = LocalDownloaderRunner(str(source)).download(str(target), files()[::-1])
    assert read_all(openers) == list(CONTENT.values())[::-1]


def test_files_are_opened_where_they_are_if_that_is_their_directory(source):
    runner = LocalDownloaderRunner(str(source))
    assert read_all(runner.download(str(source), files())) == list(CONTENT.values())
    assert read_all(runner.download(os.path.join(source, 'sub', '..'), files())) == list(CONTENT.values())
    assert not (source / 'top.csv').is_symlink()


@pytest.mark.parametrize('nothing', [None, []])
def test_a_download_of_no_files_is_a_value_error(source, target, nothing):
    with pytest.raises(ValueError, match='no files'):
        LocalDownloaderRunner(str(source)).download(str(target), nothing)


def test_every_missing_file_is_named_and_nothing_is_linked(source, target):
    wanted = [*files(), File(name='gone.txt'), File(name='lost.txt', subdir='sub')]
    with pytest.raises(DownloadError) as caught:
        LocalDownloaderRunner(str(source)).download(str(target), wanted)
    assert "'gone.txt' (No such file or directory)" in str(caught.value)
    assert "'sub/lost.txt' (No such file or directory)" in str(caught.value)
    assert os.listdir(target) == []


def test_a_directory_or_fifo_is_no_file_to_take(source, target):
    os.mkfifo(source / 'pipe')
    with pytest.raises(DownloadError, match=r"'pipe' \(no regular file\); 'sub' \(no regular file\)"):
        LocalDownloaderRunner(str(source)).download(str(target), [File(name='pipe'), File(name='sub')])


def test_paths_that_two_files_claim_are_named(source, target):
    wanted = [File(name='a'), File(name='b'), File(name='a', subdir='.', size=1), File(name='c', subdir='b/x')]
    named = r"'a' \(more than once, and not the same\); 'b' \(a file and also a directory\)"
    with pytest.raises(DownloadError, match=named):
        LocalDownloaderRunner(str(source)).download(str(target), wanted)


@pytest.mark.parametrize('same', [
    {'hashsum': 'AB'}, {'_id': 2, 'size': '1'}, {'subdir': './'}, {'mtime': 'other', 'encoding': 'utf-16'},
])
def test_a_file_that_is_listed_twice_alike_is_one_file(source, target, same):
    fields = {'_id': 1, 'name': 'top.csv', 'size': 1, 'hashtype': 'sha1', 'hashsum': 'ab'}
    openers = LocalDownloaderRunner(str(source)).download(str(target), [File(**fields), File(**{**fields, **same})])
    assert read_all(openers) == [CONTENT['top.csv']] * 2


@pytest.mark.parametrize('other', [
    {'size': 2}, {'hashsum': 'ac'}, {'hashtype': 'md5'}, {'hashsum': None}, {'_id': 2, 'hashsum': None},
])
def test_a_path_that_is_listed_twice_with_other_content_is_an_error(source, target, other):
    fields = {'_id': 1, 'name': 'top.csv', 'size': 1, 'hashtype': 'sha1', 'hashsum': None if '_id' in other else 'ab'}
    with pytest.raises(DownloadError, match='more than once, and not the same'):
        LocalDownloaderRunner(str(source)).download(str(target), [File(**fields), File(**{**fields, **other})])


@pytest.mark.parametrize('path', ['../secret', '/etc/passwd', 'sub/../../secret'])
def test_paths_that_lead_out_are_refused(source, target, path):
    (source.parent / 'secret').write_text('no')
    with pytest.raises(UnsafePathError):
        LocalDownloaderRunner(str(source)).download(str(target), [File(name=path)])


def test_a_link_that_leads_out_of_the_source_is_refused_and_one_inside_followed(source, target):
    (source.parent / 'secret').write_text('no')
    (source / 'out').symlink_to('../secret')
    (source / 'up').symlink_to('..')
    (source / 'in').symlink_to('top.csv')
    runner = LocalDownloaderRunner(str(source))
    with pytest.raises(DownloadError, match=r"'out' \(a link that leads out.*'up/secret' \(a link that leads out"):
        runner.download(str(target), [File(name='out'), File(name='secret', subdir='up')])
    assert read_all(runner.download(str(target), [File(name='in')])) == [b'1,2\r\n']


def test_links_in_the_way_are_not_followed(source, target, tmp_path):
    victim = tmp_path / 'victim'
    (victim / 'dir').mkdir(parents=True)
    (victim / 'dir' / 'é.txt').write_text('mine')
    (target / 'sub').symlink_to(victim)
    runner = LocalDownloaderRunner(str(source), link=False)
    with pytest.raises(UnsafePathError, match="'sub' is a link"):
        runner.download(str(target), files()[1:2])
    (target / 'sub').unlink()
    (target / 'top.csv').symlink_to(victim / 'dir' / 'é.txt')
    runner.download(str(target), files())
    assert (victim / 'dir' / 'é.txt').read_text() == 'mine'
    assert (target / 'top.csv').read_bytes() == b'1,2\r\n' and not (target / 'top.csv').is_symlink()


@pytest.mark.parametrize('what', ['directory', 'fifo'])
def test_something_that_is_no_file_is_not_replaced(source, target, what):
    (target / 'top.csv').mkdir() if what == 'directory' else os.mkfifo(target / 'top.csv')
    with pytest.raises(UnsafePathError, match="'top.csv'.*no file"):
        LocalDownloaderRunner(str(source)).download(str(target), files())


def test_text_is_in_the_encoding_of_the_event_with_its_ends_of_lines(source, target):
    (source / 'latin').write_bytes('é\r\n'.encode('latin-1'))
    wanted = [File(name='é.txt', subdir='sub/dir'), File(name='latin', encoding='iso-8859-1')]
    utf8, latin = LocalDownloaderRunner(str(source)).download(str(target), wanted)
    for opener, text in ((utf8, 'été\r\n'), (latin, 'é\r\n')):
        with opener() as stream:
            assert stream.read() == text
    with latin(encoding='cp1252', newline=None) as stream:
        assert stream.read() == 'é\n'
    with utf8(mode='r', encoding='ascii', errors='replace') as stream:
        assert '\ufffd' in stream.read()


def test_an_encoding_that_is_none_is_an_error_that_says_so_and_bytes_can_be_read(source, target):
    opener, = LocalDownloaderRunner(str(source)).download(str(target), [File(name='top.csv', encoding='gzip')])
    with pytest.raises(StagingError, match="'top.csv'.*'gzip'"):
        opener()
    assert read_all([opener]) == [b'1,2\r\n']


@pytest.mark.parametrize('mode', ['w', 'a', 'r+', 'xb'])
def test_staged_files_are_not_opened_for_writing(source, target, mode):
    opener, = LocalDownloaderRunner(str(source)).download(str(target), [File(name='top.csv')])
    with pytest.raises(ValueError, match='only read'):
        opener(mode=mode)
    assert (source / 'top.csv').read_bytes() == b'1,2\r\n'


def test_openers_survive_a_change_of_directory(source, target, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    openers = LocalDownloaderRunner('source').download('target', files())
    monkeypatch.chdir('/')
    assert read_all(openers) == list(CONTENT.values())


def test_sizes_and_hashes_are_compared_if_asked_for(source, target):
    digest = hashlib.sha256(b'1,2\r\n').hexdigest()
    right = File(name='top.csv', size=5, hashtype='sha256', hashsum=digest.upper())
    assert len(LocalDownloaderRunner(str(source), verify=True).download(str(target), [right])) == 1
    wrong = [File(name='empty', subdir='sub', size=1), File(name='top.csv', hashtype='sha256', hashsum=digest[::-1])]
    with pytest.raises(DownloadError, match="'sub/empty' has 0 bytes instead of 1; 'top.csv' has sha256"):
        LocalDownloaderRunner(str(source), verify=True).download(str(target), wrong)
    assert len(LocalDownloaderRunner(str(source)).download(str(target), wrong)) == 2
    with pytest.raises(DownloadError, match="'top.csv': hash type 'crc7'"):
        LocalDownloaderRunner(str(source), verify=True).download(
            str(target), [File(name='top.csv', hashtype='crc7', hashsum='1')])


@pytest.mark.parametrize('hashtype', ['md5', 'sha3_256', 'blake2b', 'shake_128'])
def test_any_hash_of_hashlib_can_be_compared(source, target, hashtype):
    digest = hashlib.new(hashtype, b'1,2\r\n')
    hashsum = digest.hexdigest() if digest.digest_size else digest.hexdigest(16)
    wanted = File(name='top.csv', hashtype=hashtype, hashsum=hashsum)
    assert LocalDownloaderRunner(str(source), verify=True).download(str(target), [wanted])
