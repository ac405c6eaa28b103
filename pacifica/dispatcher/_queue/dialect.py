"""What differs between SQLite, PostgreSQL and MariaDB/MySQL, chosen once for a database.

Used by the connections, the schema and the store, which hold no condition on the kind of database themselves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import peewee

from pacifica.dispatcher.exceptions import ConfigurationError

SILENCE = 10.0
"""Seconds for which a server may say nothing while it is waited for; then the connection is given up."""

_CONNECT_SECONDS = 5

#: What a transient fault is: others use the same rows or tables; there is no room; nobody may write; all others.
Fault = Literal['busy', 'full', 'read-only', 'away']


def _never_silent(_connection: Any) -> None:
    pass


def _limit_silence(connection: Any) -> None:
    """Let psycopg wait no longer than :data:`SILENCE` for a server, or than ``tcp_user_timeout`` says, in milliseconds.

    By itself it waits for ever: the system at the other end acknowledges what its server never reads. psycopg2 has no
    such door: with it, only connecting has a limit.
    """
    wait = getattr(connection, 'wait', None)
    if wait is None:
        return
    given = connection.info.get_parameters().get('tcp_user_timeout')
    seconds = SILENCE if given is None else int(given) / 1000 or float('inf')
    connection.wait = lambda waiting, *args, **kwargs: wait(_limited(waiting, seconds), *args, **kwargs)


def _limited(waiting: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """Go through psycopg's states of *waiting*, which is sent what is ready, or every 0.1 s that nothing is."""
    try:
        wanted = next(waiting)
        heard = time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() > heard + seconds:
                raise peewee.OperationalError(f'the server said nothing for {seconds:g} seconds')
            wanted = waiting.send(ready)
    except StopIteration as stop:
        return stop.value


@dataclass(frozen=True)
class Dialect:
    """The SQL that one kind of database wants.

    ``begin`` opens a transaction that may write; ``on_connect`` runs on each new connection, ``on_connect_to_write`` on
    the one that writes, and ``on_connect_to_read`` on those that read lists, too; ``clock`` is a query for the server's
    time in seconds since 1970, ``None`` where the database has no clock but its host's; ``skip_locked`` ends a
    ``SELECT`` of rows to change, and ``lock_row`` one of rows that are waited for, where not all that write wait for
    each other; ``lock_name`` locks a name, its parameter, until the transaction's end, without a row; ``on_duplicate``
    ends an ``INSERT`` into a table whose primary key is ``{key}``, and leaves rows alone whose keys are there;
    ``random`` is a number from 0 to 1, another for each row; ``seconds_between`` is what lies between the times
    ``{earlier}`` and ``{later}``; ``types`` maps the kinds of columns in the schema to types; ``statement_limit`` is a
    query for the bytes of the longest statement, where an event can reach that; ``prefix_index`` is how an index holds
    the beginning of a column, and ``indexes_together`` whether those of a table are made by one statement; ``equals``
    compares a column whose beginning is compared too; ``contains`` finds a pattern in a column in upper or lower case,
    as far as the database knows them, and always as it is; ``inheritable`` says whether a forked child may have a
    connection of its parent's that it doesn't use; ``faults`` are patterns of the drivers' errors, after their SQLSTATE
    if they have one; ``limits`` are settings of the driver for how long a server may let us wait, which the
    application's own go before, and ``limit_silence`` does what a setting can't.

    How workers learn of events that other processes have stored: ``notify`` sends a message to a channel, both
    parameters, and ``listen`` has those of ``{channel}`` come to a connection; ``change_counter`` is a query for a
    number that is another once others have changed anything; without either, they look for events.

    ``columns`` and ``indexes`` are queries for the table and the name of each that ``{tables}`` have: far cheaper than
    peewee's own. The last ones serve upgrading the table: which kinds of columns had too narrow a type in the 0.2
    series, and how that is changed.
    """

    name: str
    placeholder: str
    begin: str
    on_connect: Sequence[str]
    clock: str | None
    skip_locked: str
    lock_row: str
    on_duplicate: str
    random: str
    seconds_between: str
    types: dict[str, str]
    columns: str
    indexes: str
    partial_indexes: bool
    inheritable: bool = True
    on_connect_to_write: Sequence[str] = ()
    on_connect_to_read: Sequence[str] = ()
    lock_schema: Sequence[str] = ()
    unlock_schema: Sequence[str] = ()
    connect_params: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    limit_silence: Callable[[Any], None] = _never_silent
    faults: dict[Fault, str] = field(default_factory=dict)
    table_options: str = ''
    notify: str = ''
    listen: str = ''
    change_counter: str = ''
    statement_limit: str = ''
    prefix_index: str = '{expression}'
    lock_name: str = ''
    indexes_together: bool = False
    equals: str = '{column} = ?'
    contains: str = "LOWER({column}) LIKE LOWER(?) ESCAPE '!'"
    drop_index: str = 'DROP INDEX {index}'
    widened: frozenset[str] = frozenset()
    alter_type: str = ''
    convert_table: Sequence[str] = ()

    def uuid(self, value: UUID) -> str:
        """Return *value* as peewee's ``UUIDField`` stores it."""
        return str(value) if self.types['uuid'] == 'UUID' else value.hex

    def fault_of(self, exc: Exception) -> Fault:
        """Return what a transient fault of peewee's is."""
        drivers = getattr(exc, 'orig', None)  # the driver's own error
        text = f'{getattr(drivers, "sqlstate", None) or ""} {exc}'
        return next((fault for fault, pattern in self.faults.items() if re.search(pattern, text)), 'away')


