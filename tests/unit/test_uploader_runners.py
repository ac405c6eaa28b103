"""Bundling a directory: what is in the tar, what is said about it, and what can't be sent."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pacifica.uploader.bundler.bundler import Bundler

from pacifica.dispatcher._paths import make_parents
from pacifica.dispatcher._transfers.headers import any_header, header_of
from pacifica.dispatcher._transfers.tree import BundledFile, measure, remove, scan
from pacifica.dispatcher.exceptions import StagingError, TransactionDuplicateAttributeError
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, Progress, UploaderRunner

TRANSACTION = Transaction(submitter=10, instrument=54, project='1234a')


def write(root, path, content):
    """Write a file and the directories that lead to it."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def bundle_of(root, **kwargs):
    """Return what the local runner makes of *root*."""
    bundle, job_id, state = LocalUploaderRunner().upload(str(root), TRANSACTION, **kwargs)
    assert (job_id, state) == (None, {})
    return bundle


def unpack(bundle):
    """Return the files of a streamed bundle by their names, and its metadata."""
    stream = io.BytesIO()
    bundle.stream(stream)
    assert len(stream.getvalue()) == bundle.length and bundle.length % tarfile.RECORDSIZE == 0
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    assert list(contents)[-1] == 'metadata.txt'
    return contents, json.loads(contents.pop('metadata.txt'))


def test_a_bundle_holds_every_file_under_data_and_metadata_that_are_true(tmp_path):
    write(tmp_path, 'top.csv', b'1,2\r\n')
    write(tmp_path, 'sub/dir/\xe9.bin', bytes(range(256)))
    write(tmp_path, 'sub/empty', b'')
    (tmp_path / 'nothing').mkdir()
    os.utime(tmp_path / 'top.csv', (0, 1596283200.9))
    bundle = bundle_of(tmp_path, transaction_key_values=[TransactionKeyValue(key='k', value='é')])
    contents, metadata = unpack(bundle)
    assert isinstance(bundle, Bundler)
    assert contents == {
        'data/sub/dir/é.bin': bytes(range(256)), 'data/sub/empty': b'', 'data/top.csv': b'1,2\r\n',
    }
    assert metadata[:4] == [
        {'destinationTable': 'Transactions.instrument', 'value': 54},
        {'destinationTable': 'Transactions.project', 'value': '1234a'},
        {'destinationTable': 'Transactions.submitter', 'value': 10},
        {'destinationTable': 'TransactionKeyValue', 'key': 'k', 'value': 'é'},
    ]
    top = metadata[-1]
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d', top.pop('ctime'))
    assert top == {
        'destinationTable': 'Files', 'name': 'top.csv', 'subdir': '', 'size': 5, 'hashtype': 'sha1',
        'hashsum': hashlib.sha1(b'1,2\r\n').hexdigest(), 'mimetype': 'text/csv', 'mtime': '2020-08-01T12:00:00',
    }
    assert [(item['name'], item['subdir'], item['mimetype']) for item in metadata[4:6]] == [
        ('é.bin', 'sub/dir', 'application/octet-stream'), ('empty', 'sub', 'application/octet-stream'),
    ]


def test_a_bundle_can_be_streamed_again_and_says_the_same(tmp_path):
    write(tmp_path, 'a', b'a')
    bundle = bundle_of(tmp_path)
    before = list(bundle.md_obj)
    assert unpack(bundle) == unpack(bundle)
    assert [item.destinationTable for item in before] + ['Files'] == [item.destinationTable for item in bundle.md_obj]
    assert [(data['name'], data['size']) for data in bundle.file_data] == [('data/a', 1)]


def test_the_callback_of_a_stream_hears_the_share_that_is_done(tmp_path):
    write(tmp_path, 'a', bytes(3 << 20))
    shares = []
    bundle_of(tmp_path).stream(io.BytesIO(), callback=shares.append, sleeptime=0)
    assert shares == sorted(shares) and len(shares) == 4 and shares[-1] == 1.0


def test_key_values_alone_are_bundled_as_with_0_2_and_nothing_at_all_is_not(tmp_path):
    bundle, _, _ = LocalUploaderRunner().upload(str(tmp_path), None, [TransactionKeyValue(key='k', value='v')])
    assert unpack(bundle) == ({}, [{'destinationTable': 'TransactionKeyValue', 'key': 'k', 'value': 'v'}])
    for nothing in (None, []):
        with pytest.raises(ValueError, match='has no instrument'):
            LocalUploaderRunner().upload(str(tmp_path), None, nothing)


