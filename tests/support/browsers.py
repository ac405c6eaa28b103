"""A real Chromium for tests: Debian's, with a new profile each time, that reaches nothing but the loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support import services

FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
)
VARIABLE = 'PACIFICA_TEST_CHROMIUM'


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser of Playwright; skip the test without Playwright, or without a browser (fail it in CI)."""
    # Not a hole in what was tested: "tox -e browser" is there for it, and installs the extra.
    api = pytest.importorskip(
        'playwright.sync_api', reason='playwright is not installed: the extra test-browser has it')
    program = os.environ.get(VARIABLE) or shutil.which('chromium') or shutil.which('chromium-browser')
    if not program:
        services.absent(f'no chromium on the PATH: apt-get install chromium, or say with {VARIABLE} where it is')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
