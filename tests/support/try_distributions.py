"""Check what ``python -m build`` made: what it holds, and that the demo runs from it in an empty environment.

``python try_distributions.py FOLDER``, with one wheel and one source distribution in it. Used by ``tox -e build``. The
wheel alone is installed: it was made from the source distribution.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from environments import Environment, files_of_project

PACKAGE = 'pacifica/dispatcher/'


def names_in(distribution: Path) -> set[str]:
    """Return the names of the files in a wheel or a source distribution, the latter without its top folder."""
    if distribution.suffix == '.whl':
        with zipfile.ZipFile(distribution) as wheel:
            return set(wheel.namelist())
    with tarfile.open(distribution) as sdist:
        return {member.name.partition('/')[2] for member in sdist if member.isfile()}


def check(distribution: Path, wanted: set[str]) -> None:
    """Fail with what is wrong with *distribution*, which is to have the files *wanted*."""
    names = names_in(distribution)
    assert wanted <= names, f'{distribution.name} lacks {sorted(wanted - names)}'
    assert 'pacifica/__init__.py' not in names, f'{distribution.name}: pacifica is a shared namespace, not ours'
    ours = {name for name in names if name.startswith(PACKAGE)}
    assert ours == wanted, f'{distribution.name} has what the project has not: {sorted(ours - wanted)}'
    if distribution.suffix == '.whl':
        foreign = [name for name in names - ours if not name.startswith('pacifica_dispatcher-')]
        assert not foreign, f'{distribution.name} has what is not ours: {foreign}'
    print(f'{distribution.name}: {len(names)} files')


def try_demo(wheel: Path) -> None:
    """Fail if the demo does not run from *wheel* where nothing else is, or its dependencies don't agree."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        environment.pip('install', str(wheel))
        shown = environment.run('pacifica-dispatcher', 'demo')
        assert '"taskStatus": "200 OK"' in shown, shown
        print(f'{wheel.name}: the demo runs from it')
        print(environment.pip('check').strip())


if __name__ == '__main__':
    wanted = set(files_of_project(PACKAGE))
    wheel, = Path(sys.argv[1]).glob('*.whl')
    sdist, = Path(sys.argv[1]).glob('*.tar.gz')
    check(wheel, wanted)
    check(sdist, wanted)
    try_demo(wheel)
