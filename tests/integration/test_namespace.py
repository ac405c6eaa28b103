"""``pacifica`` is shared: ours imports and theirs stay importable, whatever was installed first, and however.

pacifica-downloader, -uploader and -cli fix the path of ``pacifica`` when Python starts (``*-nspkg.pth``);
pacifica-namespace makes it a regular package; ours is a namespace portion.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from support.environments import Environment, copy_of_project

THEIRS = ('pacifica-namespace', 'pacifica-downloader', 'pacifica-uploader', 'pacifica-cli')
LOCATE = '''
import importlib.util, pacifica.dispatcher.exceptions
print(pacifica.dispatcher.__file__)
for name in ("pacifica.downloader", "pacifica.uploader", "pacifica.cli"):
    assert importlib.util.find_spec(name), name + " can't be found"
'''
TOOLS = {
    'old pip, no wheel': ('pip==23.0.1', 'setuptools==65.5.0'),
    'old pip, wheel': ('pip==23.0.1', 'setuptools==65.5.0', 'wheel==0.38.4'),
    'new pip': ('--upgrade', 'pip', 'setuptools', 'wheel'),
}


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_project(tmp_path_factory.mktemp('project'))


def test_the_installed_namespace_holds_ours_and_theirs() -> None:
    for name in ('pacifica.dispatcher', 'pacifica.downloader', 'pacifica.uploader'):
        assert importlib.util.find_spec(name) is not None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('ours_first', [True, False], ids=['ours first', 'theirs first'])
@pytest.mark.parametrize('editable', [True, False], ids=['editable', 'installed'])
@pytest.mark.parametrize('tools', TOOLS)
def test_namespace_is_shared(tools: str, editable: bool, ours_first: bool, project: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / 'env', TOOLS[tools])
    ours = ['--editable', str(project)] if editable else [str(project)]
    for requirements in (ours, THEIRS) if ours_first else (THEIRS, ours):
        environment.pip('install', '--no-deps', *requirements)
    where = Path(environment.python(LOCATE))
    assert where.is_relative_to(project if editable else tmp_path / 'env')


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('tools', TOOLS)
def test_an_editable_install_gives_way_to_an_installed_one(tools: str, project: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / 'env', TOOLS[tools])
    environment.pip('install', '--no-deps', *THEIRS)
    environment.pip('install', '--no-deps', '--editable', str(project))
    environment.pip('install', '--no-deps', str(project))
    assert Path(environment.python(LOCATE)).is_relative_to(tmp_path / 'env')
    environment.pip('uninstall', '--yes', 'pacifica-dispatcher')
    environment.python('import importlib.util; assert importlib.util.find_spec("pacifica.dispatcher") is None')


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize('order', [
    ('cloudevents>=2', 'cloudevents-python'), ('cloudevents-python', 'cloudevents>=2'),
], ids=' then '.join)
def test_both_cloudevents_distributions_import(order: tuple[str, ...], tmp_path: Path) -> None:
    environment = Environment(tmp_path / 'env')
    for requirement in order:
        environment.pip('install', requirement)
    environment.python('import cloudevents.model, cloudevents.core.bindings.http; cloudevents.model.Event')
