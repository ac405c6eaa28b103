"""A handler that misbehaves on demand, in a module of its own so that other processes can import it."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

from jsonpath2.path import Path

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import current_task, stage


def _in_a_pool() -> None:
    with multiprocessing.get_context('fork').Pool(2) as pool:
        _save(squares=pool.map(abs, [-1, -2]))


def _end_a_process() -> None:
    """Start a process that sleeps, and end it as a pool does."""
    process = multiprocessing.get_context('fork').Process(target=time.sleep, args=(3600,))
    process.start()
    process.terminate()
    process.join()
    _save(exit_code=process.exitcode)


def _fork() -> None:
    """Return twice: here, and in a copy."""
    _save(copy=os.fork() or os.getpid())


def _start_programs_and_hang() -> None:
    """Start a program, and one that leads a session of its own."""
    programs = [subprocess.Popen(['sleep', '3600'], start_new_session=own) for own in (False, True)]
    with stage('handle'):
        _save(programs=[program.pid for program in programs], process=os.getpid())
        time.sleep(3600)


def _ignore_signals_and_hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _start_programs_and_hang()


def _hold_the_interpreter() -> None:
    """Keep every thread of the process from running for half a minute."""
    with stage('handle'):
        ctypes.PyDLL(None).sleep(30)


def _take_memory() -> None:
    bytearray(8 << 30)


def _show_limits() -> None:
    _save(memory=resource.getrlimit(resource.RLIMIT_AS))


class Odd:
    """Of a class that another process need not have."""

    def __reduce__(self) -> Any:
        raise TypeError('not to be pickled')

    def __str__(self) -> str:
        return 'odd'


def _log() -> None:
    logging.getLogger('support.behaving').warning('said by %s', 'a handler', extra={
        'here': os.getpid(), 'odd': {'own': Odd()}})


def _stages_until_cancelled() -> None:
    while True:
        with stage('part'):
            time.sleep(0.01)


def _stage_in_and_crash() -> None:
    made = tempfile.mkdtemp(prefix='pacifica-')
    task = current_task()
    assert task is not None
    task.tell('directory', made)
    _save(directory=made)
    with stage('fine'):
        time.sleep(0.01)
    with stage('last'):
        os.abort()


def _save(**items: Any) -> None:
    task = current_task()
    assert task is not None
    task.save_result(**items)


ACTS: dict[str, Callable[[], None]] = {
    'pool': _in_a_pool, 'end': _end_a_process, 'fork': _fork, 'programs': _start_programs_and_hang,
    'stubborn': _ignore_signals_and_hang, 'interpreter': _hold_the_interpreter, 'memory': _take_memory,
    'limits': _show_limits, 'log': _log, 'stages': _stages_until_cancelled, 'crash in stage': _stage_in_and_crash,
}


class Behaving(EventHandler):
    """Does what the event says; lives at the top of a module, so that other processes can have it."""

    def handle(self, event: Any) -> None:
        """Hang, crash, exit, or save a result."""
        if event.data == 'hang':
            time.sleep(3600)
        if event.data == 'crash':
            os.abort()
        if event.data == 'exit':
            os._exit(0)
        if event.data == 'raise':
            raise SystemExit('not today')
        if event.data in ACTS:
            ACTS[event.data]()
        task = current_task()
        assert task is not None
        task.save_result(process=os.getpid())
        if event.data == 'trace':
            with stage('handle'):
                task.save_result(**trace_of_the_caller())


def trace_of_the_caller() -> dict[str, str]:
    """Return what OpenTelemetry says the current span is."""
    from opentelemetry import trace

    span = trace.get_current_span().get_span_context()
    return {'trace': f'{span.trace_id:032x}', 'span': f'{span.span_id:016x}'}


def behaving_router() -> Router:
    router = Router()
    router.add_route(Path.parse_str('$'), Behaving())
    return router


ROUTER = behaving_router()