def test_falsy_key_values_are_values(tmp_path):
    pairs = [TransactionKeyValue(key='zero', value=0), TransactionKeyValue(key='none', value='')]
    _, metadata = unpack(bundle_of(tmp_path, transaction_key_values=pairs))
    assert [item['value'] for item in metadata[3:]] == [0, '']


def test_a_transaction_with_an_id_is_refused(tmp_path):
    with pytest.raises(TransactionDuplicateAttributeError, match=r'Transactions\._id'):
        LocalUploaderRunner().upload(str(tmp_path), Transaction(_id=1, submitter=10, instrument=54, project='1234a'))


@pytest.mark.parametrize(('transaction', 'missing'), [
    (None, 'no instrument and no project and no submitter'), (Transaction(submitter=1, instrument=2), 'no project'),
])
def test_what_ingest_needs_and_the_transaction_lacks_is_named(tmp_path, transaction, missing):
    with pytest.raises(ValueError, match=missing):
        LocalUploaderRunner().upload(str(tmp_path), transaction)


@pytest.mark.parametrize('pair', [TransactionKeyValue(key='a'), TransactionKeyValue(value='a')])
def test_half_a_key_value_is_named(tmp_path, pair):
    with pytest.raises(ValueError, match='TransactionKeyValue'):
        bundle_of(tmp_path, transaction_key_values=[pair])


@pytest.mark.parametrize(('key', 'value', 'what'), [
    ('é' * 256, 'v', 'key'), ('k', 'é' * 256, 'value'), ('k', ['x' * 252], 'value'),
])
def test_a_key_or_value_that_metadata_can_not_keep_is_refused_before_anything_is_sent(tmp_path, key, value, what):
    with pytest.raises(ValueError, match=f'the {what} of .* has 256 characters, and the archive keeps 255'):
        bundle_of(tmp_path, transaction_key_values=[TransactionKeyValue(key=key, value=value)])


def test_a_key_and_a_value_of_255_characters_are_taken(tmp_path):
    pair = TransactionKeyValue(key='é' * 255, value='x' * 255)
    _, metadata = unpack(bundle_of(tmp_path, transaction_key_values=[pair]))
    assert {'destinationTable': 'TransactionKeyValue', 'key': 'é' * 255, 'value': 'x' * 255} in metadata


def test_optional_fields_of_the_transaction_are_sent(tmp_path):
    transaction = Transaction(submitter=10, instrument=54, project='p', description='words', suspense_date='2030-01-01')
    bundle, _, _ = LocalUploaderRunner().upload(str(tmp_path), transaction)
    _, metadata = unpack(bundle)
    assert {'destinationTable': 'Transactions.description', 'value': 'words'} in metadata


def test_any_legal_name_and_depth_is_carried(tmp_path):
    deep = '/'.join(['é' * 50] * 5) + 'x'
    names = ['C:drive', 'back\\slash', '..\\up', ' ', 'new\nline', 'x' * 255, 'é' * 127, '…', 'data:text,x',
             f'{deep}/file']
    assert len(deep) == 255
    for number, name in enumerate(names):
        write(tmp_path, name, bytes([number]))
    contents, metadata = unpack(bundle_of(tmp_path))
    assert contents == {f'data/{name}': bytes([number]) for number, name in enumerate(names)}
    described = {f'{item["subdir"]}/{item["name"]}'.lstrip('/') for item in metadata if 'name' in item}
    assert described == set(names)


@pytest.mark.parametrize(('path', 'message'), [
    ('d/' * 127 + 'dd/a', 'its directory has 256 characters, and the archive keeps 255: shorten it'),
    ('\udcff/a', 'it is no UTF-8: rename it'), ('a\udcff', 'it is no UTF-8: rename it'),
])
def test_a_path_that_the_archive_can_not_keep_is_refused_before_anything_is_sent(tmp_path, path, message):
    write(tmp_path, path, b'')
    with pytest.raises(StagingError, match=f'can\'t be archived.*{message}'):
        bundle_of(tmp_path)


