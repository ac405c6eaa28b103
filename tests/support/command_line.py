"""The command line as its users start it: a process of its own, in a directory of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from pacifica.dispatcher._cli import main

PROGRAM = (sys.executable, '-m', 'pacifica.dispatcher')
SECONDS = 100.0
#: A module whose ``router`` takes every event, and does nothing with it.
ROUTES = '''
from jsonpath2.path import Path
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.router import Router
router = Router()
router.add_route(Path.parse_str('$'), NoopEventHandler())
'''

_OPENER = build_opener(ProxyHandler({}))


def run(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``pacifica-dispatcher ARGUMENTS`` in *cwd* until it ends."""
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, env={**os.environ, **(env or {})}, timeout=SECONDS,
        capture_output=True, text=True, encoding='utf-8', check=False,
    )


def run_on_terminal(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, answer: str = '', interrupt_after: str = '',
    columns: int = 120,
) -> tuple[int, str]:
    """Run ``pacifica-dispatcher ARGUMENTS`` in *cwd* on a terminal; return its exit status and all that was shown.

    :param answer: what is typed.
    :param interrupt_after: after this was shown, Ctrl-C is pressed.
    :param columns: how wide the terminal is.
    """
    terminal, program = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments], cwd=cwd, stdin=program, stdout=program, stderr=program,
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': str(columns), **(env or {})},
    )
    os.close(program)
    shown = b''
    try:
        os.write(terminal, answer.encode())
        while True:
            try:
                some = os.read(terminal, 65536)
            except OSError:  # how Linux says that nobody has the other side any more
                break
            if not some:
                break
            shown += some
            if interrupt_after and interrupt_after.encode() in shown:
                process.send_signal(signal.SIGINT)
                interrupt_after = ''
        return process.wait(SECONDS), shown.decode()
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(terminal)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which the arguments are refused."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    output = capsys.readouterr()
    assert output.out == ''
    assert re.fullmatch(r'pacifica-dispatcher: [^\n]+\n', output.err)
    return output.err


class Running:
    """A command that runs until it is told to stop; its output is collected as it comes."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env}, text=True, encoding='utf-8',
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._lines.append('(end of output)\n')
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that it printed so far, on either stream."""
        with self._changed:
            return ''.join(self._lines)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until *pattern* (a regular expression) is in the output, and return the match."""
        def found() -> re.Match[str] | None:
            return re.search(pattern, ''.join(self._lines))

        with self._changed:
            self._changed.wait_for(lambda: found() or self._lines[-1:] == ['(end of output)\n'], SECONDS)
            match = found()
        assert match, f'no {pattern!r} in the output:\n{self.output}'
        return match

    def call(self, url: str, body: bytes | None = None) -> Any:
        """Return the JSON that *url* answers, to a POST of *body* if there is one."""
        request = Request(url, data=body, headers={'Content-Type': 'application/json'})
        with _OPENER.open(request, timeout=SECONDS) as response:
            return json.load(response)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        return status


@contextmanager
def started(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, program: Sequence[str] = PROGRAM,
) -> Iterator[Running]:
    """Start ``pacifica-dispatcher ARGUMENTS`` (or another program) in *cwd*; kill it at the end if it still runs."""
    running = Running([*program, *arguments], cwd, env or {})
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait(SECONDS)
        if running.process.stdout is not None:
            running.reader.join(SECONDS)
            running.process.stdout.close()
