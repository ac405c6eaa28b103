"""How the service's log looks on a terminal or in a journal: one line an entry.

The library logs constant keys, and what varies beside them (``extra=``); here both are shown:
``2026-11-24T10:00:00.123Z WARNING pacifica.dispatcher.staging staging_kept directory=/tmp/pacifica-1 task_id=…``.
"""

from __future__ import annotations

import logging
import time

__all__ = ['KeyValueFormatter', 'configure']

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {'message', 'asctime', 'taskName'}


class KeyValueFormatter(logging.Formatter):
    """Appends ``key=value`` for everything that an entry carries beside its message; times are UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = '%Y-%m-%dT%H:%M:%S'
    default_msec_format = '%s.%03dZ'

    def __init__(self) -> None:
        super().__init__('%(asctime)s %(levelname)s %(name)s %(message)s')

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        extras = sorted(name for name in vars(record) if name not in _STANDARD)
        return ' '.join([super().formatMessage(record), *(f'{name}={getattr(record, name)}' for name in extras)])


def configure(level: int = logging.INFO) -> None:
    """Write log entries of at least *level* to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
