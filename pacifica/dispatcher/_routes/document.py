"""The text of a routes file → its routes, or one error that names every fault with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from pacifica.dispatcher._routes.building import Builder
from pacifica.dispatcher._routes.checking import Fault, check
from pacifica.dispatcher._routes.lines import Where, lines_of, parse
from pacifica.dispatcher._routes.values import Archive
from pacifica.dispatcher.exceptions import ConfigurationError

_PLACE = re.compile(r' \(at (?:line (\d+), column \d+|end of document)\)$')


class Document(NamedTuple):
    """What a routes file says: arguments of ``add_route`` for each route, settings of the service, and warnings."""

    routes: list[dict[str, Any]]
    service: dict[str, Any]
    warnings: list[str]


def load(text: str, file: Path, *, outside: bool = True) -> Document:
    """Return what the *text* of *file* says.

    :param outside: whether what it names must be there: programs and directories.
    :raises ConfigurationError: if it can't be; names every fault found, with its line.
    """
    try:
        document = parse(text)
    except ValueError as exc:
        found = _PLACE.search(str(exc))
        line = found[1] if found and found[1] else str(text.count('\n') + 1)
        raise ConfigurationError(f'{file.name}, line {line}: it is no TOML: {_PLACE.sub("", str(exc))}') from exc
    lines = lines_of(text)
    checked = check(document)
    spoilt = {fault.where[:2] for fault in checked.faults}
    builder = Builder(file.parent, checked.archive or Archive(), outside, spoilt)
    routes = [builder.build(route, ('route', number)) for number, route in checked.routes.items()]
    # What has a fault inside was taken out, and may be missed now.
    missed = {fault.where[:end] for fault in checked.faults for end in range(len(fault.where) + 1)}
    if faults := [*checked.faults, *(fault for fault in builder.faults if fault.where not in missed)]:
        raise ConfigurationError('; '.join(_told(faults, lines, file)))
    return Document(routes, checked.service, _told(builder.warnings, lines, file))


def _told(faults: list[Fault], lines: dict[Where, int], file: Path) -> list[str]:
    """Return *faults* in the order of their lines, the file named with the first."""
    numbered = sorted((_line(fault.where, lines), fault.text) for fault in faults)
    return [f'{"line" if number else f"{file.name}, line"} {line}: {text}'
            for number, (line, text) in enumerate(numbered)]


def _line(where: Where, lines: dict[Where, int]) -> int:
    """Return the line of what is there, or of what it would be in."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)
