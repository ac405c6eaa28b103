"""What a PostgreSQL server on this machine does for one of its databases."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit


def backend_cpu_seconds(url: str) -> float:
    """Return the processor time used so far by the connections there are to the database.

    What the server's other processes do for it, such as writing pages to disk later, is not in it. Zero where the
    server runs elsewhere.
    """
    name, ticks = urlsplit(url).path.lstrip('/'), 0
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            title = (folder / 'cmdline').read_bytes().decode(errors='replace')
            if title.startswith('postgres:') and f' {name} ' in title:
                fields = (folder / 'stat').read_text().rpartition(')')[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:  # it has ended
            continue
    return ticks / os.sysconf('SC_CLK_TCK')
