"""The check that every test leaves the process as it found it: it fails for each thing that it names."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from pacifica.dispatcher import router
from pacifica.dispatcher._events import schemas
from pacifica.dispatcher._queue import dialect
from support.isolation import kept_logging, unchanged

LEAKS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    'environment PACIFICA_TEST_HERE': (
        lambda: os.environ.update(PACIFICA_TEST_HERE='2'), lambda: os.environ.update(PACIFICA_TEST_HERE='1')),
    'names of the environment': (
        lambda: os.environ.update(PACIFICA_TEST_NEW='1'), lambda: os.environ.pop('PACIFICA_TEST_NEW')),
    'working directory': (lambda here=os.getcwd(): os.chdir('/'), lambda here=os.getcwd(): os.chdir(here)),
    'sys.path': (lambda: sys.path.insert(0, '/leaked'), lambda: sys.path.remove('/leaked')),
    'handler of signal 10': (
        lambda: signal.signal(10, signal.SIG_IGN), lambda: signal.signal(10, signal.SIG_DFL)),
    'logger root': (
        lambda: logging.root.addFilter(_let_through), lambda: logging.root.removeFilter(_let_through)),
    'logging.disable': (lambda: logging.disable(5), lambda: logging.disable(0)),
    'pacifica.dispatcher.router Router': (
        lambda: setattr(router, 'Router', object), lambda kept=router.Router: setattr(router, 'Router', kept)),
    'pacifica.dispatcher._events.schemas SCHEMAS': (
        lambda: schemas.SCHEMAS.update(Leaked={}), lambda: schemas.SCHEMAS.pop('Leaked')),
    'pacifica.dispatcher._queue.dialect _MYSQL': (  # which is equal, and another object all the same
        lambda: setattr(dialect, '_MYSQL', replace(dialect._MYSQL)),
        lambda kept=dialect._MYSQL: setattr(dialect, '_MYSQL', kept)),
}


def _let_through(record: logging.LogRecord) -> bool:
    return True


@pytest.mark.parametrize('what', LEAKS)
def test_what_a_test_leaves_changed_fails_it_and_is_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leak, mend = LEAKS[what]
    monkeypatch.setenv('PACIFICA_TEST_HERE', '1')
    try:
        with pytest.raises(pytest.fail.Exception, match=f'\n  {what}: '), unchanged():
            leak()
    finally:
        mend()


def test_what_is_put_back_fails_nothing() -> None:
    with unchanged():
        sys.path.insert(0, '/leaked')
        sys.path.remove('/leaked')


def test_an_application_of_cherrypy_that_has_the_address_of_one_before_fails_nothing() -> None:
    logger = logging.getLogger('cherrypy.access.140438732781776')
    with unchanged():
        logger.addHandler(logging.NullHandler())
    logger.handlers.clear()


def test_logging_set_up_inside_is_as_before_afterwards() -> None:
    with unchanged(), kept_logging():
        logging.basicConfig(level='DEBUG', handlers=[logging.NullHandler()], force=True)