_SQLITE = Dialect(
    name='sqlite',
    placeholder='?',
    begin='BEGIN IMMEDIATE',
    # FULL: a commit is on disk when it returns, in WAL mode too. The host's clock is the database's.
    # A checkpoint each 16 MiB instead of 4: a large event alone would cause one, and wait for it.
    on_connect=('PRAGMA busy_timeout = 1000', 'PRAGMA journal_mode = WAL', 'PRAGMA synchronous = FULL',
                'PRAGMA wal_autocheckpoint = 4000'),
    on_connect_to_write=('PRAGMA busy_timeout = 0',),  # see Session._begin
    clock=None,
    contains="{column} LIKE ? ESCAPE '!'",  # of itself in either case, and LOWER would only slow it down
    skip_locked='',
    lock_row='',
    random='(RANDOM() / 18446744073709551616.0 + 0.5)',
    seconds_between='(JULIANDAY({later}) - JULIANDAY({earlier})) * 86400.0',  # to a millisecond
    on_duplicate='ON CONFLICT DO NOTHING',
    types={'uuid': 'TEXT', 'name': 'VARCHAR(255)', 'text': 'TEXT', 'document': 'TEXT', 'time': 'DATETIME',
           'integer': 'INTEGER', 'bytes': 'INTEGER', 'seconds': 'REAL', 'token': 'VARCHAR(32)',
           'key': 'VARCHAR(64)', 'binary': 'BLOB'},
    columns='SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c'
            " WHERE t.type = 'table' AND t.name IN ({tables})",
    indexes="SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND tbl_name IN ({tables})",
    partial_indexes=True,
    inheritable=False,
    lock_schema=('BEGIN IMMEDIATE',),
    unlock_schema=('COMMIT',),
    # Given "source = ?", SQLite puts the parameter into substr(source, …) as well, and finds no index for that.
    equals='NOT ({column} <> ?)',
    change_counter='PRAGMA data_version',
    # The store's connection is used by one thread at a time, but not always by the same one.
    connect_params={'check_same_thread': False},
    # A file that can't grow is an I/O error where it is mapped into memory (-shm).
    faults={'busy': 'locked|busy', 'full': 'disk is full|disk I/O error', 'read-only': 'readonly'},
)

_IN_TABLES = "t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p') AND t.relname IN ({tables})"

_POSTGRESQL = Dialect(
    name='postgresql',
    placeholder='%s',
    begin='BEGIN',
    on_connect=("SET TIME ZONE 'UTC'",),
    # The driver prepares what it sends often, and a plan for any value is a bad one for a rare value. What an index
    # finds in milliseconds is not faster with the help of processes that take as long to start.
    on_connect_to_read=('SET plan_cache_mode = force_custom_plan', 'SET max_parallel_workers_per_gather = 0'),
    clock='SELECT EXTRACT(EPOCH FROM clock_timestamp())',
    skip_locked='FOR UPDATE SKIP LOCKED',
    lock_row='FOR UPDATE',
    lock_name='SELECT pg_advisory_xact_lock(hashtextextended(?, 0))',
    random='RANDOM()',
    seconds_between='EXTRACT(EPOCH FROM {later} - {earlier})',
    on_duplicate='ON CONFLICT DO NOTHING',
    types={'uuid': 'UUID', 'name': 'VARCHAR(255)', 'text': 'TEXT', 'document': 'TEXT', 'time': 'TIMESTAMP',
           'integer': 'INTEGER', 'bytes': 'BIGINT', 'seconds': 'DOUBLE PRECISION', 'token': 'VARCHAR(32)',
           'key': 'VARCHAR(64)', 'binary': 'BYTEA'},
    columns='SELECT t.relname, a.attname FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid'
            f' WHERE a.attnum > 0 AND NOT a.attisdropped AND {_IN_TABLES}',
    indexes='SELECT t.relname, i.relname FROM pg_class t JOIN pg_index x ON x.indrelid = t.oid'
            f' JOIN pg_class i ON i.oid = x.indexrelid WHERE {_IN_TABLES}',
    partial_indexes=True,
    lock_schema=('BEGIN', 'SELECT pg_advisory_xact_lock(7220261124)'),
    unlock_schema=('COMMIT',),
    # A connection that only listens would not notice that its server's host is gone.
    limits={'connect_timeout': _CONNECT_SECONDS, 'keepalives_idle': 10, 'keepalives_interval': 10,
            'keepalives_count': 3},
    limit_silence=_limit_silence,
    notify='SELECT pg_notify(?, ?)',
    listen='LISTEN "{channel}"',
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    faults={'busy': '^(40|55P03|57014)', 'full': '^53100', 'read-only': '^25006'},
    widened=frozenset({'text'}),
    alter_type='ALTER COLUMN {name} TYPE {type}',
)

