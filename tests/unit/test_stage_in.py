"""Only what a handler needs is staged in: the patterns, what else the event has, and fetching more of it."""

from __future__ import annotations

import pytest

from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher._patterns import Patterns
from pacifica.dispatcher.downloader_runners import LocalDownloaderRunner
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.staging import StagedEvent, StagedEventHandler
from support.staging import event_of, write_files

CONTENTS = {'a.csv': b'1', 'raw/b.csv': b'2', 'raw/deep/c.bin': b'3', 'big.raw': b'4'}


class Downloads(LocalDownloaderRunner):
    """Notes what it is asked for."""

    def download(self, basedir_name, files=None, timeout=180.0):
        """Note, and do it."""
        self.asked.append([file.path for file in files])
        return super().download(basedir_name, files, timeout)


class Does(EventHandler):
    """Does with a staged event what a test says."""

    def __init__(self, action):
        self.handle = action

    def handle(self, event):
        """Replaced by the action."""


def handle(tmp_path, action, stage_in=None, key_values=None, downloads=True):
    """Have an event with CONTENTS handled by *action*; return the paths of each download."""
    runner = Downloads(str(write_files(tmp_path / 'archive', CONTENTS)))
    runner.asked = []
    StagedEventHandler(
        runner if downloads else None, Does(action), None, stage_in=stage_in, key_values=key_values,
    ).handle(event_of(CONTENTS))
    return runner.asked


@pytest.mark.parametrize(('patterns', 'staged'), [
    (['*.csv'], ['a.csv', 'raw/b.csv']),
    (['/*.csv'], ['a.csv']),
    (['raw/**'], ['raw/b.csv', 'raw/deep/c.bin']),
    (['**/c.*', 'big.raw'], ['raw/deep/c.bin', 'big.raw']),
    (['raw/', '!*.bin'], ['raw/b.csv']),
    (None, list(CONTENTS)),
])
def test_only_files_that_a_pattern_means_are_ordered_and_all_are_listed(tmp_path, patterns, staged):
    seen = []

    def look(event):
        seen.append([file.path for file in event.files])
        there = [path for path in CONTENTS if (event.input_directory / path).exists()]
        seen.append(there)

    assert handle(tmp_path, look, patterns) == [staged]
    assert seen == [list(CONTENTS), staged]


def test_opening_another_file_says_how_to_get_it_and_fetch_gets_it_once(tmp_path):
    def read(event):
        with pytest.raises(FileNotFoundError, match=r"'big.raw' was not staged in .*'a.csv'.*fetch\(\) gets it"):
            event.open('big.raw')
        big = next(file for file in event.files if file.name == 'big.raw')
        assert event.fetch(big).read_bytes() == b'4'
        assert event.fetch('big.raw') == event.input_directory / 'big.raw'
        with event.open(big) as stream:
            assert stream.read() == '4'

    assert handle(tmp_path, read, ['a.csv']) == [['a.csv'], ['big.raw']]


def test_fetching_what_the_event_has_not_or_nobody_can_fetch_says_so(tmp_path):
    def read(event):
        with pytest.raises(FileNotFoundError, match="'other' was not staged in"):
            event.fetch('other')

    handle(tmp_path, read, ['a.csv'])

    def read_without_runner(event):
        with pytest.raises(FileNotFoundError, match="'a.csv' was not staged in with this event; .*none$"):
            event.fetch('a.csv')

    (tmp_path / 'second').mkdir()
    handle(tmp_path / 'second', read_without_runner, downloads=False)


def test_an_event_of_which_no_file_is_meant_is_handled_without_a_download(tmp_path):
    seen = []

    def look(event):
        seen.append(list(event.input_directory.iterdir()))

    assert handle(tmp_path, look, ['*.nothing']) == []
    assert seen == [[]]


def test_the_key_values_of_a_handler_are_those_of_each_upload(tmp_path):
    seen = []
    handle(tmp_path, lambda event: seen.extend((each.key, each.value) for each in event.key_values),
           key_values={'do_processing': 'False'})
    assert seen[-1] == ('do_processing', 'False')


@pytest.mark.parametrize(('patterns', 'why'), [
    ([], 'at least one'), (['a', ''], "'' is no pattern"), (['#x'], "'#x' is no pattern"), (['!'], "can't be"),
    ('*.csv', r"\['\*.csv'\] instead of"),
])
def test_patterns_that_mean_nothing_are_refused_as_the_handler_is_made(patterns, why):
    with pytest.raises(ConfigurationError, match=why):
        StagedEventHandler(None, Does(None), None, stage_in=patterns)


def test_names_with_backslashes_newlines_and_lone_surrogates_are_matched_as_they_are():
    patterns = Patterns(['*.csv'])
    assert all(map(patterns.match, ['a\\b.csv', 'a\nb.csv', '\udcff.csv']))
    assert not patterns.match('A.CSV')


def test_every_file_of_a_test_can_be_fetched(tmp_path):
    event = StagedEvent.for_test(tmp_path, {'a.txt': 'x'})
    assert event.fetch('a.txt').read_text() == 'x'
