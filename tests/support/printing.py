"""A handler that prints on demand, in a module of its own so that other processes can import it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonpath2.path import Path as JSONPath

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.exceptions import RetryLater
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.task_context import TaskContext, current_task, stage
from support.events import wait_until


def _all_ways() -> None:
    print('printed')
    print('without an end', end='')
    sys.stdout.flush()
    os.write(2, b' from C\n')
    subprocess.run(['sh', '-c', 'echo from a program; echo its fault >&2'], check=True)
    logging.getLogger('support.printing').warning('logged.%s', 'once', extra={'peak': 4})
    _task().output('stdout', b'handed over\n')


def _task() -> TaskContext:
    task = current_task()
    assert task is not None
    return task


def _crash() -> None:
    print('last words')
    print('and some', end='')
    sys.stdout.flush()
    os._exit(3)


def _hang() -> None:
    print('soon to be killed')
    _task().progress(0.4, 'fitting peak 4 of 10')
    time.sleep(3600)


def _again() -> None:
    attempt = _task().attempt
    print(f'attempt {attempt}')
    if attempt == 1:
        raise RetryLater(0)


def _close() -> None:
    os.close(1)


def _put_over() -> None:
    with open(os.devnull, 'wb') as null:
        os.dup2(null.fileno(), 1)
    sys.stdout.close()


def _much() -> None:
    """Print as many bytes as the environment says, by a program."""
    subprocess.run(f'yes 0123456789abcde | head -c {os.environ["TEST_BYTES"]}', shell=True, check=True)


def _leave_a_program() -> None:
    subprocess.Popen(['sh', '-c', 'while :; do echo of nobody; sleep 0.01; done'])


def _progress() -> None:
    for number in range(10_000):
        _task().progress(number / 10_000, f'step {number}')


def _stages() -> None:
    """Be in a stage within another until the file is there that the environment names."""
    with stage('download'):
        pass
    with stage('handle'), stage('fit'):
        wait_until(Path(os.environ['TEST_GATE']).exists)


ACTS: dict[str, Callable[[], None]] = {
    'all ways': _all_ways, 'crash': _crash, 'hang': _hang, 'again': _again, 'close': _close, 'put over': _put_over,
    'much': _much, 'leave a program': _leave_a_program, 'progress': _progress, 'fine': lambda: print('fine'),
    'silent': lambda: None, 'stages': _stages,
}


class Printing(EventHandler):
    """Does what the event says; lives at the top of a module, so that other processes can have it."""

    def handle(self, event: Any) -> None:
        """Print."""
        ACTS[event.data]()


def printing_router() -> Router:
    router = Router()
    router.add_route(JSONPath.parse_str('$'), Printing())
    return router


router = printing_router()
