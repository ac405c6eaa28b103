"""Lengths of time and sizes as people write them, on the command line and in files: ``10m``, ``3GB``."""

from __future__ import annotations

import re

_SECONDS = {'s': 1.0, 'm': 60.0, 'h': 3600.0, 'd': 86_400.0, 'w': 604_800.0}
_PART = r'(\d+(?:\.\d+)?)([smhdw])'
_LONGEST = 36_500 * 86_400.0  # beyond a hundred years dates run out of numbers
_SIZE = re.compile(r'(\d{1,18})(?:([KMGT])(B|iB)?)?', re.ASCII)


def seconds_of(text: str) -> float | None:
    """Return the seconds of ``90s``, ``15m``, ``2h``, ``30d``, ``1w`` or several of these; ``None`` if it is none."""
    if not re.fullmatch(f'({_PART})+', text, re.ASCII):
        return None
    found = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text))
    return found if found <= _LONGEST else None


def seconds_or_bare(text: str) -> float | None:
    """Return :func:`seconds_of` of *text*, whose unit is seconds if it has none."""
    return seconds_of(f'{text}s' if re.fullmatch(r'\d+(\.\d+)?', text, re.ASCII) else text)


def bytes_of(text: str) -> int | None:
    """Return the bytes of a size above 0, ``None`` if it is none.

    ``GB`` is 1000³ bytes, ``GiB`` and ``G`` are 1024³, and likewise with K, M and T; without a unit it is bytes.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    base = 1000 if found[3] == 'B' else 1024
    count = int(found[1]) * base ** ' KMGT'.index(found[2] or ' ')
    return count if 0 < count < 1 << 63 else None
