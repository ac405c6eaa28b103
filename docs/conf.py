"""How Sphinx builds the manual; the version is that of the installed package."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = 'Pacifica Dispatcher'
author = 'Pacifica Dispatcher developers'
release = version = installed_version('pacifica-dispatcher')

extensions = ['sphinx.ext.autodoc', 'sphinx_click']
exclude_patterns = ['_build']

html_theme = 'furo'
html_title = f'{project} {release}'

man_pages = [('cli', 'pacifica-dispatcher', 'receive Pacifica notifications and run code on their data', [author], 1)]

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'
