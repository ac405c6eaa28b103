"""Which processes of this machine are alive: what its workers tell each other, so that no lease is waited for.

Source: proc(5), ``/proc/sys/kernel/random/boot_id``. Where there is no ``/proc`` nobody is known to be dead, and leases
alone decide.
"""

from __future__ import annotations

import os
from pathlib import Path

from pacifica.dispatcher._processes import running
from pacifica.dispatcher._queue.transitions import Process


def machine() -> str | None:
    """Return what names this start of this machine, and the part of its processes that is seen from here."""
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot} {os.stat("/proc/self/ns/pid").st_ino}'  # containers of one machine number their own
    except OSError:
        return None


def process_here() -> Process:
    """Return this process."""
    return Process(machine(), os.getpid(), _started(os.getpid()))


def is_dead(process: Process) -> bool:
    """Return whether a process of this machine has ended; one whose start isn't known may not have."""
    return process.started is not None and _started(process.pid) != process.started


def _started(pid: int) -> str | None:
    process = running(pid)
    return None if process is None else process.started
