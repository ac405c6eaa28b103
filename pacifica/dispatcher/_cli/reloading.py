"""``serve --reload``: the service starts again when a file changes that it was made of."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from pacifica.dispatcher._cli.references import RouterReference

_INSTALLED = frozenset(sysconfig.get_path(name) for name in ('purelib', 'platlib', 'stdlib', 'platstdlib'))


class Reload:
    """Looks for changes of the modules that were imported from the working directory, or that of the routes file.

    A change that can't be imported is shown, and what runs goes on running until the next one.
    """

    def __init__(self, reference: RouterReference) -> None:
        self._reference = reference
        # Modules of handlers that a routes file names may lie beside it; the file itself is followed without this.
        file = reference.router.file
        self._roots = [Path.cwd(), *([] if file is None else [file.parent])]
        self._seen = dict(self._times())

    def wanted(self) -> bool:
        """Return whether files have changed since the last time this was asked, and can be imported."""
        times = dict(self._times())
        changed = sorted(file for file in times | self._seen if times.get(file) != self._seen.get(file))
        self._seen = times
        if not changed:
            return False
        click.echo(f'changed: {", ".join(map(os.path.relpath, changed))}')
        return self._can_be_imported()

    def _can_be_imported(self) -> bool:
        checked = subprocess.run(
            [*command(), 'check', str(self._reference)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if checked.returncode:
            click.echo('going on with what was imported before', err=True)
        return not checked.returncode

    def _times(self) -> Iterator[tuple[str, int]]:
        """Yield the files of these modules, and when each was changed."""
        for module in list(sys.modules.values()):
            file = getattr(module, '__file__', None)
            if not isinstance(file, str) or not file.endswith('.py') or any(map(file.startswith, _INSTALLED)):
                continue
            try:
                if any(map(Path(file).is_relative_to, self._roots)):
                    yield file, os.stat(file).st_mtime_ns
            except OSError:
                pass  # it is being written anew, as editors do

    @staticmethod
    def restart() -> NoReturn:
        """Become the same command line anew."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [*command(), *sys.argv[1:]])


def command() -> list[str]:
    """Return what starts this program, without its arguments."""
    return [sys.executable, '-m', 'pacifica.dispatcher']