def test_directories_nested_deeper_than_calls_are_listed_and_removed(tmp_path):
    path, root = '/'.join('d' * 1500), tmp_path / 'root'
    root.mkdir()
    make_parents(root, path)
    try:
        (root / path).write_bytes(b'deep')
        assert [entry.path for entry in scan(root)] == [path]
        assert measure(root)[0]
    finally:
        remove(root)
    assert not root.exists()


def test_a_size_over_8_gib_is_headed_right(tmp_path):
    with (tmp_path / 'huge').open('wb') as stream:
        stream.truncate((8 << 30) + 1)
    bundle = bundle_of(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(next(bundle.chunks()))) as archive:
        member = archive.next()
    assert (member.name, member.size) == ('data/huge', (8 << 30) + 1)
    assert bundle.length > 8 << 30


@given(
    st.text(st.characters(max_codepoint=0x250, exclude_characters='\0'), max_size=120),
    st.integers(0, 8 ** 12), st.integers(-10, 8 ** 12))
def test_headers_are_those_that_tarfile_makes(path, size, mtime):
    entry = BundledFile(path, size, mtime * 1_000_000_000, 0, 0, 0)
    assert header_of(entry) == any_header(f'data/{path}', size, mtime)


@pytest.mark.parametrize(('name', 'mimetype'), [
    ('a.tar.gz', 'application/x-tar'), ('a.b.csv', 'text/csv'), ('.csv', 'application/octet-stream'),
    ('.a.csv', 'text/csv'), ('A.CSV', 'text/csv'), ('csv', 'application/octet-stream'),
    ('x.', 'application/octet-stream'),
    ('data:text,a.png', 'image/png'),
])
def test_mime_types_are_those_of_the_names(tmp_path, name, mimetype):
    write(tmp_path, name, b'')
    assert unpack(bundle_of(tmp_path))[1][-1]['mimetype'] == mimetype


@pytest.mark.parametrize('seconds', [-(1 << 40), 1 << 40])
def test_a_time_that_is_no_date_is_named(tmp_path, seconds):
    write(tmp_path, 'a', b'')
    bundle = bundle_of(tmp_path)
    bundle.entries = [bundle.entries[0]._replace(mtime_ns=seconds * 1_000_000_000)]
    with pytest.raises(StagingError, match="'a' has a time that is no date"):
        bundle.length


def test_few_files_are_open_at_once(tmp_path):
    for number in range(50):
        write(tmp_path, f'{number}', b'x')
    bundle, open_files = bundle_of(tmp_path), set()

    class Watching(io.BytesIO):
        """Counts the descriptors of this process at each write."""

        def write(self, data):
            open_files.add(len(os.listdir('/proc/self/fd')))
            return super().write(data)

    bundle.stream(Watching())
    assert max(open_files) - min(open_files) <= 1


def test_links_inside_are_what_they_lead_to(tmp_path):
    write(tmp_path, 'd/a', b'a')
    (tmp_path / 'file').symlink_to('d/a')
    (tmp_path / 'directory').symlink_to('d')
    contents, _ = unpack(bundle_of(tmp_path))
    assert contents == {'data/d/a': b'a', 'data/directory/a': b'a', 'data/file': b'a'}


@pytest.mark.parametrize(('make', 'message'), [
    (lambda path: path.symlink_to('/etc/passwd'), 'leads out'),
    (lambda path: path.symlink_to('../..'), 'leads out'),
    (lambda path: path.symlink_to('missing'), 'leads nowhere'),
    (lambda path: path.symlink_to('bad'), 'leads nowhere'),
    (lambda path: path.symlink_to('.'), 'above it'),
    (os.mkfifo, 'no file'),
])
def test_what_cannot_be_sent_is_named(tmp_path, make, message):
    root = tmp_path / 'sub' / 'root'
    write(root, 'd/good', b'x')
    make(root / 'd' / 'bad')
    with pytest.raises(StagingError, match=f"'d/bad'.*{message}"):
        bundle_of(root)


@pytest.mark.skipif(os.geteuid() == 0, reason='root can read everything')
def test_what_cannot_be_read_is_named(tmp_path):
    write(tmp_path, 'secret', b'x')
    (tmp_path / 'secret').chmod(0)
    with pytest.raises(StagingError, match="'secret' can't be read"):
        bundle_of(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StagingError, match='missing'):
        bundle_of(tmp_path / 'missing')


