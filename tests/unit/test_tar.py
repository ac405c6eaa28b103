"""Reading tars strictly: what Python's own module writes in any format comes out the same, what is damaged is said."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher._transfers.archive import unpack
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.tar import FILE, FOLDER, TarReader
from pacifica.dispatcher.exceptions import DispatcherError, DownloadError
from pacifica.dispatcher.models import File

FORMATS = {'pax': tarfile.PAX_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'ustar': tarfile.USTAR_FORMAT}
NAMES = st.text(st.characters(codec='utf-8', exclude_characters='\0'), min_size=1, max_size=300)


def tar_of(members, how=tarfile.PAX_FORMAT):
    """Return a tar of (name, content or type) pairs."""
    stream = io.BytesIO()
    with tarfile.open(mode='w', fileobj=stream, format=how) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes) and content in (tarfile.DIRTYPE, tarfile.SYMTYPE):
                member.type = content
                content = b''
            member.size, member.mtime = len(content), 1.5
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def read(data):
    """Return kind, name and content of each member."""
    reader = TarReader(io.BytesIO(data))
    found = []
    for kind, name, size in reader:
        content = b''
        while reader.left:
            content += reader.take(1000)
        assert len(content) == size
        found.append((kind, name, content))
    return found


@given(st.lists(st.tuples(NAMES, st.binary(max_size=3000))), st.sampled_from(['pax', 'gnu']))
def test_what_tarfile_writes_is_read(members, how):
    data = tar_of([(name, b'x' + content) for name, content in members], FORMATS[how])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(member.name.rstrip('/'), archive.extractfile(member).read()) for member in archive]
    found = read(data)
    assert {kind for kind, _, _ in found} <= {FILE}
    # tarfile leaves out slashes at the end.
    assert [(name.rstrip('/'), content) for _, name, content in found] == expected


@pytest.mark.parametrize('how', FORMATS)
def test_long_names_and_folders_are_read(how):
    name = '/'.join(['d' * 40] * 5)
    data = tar_of([('data', tarfile.DIRTYPE), (name, b'xx')], FORMATS[how])
    assert [(kind, found.rstrip('/'), content) for kind, found, content in read(data)] == [
        (FOLDER, 'data', b''), (FILE, name, b'xx')]


def test_members_that_are_not_taken_are_passed_over():
    data = tar_of([('a', b'x' * 700_000), ('b', b'y')])
    assert [name for _, name, _ in TarReader(io.BytesIO(data))] == ['a', 'b']


def test_sizes_over_8_gib_are_read():
    for how in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        member = tarfile.TarInfo('a')
        member.size = 1 << 40
        assert next(iter(TarReader(io.BytesIO(member.tobuf(how))))) == (FILE, 'a', 1 << 40)


@given(st.data())
def test_a_tar_cut_short_anywhere_is_never_taken_for_whole(data):
    whole = tar_of([('data/a', b'1' * 700), ('data/b', b'2' * 100)])
    end = data.draw(st.integers(0, whole.rindex(b'2')))
    files = {name: (name, File(name=name, size=size)) for name, size in (('a', 700), ('b', 100))}
    with tempfile.TemporaryDirectory() as root:
        try:
            assert unpack(io.BytesIO(whole[:end]), files, Meter('download', 2, None), Path(root))
        except DownloadError as exc:
            assert exc.transient


@given(st.data())
def test_a_damaged_tar_writes_nothing_outside_and_raises_nothing_else(data):
    whole = bytearray(tar_of([('data/a', b'1' * 700), ('data/' + 'b' * 200, b'2' * 100)]))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, 5000))] = data.draw(st.integers(0, 255))
    files = {'a': ('a', File(name='a', size=700))}
    with tempfile.TemporaryDirectory() as outer:
        root = Path(outer, 'root')
        root.mkdir()
        try:
            unpack(io.BytesIO(whole), files, Meter('download', 1, None), root)
        except DispatcherError:
            pass
        assert os.listdir(outer) == ['root'] and set(os.listdir(root)) <= {'a'}


def headed(**fields):
    """Return the header of a member, with bytes of it replaced and its checksum right."""
    block = bytearray(tarfile.TarInfo('a').tobuf(tarfile.USTAR_FORMAT))
    for start, value in fields.items():
        block[int(start[1:]):int(start[1:]) + len(value)] = value
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block)


@pytest.mark.parametrize(('data', 'message'), [
    (headed(_124=b'8'), 'number'), (headed(_124=b'\xff' * 12), 'below 0'), (b'x' * 512, 'checksum|number'),
    (headed(_0=b'b')[:100], 'end of data'),
    (headed(_124=b'00000000005\0', _156=b'x') + b'9999 '.ljust(512, b'\0'), 'extended header'),
    (headed(_124=b'00000000005\0', _156=b'x') + b'5 abc'.ljust(512, b'\0'), 'extended header'),
    (headed(_124=b'00000000005\0', _156=b'x') + b'x =b\n'.ljust(512, b'\0'), 'extended header'),
    (headed(_124=b'00000000005\0', _156=b'x') + b'0 =b\n'.ljust(512, b'\0'), 'extended header'),
])
def test_what_is_damaged_is_said(data, message):
    with pytest.raises(tarfile.ReadError, match=message):
        list(TarReader(io.BytesIO(data)))
