"""What a check has found: a value, made by a constructor for each status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ['Finding', 'failed', 'ok', 'skipped', 'warning']


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    :param found: what was found, safe to show.
    :param advice: what to do about it; empty if there is nothing to do.
    """

    status: Literal['ok', 'warning', 'failed', 'skipped']
    found: str
    advice: str = ''


def ok(found: str) -> Finding:
    """All is well."""
    return Finding('ok', found)


def warning(found: str, advice: str) -> Finding:
    """It works, but something should be known."""
    return Finding('warning', found, advice)


def failed(found: str, advice: str) -> Finding:
    """Events are not received or not run until this is put right."""
    return Finding('failed', found, advice)


def skipped(found: str, advice: str = '') -> Finding:
    """It was not looked at."""
    return Finding('skipped', found, advice)
