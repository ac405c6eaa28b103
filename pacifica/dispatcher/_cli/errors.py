"""What went wrong on the command line, as one line and an exit status."""

from __future__ import annotations

import click

__all__ = ['EXIT_FAILED', 'EXIT_INTERRUPTED', 'EXIT_STATUSES', 'EXIT_USAGE', 'UsageFault', 'one_line']

EXIT_FAILED = 1
"""The command did what was asked, and the answer is no: for example the demo's event did not end in ``200 OK``."""

EXIT_USAGE = 2
"""The command can't do what was asked as it was asked."""


EXIT_INTERRUPTED = 130
"""It was interrupted (SIGINT) before it had anything to stop cleanly."""

#: What the manual and ``--help`` say of each exit status.
EXIT_STATUSES = {
    0: 'all went well; of a service: it was stopped by a signal',
    EXIT_FAILED: 'the command did what was asked, and the answer is no',
    EXIT_USAGE: 'it can\'t do what was asked as it was asked: stderr says why',
    EXIT_INTERRUPTED: 'it was interrupted before it had anything to stop',
}


class UsageFault(click.ClickException):
    """What was asked can't work: the message says which argument, why, and what to write instead."""

    exit_code = EXIT_USAGE


def one_line(text: object) -> str:
    """Return *text* without line breaks: what others' errors say may have many."""
    return ' '.join(str(text).split())
