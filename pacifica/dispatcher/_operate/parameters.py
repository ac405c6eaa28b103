"""The parameters of an event as lines ``NAME=VALUE`` that a person changes, and what was changed in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacifica.dispatcher._parameters import parse, setting
from pacifica.dispatcher.exceptions import ConfigurationError


def in_lines(record: Mapping[str, Any]) -> str:
    """Return the parameters that the event's latest attempt used, or that were set since, a line for each."""
    return '\n'.join(setting(name, value) for name, value in _used(record).items())


def changed_in(record: Mapping[str, Any], lines: str) -> dict[str, Any]:
    """Return the parameters in *lines* that are others than those of :func:`in_lines`.

    :raises ConfigurationError: if a line is not ``NAME=VALUE``, or none is another.
    """
    used = _used(record)
    written = ['='.join(part.strip() for part in line.split('=', 1)) for line in lines.splitlines() if line.strip()]
    found = {name: value for name, value in parse(written).items()
             if name not in used or setting(name, value) != setting(name, used[name])}
    if not found:
        raise ConfigurationError('no parameter is another than before; "Retry" runs the event with the same ones')
    return found


def _used(record: Mapping[str, Any]) -> dict[str, Any]:
    attempts = [entry['parameters'] for entry in record['history'] if 'attempt' in entry and 'parameters' in entry]
    return {**(attempts[-1] if attempts else {}), **(record['parameters'] or {})}
