"""Modules of the user's, imported by name; where that fails is told in one line."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import ModuleType

from pacifica.dispatcher.exceptions import ConfigurationError

_DOTTED = r'([^\W\d]\w*(?:\.[^\W\d]\w*)*)'

#: What ``MODULE:NAME`` looks like: a module as ``import`` names it, not its file, and the name of something in it.
REFERENCE = re.compile(rf'{_DOTTED}(?<!\.py):{_DOTTED}')


def import_named(
    directory: str, reference: str, form: str, others: Callable[[ModuleType], str] | None = None,
) -> object:
    """Return what a text of the form ``MODULE:NAME`` names, imported with *directory* on the path.

    :param form: what to write in place of a text that has not this form.
    :param others: says what there is in a module that has nothing of that name.
    :raises ConfigurationError: if the module can't be imported, which says where, or there is none.
    """
    found = REFERENCE.fullmatch(reference)
    if not found:
        raise ConfigurationError(f'{reference!r} is not {form}')
    module = _import(directory, found[1])
    try:
        named: object = attrgetter(found[2])(module)
    except AttributeError as exc:
        there = '' if others is None else f'; {others(module)}'
        raise ConfigurationError(f'module {found[1]!r} has no {found[2]!r}{there}') from exc
    return named


def _import(directory: str, name: str) -> ModuleType:
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
