"""Write the lower bound of each dependency that ``setup.cfg`` names as a constraint: ``name==bound``, one a line.

``python lowest.py FILE``. Used by ``tox -e lowest``, whose tests then run with the oldest releases we say we work with.
"""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from pathlib import Path

SETUP = Path(__file__).parents[2] / 'setup.cfg'
EXTRAS = ('celery', 'postgresql', 'mysql', 'metrics', 'otel')


def lower_bounds(setup: Path = SETUP) -> dict[str, str]:
    """Return distribution name → oldest release allowed, of the dependencies and of the extras that users install.

    What only older Pythons than this one need is left out.
    """
    config = ConfigParser(interpolation=None)
    config.read(setup, encoding='utf-8')
    lines = [config['options']['install_requires']]
    lines += [config['options.extras_require'][extra] for extra in EXTRAS]
    bounds = {}
    for line in '\n'.join(lines).split('\n'):
        if line and not line.startswith('#'):
            match = re.fullmatch(
                r'([\w-]+)(?:\[\w+\])?>=([\w.]+)(?:; python_version < "3\.(\d+)")?', line)
            if match is None:
                raise ValueError(f'{setup}: a dependency is "name>=version", not {line!r}')
            if match[3] is None or sys.version_info < (3, int(match[3])):
                bounds[match[1]] = match[2]
    return bounds


if __name__ == '__main__':
    Path(sys.argv[1]).write_text(''.join(f'{name}=={bound}\n' for name, bound in lower_bounds().items()))
