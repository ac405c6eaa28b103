"""Which failures are the same but for numbers and names: the group that an event is in when it ends in ``500``.

Written by the transitions with the end, so that groups are counted in an index and never by reading messages.
"""

from __future__ import annotations

import hashlib
import json
import re

_READ = 4000  # characters of a message
_COMPARED = 300  # characters of what is left of it
_GAP = '…'
_QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
_WORD = re.compile(r'[^\s,;()\[\]{}<>]+')
# A number, a date, an id, a path, a file, an address.
_OWN = re.compile(r'\d|[/\\@]|\w\.\w|^[a-fA-F]{12,}$')
_SEVERAL = re.compile(rf'{_GAP}(?:[\s,;:]*{_GAP})+')


def failure_group(route: str | None, exc_type: str | None, exc_value: str | None) -> str | None:
    """Return what failures of one *route*, class and message have in common; ``None`` for what somebody cancelled."""
    if exc_type is None or exc_type == 'CancelledError':
        return None
    alike = json.dumps([route, exc_type, pattern(exc_value or '')])
    return hashlib.sha256(alike.encode('ascii')).hexdigest()[:16]


def pattern(message: str) -> str:
    """Return *message* with an ``…`` for each number, quoted name, path, address and id in it."""
    text = _QUOTED.sub(_GAP, message[:_READ])
    text = _WORD.sub(lambda word: _GAP if _OWN.search(word[0]) else word[0], text)
    return ' '.join(_SEVERAL.sub(_GAP, text).split())[:_COMPARED]
