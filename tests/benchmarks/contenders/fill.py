"""Fill a database with finished and waiting events by bulk SQL: ``python fill.py DATABASE_URL FINISHED WAITING``."""

import json
import sys
import time

from draining import EVENT
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model
from pacifica.dispatcher.router import Router

CHUNK = 100_000
# twelve digits of a number
DIGITS = {
    'sqlite': "substr('000000000000' || ({n}), -12)",
    'postgresql': "lpad(({n})::text, 12, '0')",
    'mysql': "lpad({n}, 12, '0')",
}
ANALYZE = {
    'sqlite': ('ANALYZE', 'PRAGMA wal_checkpoint(TRUNCATE)'),
    'postgresql': ('VACUUM ANALYZE receivetaskmodel', 'CHECKPOINT'),
    'mysql': ('ANALYZE TABLE receivetaskmodel',),
}
NUMBERS = ' CROSS JOIN '.join(
    f'(SELECT 0 AS n {" ".join(f"UNION ALL SELECT {digit}" for digit in range(1, 10))}) AS d{place}'
    for place in range(5)
)
NUMBER = 'd4.n * 10000 + d3.n * 1000 + d2.n * 100 + d1.n * 10 + d0.n'
IDENTIFIERS = {
    'sqlite': "({digits} || '70008000000000000000')",
    'postgresql': "CAST({digits} || '70008000000000000000' AS uuid)",
    'mysql': "concat({digits}, '70008000000000000000')",
}
COLUMNS = (
    'uuid, task_id, event_key, event_type, cloud_events_version, source, event_id, event_data, data, '
    'task_application_name, task_name, exc_traceback, created, updated, task_status, finalized, due'
)


def insert(database, kind, start, count, finished):
    """Insert *count* events, numbered from *start*."""
    mark = database.param
    number = f'{start} + {NUMBER}'
    digits = DIGITS[kind].format(n=number)
    identifier = IDENTIFIERS[kind].format(digits=digits)
    moment = '2026-01-01 00:00:00.000000'
    event = json.dumps({**EVENT, 'eventID': 'a' * 24})
    database.execute_sql(
        f'INSERT INTO receivetaskmodel ({COLUMNS})'
        f' SELECT {identifier}, {identifier}, {digits}, {mark}, {mark}, {mark}, {digits}, {mark}, {mark}, {mark},'
        f" {mark}, '', {mark}, {mark}, {mark}, {mark}, {mark} + ({number}) / 1000.0 FROM {NUMBERS}"
        f' WHERE {NUMBER} < {count}',
        (EVENT['eventType'], '0.1', EVENT['source'], event, json.dumps(EVENT['data']), 'bench', 'bench.receive',
         moment, moment, '200 OK' if finished else '202 Accepted', moment if finished else None, time.time() - 1e7),
    )


def main(url, finished, waiting):
    """Make the table and fill it."""
    database = connect(url)
    model = create_peewee_model(database)
    model.create_queue(Router(), 'bench', 'bench.receive')
    model.create_table()
    model.close_connections()
    kind = url.partition(':')[0]
    for first, count, done in ((0, finished, True), (finished, waiting, False)):
        for start in range(0, count, CHUNK):
            insert(database, kind, first + start, min(CHUNK, count - start), done)
    for statement in ANALYZE[kind]:
        database.execute_sql(statement)
    database.close()
    print(json.dumps({'rows': finished + waiting}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
