"""How Sphinx builds the manual; the version is that of the installed package."""

from __future__ import annotations

import json
from importlib.metadata import version as installed_version
from pathlib import Path

import peewee

from pacifica.dispatcher._http.openapi import document
from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router

project = 'Pacifica Dispatcher'
author = 'Pacifica Dispatcher developers'
release = version = installed_version('pacifica-dispatcher')

extensions = ['sphinx.ext.autodoc', 'sphinx_click', 'sphinxcontrib.openapi']
exclude_patterns = ['_build']

# The description of the HTTP API, as a receiver with authentication would answer it.
_build = Path(__file__).parent / '_build'
_build.mkdir(exist_ok=True)
_model = create_peewee_model(peewee.SqliteDatabase(None))
_application = _model.create_cherrypy_app(
    _model.create_queue(Router(), 'documentation', 'documentation.receive'), authenticate=lambda credentials: None)
(_build / 'openapi.json').write_text(json.dumps(document(_application.root.by_path(), '', ())), 'utf-8')

html_theme = 'furo'
html_title = f'{project} {release}'

man_pages = [('cli', 'pacifica-dispatcher', 'receive Pacifica notifications and run code on their data', [author], 1)]

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'
