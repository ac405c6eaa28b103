"""The service's log shows what an entry carries beside its message."""

from __future__ import annotations

import logging
import re

from pacifica.dispatcher._cli.logs import KeyValueFormatter


def test_extras_are_appended_in_order_and_times_are_utc() -> None:
    record = logging.makeLogRecord({
        'name': 'pacifica.dispatcher.staging', 'levelname': 'INFO', 'msg': 'staged_in', 'created': 0.0, 'msecs': 7.0,
        'seconds': 0.5, 'files': 2,
    })
    assert KeyValueFormatter().format(record) == (
        '1970-01-01T00:00:00.007Z INFO pacifica.dispatcher.staging staged_in files=2 seconds=0.5'
    )


def test_a_traceback_follows_the_line() -> None:
    try:
        raise ValueError('broken')
    except ValueError as exc:
        record = logging.makeLogRecord({'msg': 'request_failed', 'exc_info': (type(exc), exc, exc.__traceback__)})
    assert re.search(r'request_failed\nTraceback [^$]*ValueError: broken$', KeyValueFormatter().format(record))
