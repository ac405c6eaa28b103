"""The words that the pages use of events and workers are in the glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pacifica.dispatcher import _http
from pacifica.dispatcher._operate.words import STATUS_NAMES
from pacifica.dispatcher._queue.status import Status
from support.documents import PROJECT

TERMS = re.findall(r'^   (\S.*)$', (PROJECT / 'docs' / 'reference' / 'glossary.rst').read_text('utf-8'), re.MULTILINE)
OVERVIEW = (Path(_http.__file__).parent / 'dashboard' / 'templates' / 'overview.html').read_text('utf-8')
COUNTED = re.findall(r"\(statuses\.\w+, '([^']+)'", OVERVIEW)
STATES = re.findall(r'class="badge s\d+">([^<{]+)<', OVERVIEW)


@pytest.mark.parametrize('word', [*Status, *STATUS_NAMES, *COUNTED, *STATES, 'skipped'], ids=str)
def test_each_word_for_a_status_is_explained(word: str) -> None:
    assert word in TERMS


def test_no_word_is_explained_twice() -> None:
    assert COUNTED and STATES and len(TERMS) == len(set(TERMS))
