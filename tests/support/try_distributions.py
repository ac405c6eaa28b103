"""Check what ``python -m build`` made: that wheel and source distribution hold all that is ours, and nothing else.

``python try_distributions.py FOLDER``, with one of each in it. Used by ``tox -e build``. That the package runs where it
is installed alone, other tests show.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

from environments import files_of_project

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


if __name__ == '__main__':
    wanted = set(files_of_project(PACKAGE))
    for pattern in ('*.whl', '*.tar.gz'):
        made, = Path(sys.argv[1]).glob(pattern)
        check(made, wanted)
