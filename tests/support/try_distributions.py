"""Check what ``python -m build`` made: what it holds, and that the demo runs from it in an empty environment.

The wheel is installed alone: it was made from the source distribution.

``python try_distributions.py FOLDER``, with one wheel and one source distribution in it. Used by ``tox -e build``.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from environments import Environment

NEEDED = (
    'pacifica/dispatcher/py.typed', 'pacifica/dispatcher/_cli/demo_data/event.json',
    'pacifica/dispatcher/_http/dashboard/templates/base.html',
    'pacifica/dispatcher/_http/dashboard/static/dashboard.css',
)


def names_in(distribution: Path) -> list[str]:
    """Return the names of the files in a wheel or a source distribution, the latter without its top folder."""
    if distribution.suffix == '.whl':
        with zipfile.ZipFile(distribution) as wheel:
            return wheel.namelist()
    with tarfile.open(distribution) as sdist:
        return [name.partition('/')[2] for name in sdist.getnames()]


def check(distribution: Path) -> None:
    """Fail with what is wrong with *distribution*."""
    names = names_in(distribution)
    missing = [name for name in NEEDED if name not in names]
    assert not missing, f'{distribution.name} lacks {missing}'
    assert 'pacifica/__init__.py' not in names, f'{distribution.name}: pacifica is a shared namespace, not ours'
    foreign = [name for name in names if distribution.suffix == '.whl'
               and not name.startswith(('pacifica/dispatcher/', 'pacifica_dispatcher-'))]
    assert not foreign, f'{distribution.name} has what is not ours: {foreign}'
    print(f'{distribution.name}: {len(names)} files')


def try_demo(wheel: Path) -> None:
    """Fail if the demo does not run from *wheel*."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        environment.pip('install', str(wheel))
        shown = environment.run('pacifica-dispatcher', 'demo')
        assert '"taskStatus": "200 OK"' in shown, shown
        print(f'{wheel.name}: the demo runs from it')
        print(environment.pip('check').strip())


if __name__ == '__main__':
    wheel, = Path(sys.argv[1]).glob('*.whl')
    sdist, = Path(sys.argv[1]).glob('*.tar.gz')
    check(wheel)
    check(sdist)
    try_demo(wheel)