# GET_LOCK's names are the server's, of 64 characters at most, and it gives up in the end: after any upgrade.
_SCHEMA_LOCK = "CONCAT('pacifica.dispatcher.', MD5(DATABASE()))"
_A_DAY = 86_400  # seconds

_MYSQL = Dialect(
    name='mysql',
    placeholder='%s',
    begin='START TRANSACTION',
    on_connect=("SET time_zone = '+00:00'", 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
                "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"),
    clock='SELECT UNIX_TIMESTAMP(NOW(6))',
    skip_locked='FOR UPDATE SKIP LOCKED',
    lock_row='FOR UPDATE',
    random='RAND()',
    seconds_between='TIMESTAMPDIFF(MICROSECOND, {earlier}, {later}) / 1e6',
    on_duplicate='ON DUPLICATE KEY UPDATE {key} = {key}',
    types={'uuid': 'VARCHAR(40)', 'name': 'VARCHAR(255)', 'text': 'TEXT', 'document': 'LONGTEXT',
           'time': 'DATETIME(6)', 'integer': 'INTEGER', 'bytes': 'BIGINT', 'seconds': 'DOUBLE PRECISION',
           'token': 'VARCHAR(32)', 'key': 'VARCHAR(64)', 'binary': 'MEDIUMBLOB'},
    columns='SELECT table_name, column_name FROM information_schema.columns'
            ' WHERE table_schema = DATABASE() AND table_name IN ({tables})',
    indexes='SELECT DISTINCT table_name, index_name FROM information_schema.statistics'
            ' WHERE table_schema = DATABASE() AND table_name IN ({tables})',
    partial_indexes=False,
    lock_schema=(f'SELECT GET_LOCK({_SCHEMA_LOCK}, {_A_DAY})',),
    unlock_schema=(f'SELECT RELEASE_LOCK({_SCHEMA_LOCK})',),
    limits={'connect_timeout': _CONNECT_SECONDS, 'read_timeout': SILENCE, 'write_timeout': SILENCE},
    # https://mariadb.com/docs/server/reference/error-codes; 28 is the system's own number, ENOSPC.
    faults={'busy': r'\((1205|1213|1969|3024),', 'full': r'\((1021|1114|3675),|Errcode: 28\b|[Ee]rror 28\b',
            'read-only': r'\((1290|1792|1836),'},
    statement_limit='SELECT @@max_allowed_packet',
    prefix_index='{column}({length})',  # MariaDB has no indexes of expressions
    indexes_together=True,  # each statement that changes a table costs as much as one for all
    # Binary: names that differ in case or in trailing spaces are different names.
    table_options='DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
    drop_index='DROP INDEX {index} ON {table}',
    widened=frozenset({'text', 'document', 'time'}),
    alter_type='MODIFY COLUMN {name} {type} {null}',
    convert_table=('CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',),
)


def dialect_of(database: peewee.Database) -> Dialect:
    """Return the dialect of *database*.

    :raises ConfigurationError: for a kind of database that the queue does not know.
    """
    for kind, dialect in (
        (peewee.SqliteDatabase, _SQLITE),
        (peewee.PostgresqlDatabase, _POSTGRESQL),
        (peewee.MySQLDatabase, _MYSQL),
    ):
        if isinstance(database, kind):
            return dialect
    raise ConfigurationError(
        f'{type(database).__name__} is no database the queue knows: use SQLite, PostgreSQL, MariaDB or MySQL'
    )
