"""How the service's log looks: one line an entry, for people (``text``) or for programs (``json``).

The library logs constant keys, and what varies beside them (``extra=``); both are shown, with the task that was handled
at the time: ``2026-11-24T10:00:00.123Z WARNING pacifica.dispatcher.staging staging.kept directory=/tmp/pacifica-1 …``.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from pacifica.dispatcher.task_context import TaskLogFilter

__all__ = ['LEVELS', 'JsonFormatter', 'KeyValueFormatter', 'configure']

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {'message', 'asctime', 'taskName'}
LEVELS = ('debug', 'info', 'warning', 'error')


class _Formatter(logging.Formatter):
    """Times are UTC, with milliseconds."""

    converter = staticmethod(time.gmtime)
    default_time_format = '%Y-%m-%dT%H:%M:%S'
    default_msec_format = '%s.%03dZ'


class KeyValueFormatter(_Formatter):
    """Appends ``key=value`` for everything that an entry carries beside its message."""

    def __init__(self) -> None:
        super().__init__('%(asctime)s %(levelname)s %(name)s %(message)s')

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        return ' '.join([super().formatMessage(record), *(f'{name}={value}' for name, value in _extras(record))])


class JsonFormatter(_Formatter):
    """Makes each entry a JSON object on a line of its own.

    ``timestamp``, ``level``, ``logger`` and ``message``, then everything that the entry carries beside, and
    ``exception`` if there is one. What JSON has no form for is text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            'timestamp': self.formatTime(record), 'level': record.levelname, 'logger': record.name,
            'message': record.getMessage(),
        }
        for name, value in _extras(record):
            entry.setdefault(name, value)
        if record.exc_info:
            entry['exception'] = self.formatException(record.exc_info)
        if record.stack_info:
            entry['stack'] = self.formatStack(record.stack_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def _extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    return sorted((name, value) for name, value in vars(record).items() if name not in _STANDARD)


def configure(level: str = 'info', form: str = 'text') -> None:
    """Write log entries of at least *level* to stderr, as *form* (``'text'`` or ``'json'``) says."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == 'json' else KeyValueFormatter())
    handler.addFilter(TaskLogFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
