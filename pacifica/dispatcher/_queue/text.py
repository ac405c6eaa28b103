"""Text as every database can keep it."""

from __future__ import annotations

__all__ = ['ATTRIBUTE_CHARACTERS', 'storable']

ATTRIBUTE_CHARACTERS = 16_000
"""Longest text of an attribute's column: four bytes each still fit MySQL's TEXT. ``event_data`` holds it whole."""


def storable(text: str | None, limit: int | None = ATTRIBUTE_CHARACTERS) -> str | None:
    """Return *text* with NUL and lone surrogates as JSON writes them, cut to *limit* characters with an ``…``."""
    if text is None:
        return None
    if not text.isascii():
        text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
    if '\0' in text:
        text = text.replace('\0', '\\u0000')
    if limit is not None and len(text) > limit:
        text = text[:limit - 1] + '…'
    return text
