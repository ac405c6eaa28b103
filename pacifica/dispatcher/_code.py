"""Which code a handler is: its name, the version of its package, and the commit of the checkout that it lies in.

Looked up once in a process, as it starts to work: later the files may be newer than what runs. Nothing here fails; what
can't be told is left out.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pacifica.dispatcher._lineage import Code
from pacifica.dispatcher.event_handlers import CommandEventHandler, EventHandler, StagedEventHandler

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_LOG = logging.getLogger(__name__)
_GIT_SECONDS = 5.0
_COMMIT = re.compile(r'^# branch\.oid ([0-9a-f]{40,64})$', re.MULTILINE)


def handler_name(handler: EventHandler) -> str:
    """Return what people call *handler*: the class of the innermost one, or its program."""
    inner = _innermost(handler)
    return _program_name(inner) if isinstance(inner, CommandEventHandler) else type(inner).__name__


def code_of(handler: EventHandler) -> Code:
    """Return which code *handler* is, or the innermost one, if it is staged."""
    inner = _innermost(handler)
    if isinstance(inner, CommandEventHandler):
        return Code(_program_name(inner), None, *_first_checkout(inner.files))
    kind = type(inner)
    file = getattr(sys.modules.get(kind.__module__), '__file__', None)
    if not isinstance(file, str):
        return Code(f'{kind.__module__}:{kind.__qualname__}')
    # A script is the module __main__, and __mp_main__ in the process that handlers' processes are copied from.
    module = Path(file).stem if kind.__module__ in ('__main__', '__mp_main__') else kind.__module__
    return Code(f'{module}:{kind.__qualname__}', _version(module, file), *_checkout(file))


def _innermost(handler: EventHandler) -> EventHandler:
    while isinstance(handler, StagedEventHandler):
        handler = handler.event_handler
    return handler


def _program_name(handler: CommandEventHandler) -> str:
    """Return the name of the program, and that of the script which it runs, if it is an interpreter."""
    return ' '.join([handler.program, *(path.name for path in handler.files[1:2])])


@cache
def _version(module: str, file: str) -> str | None:
    """Return the version of the distribution that has *module*; others may have modules of the same namespace."""
    from importlib import metadata  # here, since it takes long to import

    path = Path(os.path.realpath(file))
    try:
        for name in dict.fromkeys(_distributions().get(module.partition('.')[0], ())):
            for distribution in metadata.distributions(name=name):
                if _has(distribution, path):
                    return distribution.version
    except Exception:  # what was installed may have any metadata
        _LOG.warning('code.version_unknown', exc_info=True, extra={'handler': module})
    return None


@cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib import metadata

    return metadata.packages_distributions()


def _has(distribution: Distribution, path: Path) -> bool:
    told = json.loads(distribution.read_text('direct_url.json') or '{}')
    if told.get('dir_info', {}).get('editable'):
        return path.is_relative_to(url2pathname(urlsplit(told['url']).path))
    return any(
        file.name == path.name and Path(str(distribution.locate_file(file))).resolve() == path
        for file in distribution.files or ())


def _first_checkout(files: Iterable[Path]) -> tuple[str | None, bool]:
    return next((found for file in files if (found := _checkout(str(file)))[0]), (None, False))


@cache
def _checkout(file: str) -> tuple[str | None, bool]:
    """Return the commit of the checkout in which *file* is tracked, and whether tracked files in it are changed."""
    path = Path(os.path.realpath(file))
    if not any(os.path.exists(parent / '.git') for parent in path.parents):
        return None, False
    if _git(path.parent, 'ls-files', '--error-unmatch', '--', path.name) is None:  # an environment within a checkout
        return None, False
    told = _git(path.parent, 'status', '--porcelain=v2', '--branch', '--untracked-files=no') or ''
    commit = _COMMIT.search(told)
    if commit is None:
        return None, False
    return commit[1], any(not line.startswith('#') for line in told.splitlines())


def _git(directory: Path, *arguments: str) -> str | None:
    """Return what git says of the checkout that *directory* is in; ``None`` if it fails, or isn't there."""
    try:
        return subprocess.run(
            ['git', '--no-optional-locks', '--literal-pathspecs', *arguments], cwd=directory, timeout=_GIT_SECONDS,
            env={name: value for name, value in os.environ.items() if not name.startswith('GIT_')},  # of a hook's
            stdin=subprocess.DEVNULL, capture_output=True, check=True, encoding='utf-8', errors='replace').stdout
    except (OSError, subprocess.SubprocessError):
        return None