def grow(path):
    """Append to a file."""
    with path.open('ab') as stream:
        stream.write(b'more')


def fifo(path):
    """Put a FIFO in a file's place."""
    path.unlink()
    os.mkfifo(path)


def other(path):
    """Put another file with the same size and time in a file's place."""
    kept, found = path.with_name('kept'), path.stat()
    path.rename(kept)
    path.write_bytes(bytes(found.st_size))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(('change', 'message'), [
    (grow, 'changed'), (Path.unlink, "can't be read"), (fifo, 'changed'), (other, 'changed'),
    (lambda path: os.truncate(path, 1), 'changed'), (lambda path: os.utime(path, (0, 0)), 'changed'),
])
def test_a_file_that_changes_after_it_was_listed_is_named(tmp_path, change, message):
    write(tmp_path, 'd/a', b'content')
    bundle = bundle_of(tmp_path)
    change(tmp_path / 'd' / 'a')
    with pytest.raises(StagingError, match=f"'d/a'.*{message}"):
        bundle.stream(io.BytesIO())


@pytest.mark.parametrize(('change', 'message'), [
    (grow, 'changed'), (lambda path: os.truncate(path, 1), 'changed'),
    (lambda path: os.utime(path, (0, 0)), 'changed'),
])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, change, message):
    write(tmp_path, 'a', bytes(3 << 20))
    chunks = bundle_of(tmp_path).chunks()
    assert len(next(chunks)) > 1 << 20 and len(next(chunks)) == 1 << 20
    change(tmp_path / 'a')
    with pytest.raises(StagingError, match=f"'a'.*{message}"):
        list(chunks)


def test_a_directory_for_bundles_gets_each_whole(tmp_path):
    write(tmp_path / 'out', 'a', b'a')
    heard = []
    runner = LocalUploaderRunner(tmp_path / 'bundles', progress=heard.append)
    assert isinstance(runner, UploaderRunner)
    paths = {runner.upload(str(tmp_path / 'out'), TRANSACTION)[0].path for _ in range(3)}
    assert {path.parent for path in paths} == {tmp_path / 'bundles'} and len(paths) == 3
    for path in paths:
        with tarfile.open(path) as archive:
            assert archive.getnames() == ['data/a', 'metadata.txt']
    assert heard[-1] == Progress('upload', 1, 1, 1, 1) and heard[-1].finished


def test_a_bundle_that_fails_leaves_nothing_in_the_directory(tmp_path):
    write(tmp_path / 'out', 'a', b'a')

    def stop(progress):
        raise KeyError('stop')

    with pytest.raises(KeyError):
        LocalUploaderRunner(tmp_path / 'bundles', progress=stop).upload(str(tmp_path / 'out'), TRANSACTION)
    assert list((tmp_path / 'bundles').iterdir()) == []


NAMES = st.text(
    st.characters(codec='utf-8', exclude_characters='/\0') | st.sampled_from('\\: .'), min_size=1, max_size=20,
).filter(lambda name: name not in ('.', '..') and len(os.fsencode(name)) < 250)
TREES = st.recursive(
    st.binary(max_size=2000), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12,
).filter(lambda tree: isinstance(tree, dict) and 'data' not in tree)  # in which Ingest takes one "data" away


def flatten(tree, prefix=''):
    """Yield each file of a tree of dicts as its path and content."""
    for name, inner in tree.items():
        if isinstance(inner, dict):
            yield from flatten(inner, f'{prefix}{name}/')
        else:
            yield prefix + name, inner


@given(TREES)
def test_bundling_any_tree_and_unpacking_it_is_the_identity(tree):
    files = dict(flatten(tree))
    with tempfile.TemporaryDirectory() as directory:
        for path, content in files.items():
            write(Path(directory), path, content)
        contents, metadata = unpack(bundle_of(directory))
    assert contents == {f'data/{path}': content for path, content in files.items()}
    described = [item for item in metadata if item['destinationTable'] == 'Files']
    found = {
        f'{item["subdir"]}/{item["name"]}'.removeprefix('/'): (item['size'], item['hashsum']) for item in described
    }
    assert found == {path: (len(content), hashlib.sha1(content).hexdigest()) for path, content in files.items()}
