"""Runs checks at once, each within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pacifica.dispatcher._cli.doctor.checks import Check
from pacifica.dispatcher._cli.doctor.finding import Finding, failed
from pacifica.dispatcher._cli.doctor.settings import Settings

__all__ = ['run']

_MARGIN = 0.5  # seconds that a check has to say itself that its time is over


def run(checks: Sequence[Check], settings: Settings) -> list[tuple[str, Finding]]:
    """Run *checks* at once and return what they found, in their order.

    A check that isn't done in its time has failed; its thread is left behind, and ends with the process.
    """
    found: dict[str, Finding] = {}

    def look(check: Check) -> None:
        found[check.name] = _guarded(check, settings)

    threads = [threading.Thread(target=look, args=(check,), daemon=True)
               for check in checks if not check.in_main_thread]
    deadline = time.monotonic() + settings.timeout + _MARGIN
    for thread in threads:
        thread.start()
    for check in checks:
        if check.in_main_thread:
            look(check)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = failed(
        f'no answer in {settings.timeout:g} s', 'check the network and the name of the host, or give it more --timeout')
    return [(check.name, found.get(check.name, late)) for check in checks]


def _guarded(check: Check, settings: Settings) -> Finding:
    try:
        return check.run(settings)
    except Exception as exc:  # a driver may raise anything; the other checks are worth reporting all the same
        return failed(f'{type(exc).__name__}: {settings.told(exc)}', 'this was not foreseen: please report it')
