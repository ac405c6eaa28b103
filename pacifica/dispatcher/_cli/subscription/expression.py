"""Whether an expression is one for Notifications, which use the same JSONPath library as the router."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

from jsonpath2.path import Path

__all__ = ['fault']


def fault(expression: str) -> str | None:
    """Return what is wrong with *expression*, ``None`` if it parses."""
    try:
        with redirect_stderr(io.StringIO()):  # where the parser prints what it raises as well
            Path.parse_str(expression)
    except ValueError as exc:
        return str(exc)
    return None
