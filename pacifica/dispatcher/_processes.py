"""The processes of this machine: whether one runs, and ending all that one has started.

Source: proc(5), ``/proc/PID/stat`` and ``/proc/PID/environ``. Where there is no ``/proc``, what left its process group
is not found.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

_ROUNDS = 20


class Running(NamedTuple):
    """A process that has not ended: its parent, its session, and its start in clock ticks since the machine's."""

    parent: int
    session: int
    started: str


def running(pid: int) -> Running | None:
    """Return what is known of a process; ``None`` if it has ended, or nothing is."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text(errors='replace').rpartition(') ')[2].split()
    except OSError:
        return None
    return None if fields[0] in 'ZX' else Running(int(fields[1]), int(fields[3]), fields[19])


def signal_group(leader: int, number: int) -> None:
    """Send a signal to the process group of *leader*, unless all of it have ended."""
    try:
        os.killpg(leader, number)
    except OSError:
        pass  # all have ended


def end_session(leader: int, variable: str | None = None) -> None:
    """Kill every process of the session that *leader* leads, and all that they started, as far as /proc shows them.

    :param variable: the name of an environment variable that holds *leader* in what it started, by which children of
        this process are known whose parent has ended and who lead a session of their own.
    """
    for _ in range(_ROUNDS):  # more than once: who is not dead yet may fork
        left = started_by(leader, variable)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it has ended
        if not left:
            break
    signal_group(leader, signal.SIGKILL)


def started_by(leader: int, variable: str | None = None) -> set[int]:
    """Return the processes that run of the session that *leader* leads, and those that they started.

    :param variable: see :func:`end_session`.
    """
    parents: dict[int, int] = {}
    found = set()
    for path in Path('/proc').glob('[0-9]*'):
        pid = int(path.name)
        if (process := running(pid)) is None:
            continue
        parents[pid] = process.parent
        orphaned = variable is not None and process.parent == os.getpid()
        if process.session == leader or (orphaned and f'{variable}={leader}'.encode() in _environment(pid)):
            found.add(pid)
    while further := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= further
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
    except OSError:
        return []  # it has ended
