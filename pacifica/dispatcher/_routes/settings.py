"""What the settings of a route may be, whether Python or a file says them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pacifica.dispatcher._lineage import MOST_CHARACTERS
from pacifica.dispatcher.exceptions import ConfigurationError

_LOOPS = ('stop', 'allow')
_FIELDS = ('project', 'instrument', 'submitter')
_CONCURRENCY_KEY = re.compile(f'{"|".join(_FIELDS)}|kv:.+', re.DOTALL)


def require_possible(setting: str, value: Any) -> None:
    """Refuse a *value* that a route's *setting* can't have.

    :raises ConfigurationError: if it can't; says what it may be.
    """
    if setting == 'name' and not (0 < len(value) <= MOST_CHARACTERS and value.isprintable()):
        raise ConfigurationError(f'the name of a route has 1 to {MOST_CHARACTERS} printable characters, not {value!r}')
    if setting == 'loops' and value not in _LOOPS:
        raise ConfigurationError(f'loops of a route is "stop" or "allow", not {value!r}; {nearest(value, _LOOPS)}')
    if setting in ('timeout', 'memory_limit', 'concurrency') and value <= 0:
        raise ConfigurationError(f'the {setting} of a route is more than 0, not {value!r}')
    if setting == 'concurrency_key' and not _CONCURRENCY_KEY.fullmatch(value):
        raise ConfigurationError(
            f'the concurrency_key of a route is "project", "instrument", "submitter" or "kv:NAME", not {value!r}; '
            + nearest(value, (*_FIELDS, f'kv:{value}')))


def nearest(value: object, possible: Iterable[str]) -> str:
    """Return which of the *possible* texts is nearest to one that isn't."""
    [found] = get_close_matches(str(value), possible, n=1, cutoff=0)
    return f'the nearest one is {found!r}'
