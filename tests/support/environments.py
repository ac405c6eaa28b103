"""Fresh virtual environments, for tests of how the project installs."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]


class Environment:
    """A virtual environment of the Python that runs the tests, in *folder*."""

    def __init__(self, folder: Path, tools: Sequence[str] = ()) -> None:
        """Create it, with the *tools* (requirements) that are to be there before anything else."""
        venv.create(folder, with_pip=True, symlinks=True)
        self.bin = folder / ('Scripts' if os.name == 'nt' else 'bin')
        if tools:
            self.pip('install', *tools)

    def run(self, program: str, *args: str, cwd: Path | None = None) -> str:
        """Run a program of the environment and return what it printed; a failure shows all it said."""
        # Nothing of the environment that runs the tests (coverage, PYTHONPATH) may reach into the fresh one.
        foreign = ('PYTHON', 'COVERAGE', 'VIRTUAL')
        clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        done = subprocess.run(
            [self.bin / program, *args], cwd=cwd or self.bin, env=clean, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        assert done.returncode == 0, f'{program} {" ".join(args)}: exit status {done.returncode}\n{done.stdout}'
        return done.stdout

    def pip(self, *args: str) -> str:
        """Run the environment's own pip."""
        return self.run('python', '-m', 'pip', '--disable-pip-version-check', *args)

    def python(self, program: str) -> str:
        """Run *program* with the environment's Python, outside of any source tree."""
        return self.run('python', '-W', 'error', '-c', program).strip()


def without_pytest() -> dict[str, str]:
    """Return the environment without what the pytest that runs the tests gives to another one: so many processes, …"""
    return {name: value for name, value in os.environ.items() if not name.startswith('PYTEST_')}


def files_of_project(*folders: str) -> list[str]:
    """Return the paths of the project's own files, committed or not: those in *folders*, by default all."""
    return subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', *folders],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout.rstrip('\0').split('\0')


def copy_of_project(folder: Path) -> Path:
    """Copy what the project is built from into *folder*, so that a build leaves nothing in the source tree."""
    for name in files_of_project():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((PROJECT / name).read_bytes())
        target.chmod((PROJECT / name).stat().st_mode)
    return folder
