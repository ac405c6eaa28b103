"""A real Chromium for tests: Debian's, with a new profile each time, that reaches nothing but the loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support import services

FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
)
VARIABLE = 'PACIFICA_TEST_CHROMIUM'


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser of Playwright; skip the test, or fail it in CI, where there is none."""
    program = os.environ.get(VARIABLE) or shutil.which('chromium') or shutil.which('chromium-browser')
    if not program:
        services.absent(f'no chromium on the PATH: apt-get install chromium, or say with {VARIABLE} where it is')
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        services.absent('playwright is not installed: the extra test-browser has it')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
