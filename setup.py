"""Metadata lives in setup.cfg; this file lets every installer find the build, and mends one of its old ways."""

from __future__ import annotations

import subprocess
import sys

from setuptools import Command, setup


class Develop(Command):
    """``setup.py develop``, which pip before 25.3 may run for ``pip install -e .``.

    It would put this folder on ``sys.path``, where the namespace ``pacifica``, whose path pacifica-downloader and
    pacifica-uploader fix at start-up, never looks. So it asks pip for an editable wheel (PEP 660), as setuptools does
    itself since version 80: that maps ``pacifica.dispatcher`` to this folder by name.
    """

    description = 'install in editable mode, as "pip install --use-pep517 -e ." does'
    user_options = [
        ('no-deps', 'N', 'do not install dependencies'),
        ('user', None, 'install in the user site'),
        ('prefix=', None, 'installation prefix'),
        ('install-dir=', 'd', 'installation directory'),
    ]
    boolean_options = ['no-deps', 'user']

    def initialize_options(self) -> None:
        self.no_deps: bool = False
        self.user: bool = False
        self.prefix: str | None = None
        self.install_dir: str | None = None

    def finalize_options(self) -> None:
        pass

    def run(self) -> None:
        command = [sys.executable, '-m', 'pip', 'install', '--use-pep517']
        command += ['--no-deps'] if self.no_deps else []
        command += ['--user'] if self.user else []
        command += ['--prefix', self.prefix] if self.prefix else []
        command += ['--target', self.install_dir] if self.install_dir else []
        subprocess.check_call([*command, '--editable', '.'])


setup(cmdclass={'develop': Develop})
