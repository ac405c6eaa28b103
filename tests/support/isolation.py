"""What every test leaves as it found it: a picture of the process before, and what differs after."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

_PACKAGE = 'pacifica.dispatcher'
_PYTEST_OWN = 'PYTEST_CURRENT_TEST'
_ABSENT = '(absent)'
_CONTAINERS = (dict, list, set)
_SIGNALS = [int(number) for number in signal.valid_signals() if number != signal.SIGALRM]  # which is pytest-timeout's
# CherryPy names the loggers of an application after its address, which the next one may have again.
_OF_AN_APPLICATION = re.compile(r'cherrypy\.(access|error)\.\d+')

_OF_A_WORKER = re.compile('pacifica-dispatcher-(handler|listener|keeper|reconciler)')
_ENDING_SECONDS = 30.0


@contextmanager
def kept_logging() -> Iterator[None]:
    """Let what runs inside the ``with`` block set up logging as it likes; afterwards all is as it was before."""
    named = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(one for one in named if isinstance(one, logging.Logger))]
    before = [(one, one.level, one.propagate, one.handlers[:], one.filters[:]) for one in loggers]
    try:
        yield
    finally:
        for one, level, propagate, handlers, filters in before:
            one.setLevel(level)
            one.propagate, one.handlers[:], one.filters[:] = propagate, handlers, filters


@contextmanager
def unchanged() -> Iterator[None]:
    """Fail the test that runs inside the ``with`` block if the process is not afterwards as it was before."""
    before, modules, threads = _picture(), _Globals(), _workers()
    yield
    left = _workers() - threads
    for thread in left:
        thread.join(_ENDING_SECONDS)
    if still := [thread.name for thread in left if thread.is_alive()]:
        pytest.fail(f'the test leaves running what takes the events of other tests: {still}', pytrace=False)
    after = _picture()
    changed = [
        f'{" ".join(what)}: {value!r} before, {after.get(what, _ABSENT)!r} after'
        for what, value in before.items() if after.get(what, _ABSENT) != value
    ] + list(modules.changed())
    if changed:
        pytest.fail('the test leaves changed what other tests use:\n  ' + '\n  '.join(changed), pytrace=False)


def _picture() -> dict[tuple[str, ...], Any]:
    """Return what tests may not change for each other, by its name; what is new afterwards changes nothing."""
    return {
        **{('environment', name): value for name, value in os.environ.items() if name != _PYTEST_OWN},
        ('names of the environment',): sorted(set(os.environ) - {_PYTEST_OWN}),
        ('working directory',): os.getcwd(),
        ('umask',): _umask(),
        ('sys.path',): list(sys.path),
        ('sys.excepthook',): sys.excepthook,
        ('threading.excepthook',): threading.excepthook,
        ('start method of multiprocessing',): multiprocessing.get_start_method(),
        ('children of multiprocessing',): multiprocessing.active_children(),
        **_signals(), **_logging(),
    }


def _workers() -> set[threading.Thread]:
    """Return the threads of workers, of whatever queue."""
    return {thread for thread in threading.enumerate() if _OF_A_WORKER.match(thread.name)}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _signals() -> dict[tuple[str, ...], Any]:
    return {('handler of signal', str(number)): signal.getsignal(number) for number in _SIGNALS}


def _logging() -> dict[tuple[str, ...], Any]:
    """Return the state of each logger, without the handlers that pytest puts in place for a phase of a test."""
    loggers = {'root': logging.root, **logging.root.manager.loggerDict}
    picture: dict[tuple[str, ...], Any] = {('logging.disable',): logging.root.manager.disable}
    for name, logger in loggers.items():
        if isinstance(logger, logging.Logger) and not _OF_AN_APPLICATION.fullmatch(name):
            handlers = [one for one in logger.handlers if not type(one).__module__.startswith('_pytest.')]
            picture['logger', name] = (
                logger.level, logger.disabled, logger.propagate, handlers, list(logger.filters))
    return picture


class _Module:
    """The globals of a module, which of them are containers, and what identifies them all."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values.copy()
        self.identities = _identities(values)
        self.containers = [
            (key, value) for key, value in values.items() if type(value) in _CONTAINERS and key[:2] != '__']


_modules: dict[str, _Module] = {}  # as they were when last looked at


class _Globals:
    """The globals of the package's modules, and what those that are containers hold; quick, as each test has it."""

    def __init__(self) -> None:
        for name, module in list(sys.modules.items()):
            if name.startswith(_PACKAGE) and isinstance(module, ModuleType):
                known = _modules.get(name)
                if known is None or known.identities != _identities(vars(module)):
                    _modules[name] = _Module(vars(module))
        self._modules = _modules.copy()
        self._contents = [
            (name, key, value, _content(value)) for name, module in self._modules.items()
            for key, value in module.containers]

    def changed(self) -> Iterator[str]:
        """Yield what is another object than before, or holds others."""
        for name, before in self._modules.items():
            now = getattr(sys.modules.get(name), '__dict__', {})
            if _identities(now)[:len(before.identities)] == before.identities:
                continue  # what is new comes last
            for key, value in before.values.items():
                if now.get(key, _ABSENT) is not value and key[:2] != '__':
                    yield f'{name} {key}: {value!r} before, {now.get(key, _ABSENT)!r} after'
        for name, key, value, content in self._contents:
            if _content(value) != content:
                yield f'{name} {key}: holds other things than before, {value!r} after'


def _identities(values: dict[str, Any]) -> list[int]:
    return list(map(id, values.values()))


def _content(value: Any) -> Any:
    """Return the objects that a container holds, by their identities."""
    if isinstance(value, dict):
        return {id(key): id(one) for key, one in value.items()}
    return list(map(id, value))
