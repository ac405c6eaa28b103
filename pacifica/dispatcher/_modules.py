"""Modules of the user's, imported by name; where that fails is told in one line."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from pacifica.dispatcher.exceptions import ConfigurationError

_DOTTED = r'([^\W\d]\w*(?:\.[^\W\d]\w*)*)'

#: What ``MODULE:NAME`` looks like: a module as ``import`` names it, not its file, and the name of something in it.
REFERENCE = re.compile(rf'{_DOTTED}(?<!\.py):{_DOTTED}')


def import_from(directory: str, name: str) -> ModuleType:
    """Import a module of the user's, with *directory* on the path.

    :raises ConfigurationError: if that fails; says where.
    """
    if directory not in sys.path and not ('' in sys.path and directory == os.getcwd()):
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:  # the user's module may raise anything; all of it is told in one line
        if isinstance(exc, ModuleNotFoundError) and exc.name and f'{name}.'.startswith(f'{exc.name}.'):
            message = f'there is no module {exc.name!r}, neither in {directory} nor installed'
        else:
            frame = _blamed(name, traceback.extract_tb(exc.__traceback__))
            where = '' if isinstance(exc, SyntaxError) else f' ({frame.filename}, line {frame.lineno})'
            message = f'importing {name!r} failed: {type(exc).__name__}: {exc}{where}'
        raise ConfigurationError(message) from exc


def _blamed(name: str, frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """Return the last of *frames* in the module *name*, whose mistake is often found in a library, else the last."""
    end = os.path.join(*name.split('.'))
    ends = (end, os.path.join(end, "__init__"))
    inside = [each for each in frames if os.path.splitext(each.filename)[0].endswith(ends)]
    return inside[-1] if inside else frames[-1]
