"""Fill a table by bulk SQL with events as years of use leave them: of several types, sources and ends."""

from __future__ import annotations

import json
import time
from typing import Any

#: Every 20th event is about this transaction.
SHARED_TRANSACTION = '4711'
RARE_TYPE = 'org.example.rare'
SHARED_SOURCE = 'http://instrument-2.example.org'
DAYS = 30
WAITING, RUNNING = 200, 20

_CHUNK = 100_000
_NUMBERS = ' CROSS JOIN '.join(
    f'(SELECT 0 AS n {" ".join(f"UNION ALL SELECT {digit}" for digit in range(1, 10))}) AS d{place}'
    for place in range(5)
)
_NUMBER = '(d4.n * 10000 + d3.n * 1000 + d2.n * 100 + d1.n * 10 + d0.n)'
# kind → twelve digits of a number, text of a number, an id, a time of seconds since 1970, texts joined
_DIALECTS: dict[str, dict[str, str]] = {
    'sqlite': {
        'digits': "substr('000000000000' || ({n}), -12)", 'text': 'CAST({n} AS TEXT)',
        'uuid': "({digits} || '70008000000000000000')",
        'moment': "strftime('%Y-%m-%d %H:%M:%f', {s}, 'unixepoch') || '000'", 'join': "({a} || {b})",
    },
    'postgresql': {
        'digits': "lpad(({n})::text, 12, '0')", 'text': '({n})::text',
        'uuid': "CAST({digits} || '70008000000000000000' AS uuid)",
        'moment': "to_timestamp({s}) AT TIME ZONE 'UTC'", 'join': "({a} || {b})",
    },
    'mysql': {
        'digits': "lpad({n}, 12, '0')", 'text': 'CAST({n} AS CHAR)',
        'uuid': "concat({digits}, '70008000000000000000')",
        'moment': 'from_unixtime({s})', 'join': 'concat({a}, {b})',
    },
}
_ANALYZE = {
    'sqlite': ('ANALYZE', 'PRAGMA wal_checkpoint(TRUNCATE)'),
    'postgresql': ('VACUUM ANALYZE receivetaskmodel', 'CHECKPOINT'),
    'mysql': ('ANALYZE TABLE receivetaskmodel',),
}


def fill(database: Any, kind: str, rows: int) -> None:
    """Insert *rows* events into the empty table: 1 % failed, 0.5 % without a route, 200 waiting, 20 running."""
    if kind == 'mysql':
        database.execute_sql("SET time_zone = '+00:00'")
    if kind == 'sqlite':
        for pragma in ('cache_size = -500000', 'synchronous = OFF'):
            database.execute_sql(f'PRAGMA {pragma}')
    now = time.time()
    for start in range(0, rows, _CHUNK):
        statement, parameters = _insert(kind, start, min(_CHUNK, rows - start), rows, now)
        for parameter in parameters:
            statement = statement.replace('?', "'" + parameter.replace("'", "''") + "'", 1)
        cursor = database.connection().cursor()  # without parameters, so that "%" means itself in every driver
        cursor.execute(statement)
        cursor.close()
    if kind == 'postgresql':
        database.connection().autocommit = True
    for statement in _ANALYZE[kind]:
        database.execute_sql(statement)


def _insert(kind: str, start: int, count: int, rows: int, now: float) -> tuple[str, list[str]]:
    dialect = _DIALECTS[kind]
    number = f'({start} + {_NUMBER})'
    digits = dialect['digits'].format(n=number)
    text = dialect['text'].format(n=number)
    identifier = dialect['uuid'].format(digits=digits)
    spacing = DAYS * 86_400 / rows
    created = f'({now:.6f} - ({rows} - {number}) * {spacing:.6f})'
    ended = f'({created} + ({number} % 50) / 10.0)'
    first_waiting, first_running = rows - WAITING, rows - WAITING - RUNNING
    failed, unrouted = f'{number} % 100 = 0', f'{number} % 200 = 1'
    done = f'{number} < {first_running}'
    status = (f"CASE WHEN {number} >= {first_waiting} THEN '202 Accepted' WHEN NOT ({done}) THEN '102 Processing'"
              f" WHEN {failed} THEN '500 Internal Server Error' WHEN {unrouted} THEN '422 Unprocessable Entity'"
              f" ELSE '200 OK' END")
    join = dialect['join'].format
    own_source = join(a="'http://metadata.pacifica.org/transactions/'", b=text)
    instrument = join(a="'http://instrument-'", b=dialect['text'].format(n=f'({number} % 8)'))
    shared_source = join(a=instrument, b="'.example.org'")
    message = join(a="'no calibration for run '", b=text)
    event = json.dumps({'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'data': ['x' * 300]})
    columns = {
        'uuid': identifier, 'task_id': identifier, 'event_key': digits,
        'event_type': f"CASE WHEN {number} % 200000 = 5 THEN '{RARE_TYPE}' WHEN {number} % 3 = 0 THEN"
                      " 'org.pacifica.metadata.ingest' WHEN"
                      f" {number} % 3 = 1 THEN 'org.example.calibrated' ELSE 'org.example.acquired' END",
        'cloud_events_version': "'0.1'",
        'source': f'CASE WHEN {number} % 2 = 1 THEN {own_source} ELSE {shared_source} END',
        'event_id': join(a="'metadata.ingest.'", b=text),
        'event_data': '?', 'data': '?',
        'task_application_name': f"CASE WHEN {number} % 10 = 0 THEN 'second.app' ELSE 'my.app' END",
        'task_name': "'my.tasks.receive'",
        'exc_traceback': f"CASE WHEN {failed} THEN 'Traceback (most recent call last): ...' ELSE '' END",
        'exc_type': f"CASE WHEN {done} AND {failed} THEN 'ValueError' WHEN {done} AND {unrouted}"
                    " THEN 'RouteNotFoundRouterError' END",
        'exc_value': f"CASE WHEN {done} AND {failed} THEN {message} WHEN {done} AND {unrouted} THEN 'no route' END",
        'route': "'$[?(@[\"eventType\"] = \"org.pacifica.metadata.ingest\")]'",
        'route_key': f'CASE WHEN {done} THEN {number} % 5 END',
        'failure_group': f"CASE WHEN {done} AND {failed} THEN {dialect['text'].format(n=f'({number} % 3)')} END",
        'created': dialect['moment'].format(s=created),
        'updated': dialect['moment'].format(s=ended),
        'finalized': f"CASE WHEN {done} THEN {dialect['moment'].format(s=ended)} END",
        'task_status': status,
        'due': f'{created}',
        'lease_expires': f"CASE WHEN {status} = '102 Processing' THEN {now + 3600:.3f} END",
        'attempts': '1',
        'transaction_id': f"CASE WHEN {number} % 20 = 7 THEN '{SHARED_TRANSACTION}' ELSE {text} END",
        'history': '\'[{"attempt": 1, "worker": "host:1", "status": "200 OK"}]\'',
    }
    return (
        f'INSERT INTO receivetaskmodel ({", ".join(columns)}) SELECT {", ".join(columns.values())}'
        f' FROM {_NUMBERS} WHERE {_NUMBER} < {count}', [event, event],
    )
