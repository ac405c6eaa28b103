"""The service's log shows what an entry carries beside its message, and the task that was handled at the time."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from pacifica.dispatcher._cli.serving import JsonFormatter, KeyValueFormatter, configure_log
from pacifica.dispatcher.task_context import TaskContext, TaskLogFilter, task_context


def record_of(**attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord({'name': 'pacifica.dispatcher.staging', 'levelname': 'INFO', **attributes})


def test_extras_are_appended_in_order_and_times_are_utc() -> None:
    record = record_of(msg='staging.downloaded', created=0.0, msecs=7.0, seconds=0.5, files=2)
    assert KeyValueFormatter().format(record) == (
        '1970-01-01T00:00:00.007Z INFO pacifica.dispatcher.staging staging.downloaded files=2 seconds=0.5'
    )


def test_as_text_an_entry_is_one_line_whatever_it_carries() -> None:
    try:
        raise ValueError('broken\x1b[2J')
    except ValueError as exc:
        record = record_of(
            msg='front_door.request_failed', error='two\nlines', exc_info=(type(exc), exc, exc.__traceback__))
    assert re.search(
        r'front_door\.request_failed error=two\\nlines\\nTraceback [^\n]*ValueError: broken\\u001b\[2J$',
        KeyValueFormatter().format(record))


def test_loggers_with_levels_of_their_own_log_no_more_than_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(logging, 'basicConfig', given.update)
    configure_log('error')
    [handler] = given['handlers']
    assert handler.level == logging.ERROR


def test_as_json_an_entry_is_one_line_whatever_it_carries() -> None:
    try:
        raise ValueError('two\nlines')
    except ValueError as exc:
        record = record_of(
            msg='observer.failed', created=0.0, msecs=7.0, level='mine', when=datetime(2026, 1, 1), about='é\n',
            exc_info=(type(exc), exc, exc.__traceback__))
    line = JsonFormatter().format(record)
    assert '\n' not in line
    entry = json.loads(line)
    assert entry.pop('exception').endswith('ValueError: two\nlines')
    assert entry == {
        'timestamp': '1970-01-01T00:00:00.007Z', 'level': 'INFO', 'logger': 'pacifica.dispatcher.staging',
        'message': 'observer.failed', 'when': '2026-01-01 00:00:00', 'about': 'é\n',
    }


def test_what_is_logged_while_an_event_is_handled_says_which() -> None:
    record = record_of(msg='mine', attempt='its own')
    task = TaskContext(uuid4(), attempt=2, event_id='metadata.ingest.7', route='$ → Mine')
    with task_context(task):
        assert TaskLogFilter().filter(record)
    found: Any = record  # to mypy a record has no attributes that a filter made
    assert (found.task_id, found.event_id, found.route, found.attempt) == (
        str(task.task_id), 'metadata.ingest.7', '$ → Mine', 'its own')


def test_what_is_logged_otherwise_is_left_alone() -> None:
    record = record_of(msg='mine')
    assert TaskLogFilter().filter(record)
    assert not hasattr(record, 'task_id')
