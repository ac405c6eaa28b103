"""How the findings are shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pacifica.dispatcher._cli.doctor.finding import Finding

__all__ = ['as_json', 'print_table']

_STYLE = {'ok': 'green', 'warning': 'yellow', 'failed': 'bold red', 'skipped': 'dim'}


def as_json(findings: Sequence[tuple[str, Finding]], good: bool) -> str:
    """Return an object with ``ok`` and ``checks``, each with ``check``, ``status``, ``found`` and ``advice``."""
    return json.dumps({'ok': good, 'checks': [
        {'check': name, 'status': finding.status, 'found': finding.found, 'advice': finding.advice or None}
        for name, finding in findings
    ]}, indent=2, ensure_ascii=False)


def print_table(findings: Sequence[tuple[str, Finding]]) -> None:
    """Print a table, what to do below what was found."""
    table = Table(box=None, pad_edge=False, header_style='bold')
    for title in ('check', 'status', 'found'):
        table.add_column(title, overflow='fold', no_wrap=title != 'found')
    for name, finding in findings:
        found = Text(finding.found)
        if finding.advice and finding.status != 'skipped':
            found.append(f'\n→ {finding.advice}', style='italic')
        table.add_row(name, Text(finding.status, style=_STYLE[finding.status]), found)
    Console(highlight=False).print(table)
