"""The expressions of subscriptions, for which Notifications use the same JSONPath library as the router."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from functools import lru_cache
from typing import Any

from jsonpath2.path import Path

__all__ = ['fault', 'matches']


def fault(expression: str) -> str | None:
    """Return what is wrong with *expression*, ``None`` if it parses."""
    try:
        with redirect_stderr(io.StringIO()):  # where the parser prints what it raises as well
            Path.parse_str(expression)
    except ValueError as exc:
        return str(exc)
    return None


def matches(expression: str, event: Mapping[str, Any]) -> bool:
    """Return whether Notifications send *event* to a subscription with *expression*, which parses."""
    return any(True for _ in _parsed(expression).match(event))


@lru_cache(maxsize=1)
def _parsed(expression: str) -> Path:
    return Path.parse_str(expression)
