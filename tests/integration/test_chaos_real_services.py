"""Whatever is stopped while data is uploaded, each upload gets one result; PACIFICA_STACK starts the real services.

``PACIFICA_TEST_CHAOS=600`` takes ten minutes, with an upload every six seconds and three outages of each service, of up
to 30 seconds; by default it is a minute and a half, with one of up to ten seconds each. ``PACIFICA_TEST_CHAOS_SEED``
makes the same outages again. What the archive has, its own tables say.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from pacifica.dispatcher._lineage import SOURCE_KEY
from pacifica.dispatcher.exceptions import UploadError
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.uploader_runners import IdleTimeout, RemoteUploaderRunner
from support.chaos import Outage, Supervised, Thing, chaos, schedule
from support.command_line import run
from support.database_servers import PostgreSQL, own_server
from support.databases import model_in
from support.events import wait_until
from support.processes import free_port
from support.stack import Stack

SECONDS = float(os.environ.get('PACIFICA_TEST_CHAOS', '90'))
TIMES, LASTS = (3, (5.0, 30.0)) if SECONDS >= 300 else (1, (5.0, 10.0))
QUIET = 600.0  # seconds in which something must come further while not all has ended

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(SECONDS + 4 * QUIET), pytest.mark.xdist_group('services')]
ROUTES = '''
from jsonpath2.path import Path
from pacifica.downloader import Downloader
from pacifica.uploader import Uploader
from pacifica.dispatcher._cli.demo_handler import Uppercase
from pacifica.dispatcher.downloader_runners import RemoteDownloaderRunner
from pacifica.dispatcher.event_handlers import StagedEventHandler
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.uploader_runners import RemoteUploaderRunner

router = Router()
router.add_route(
    Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'),
    StagedEventHandler(RemoteDownloaderRunner(Downloader()), Uppercase(), RemoteUploaderRunner(Uploader())))
'''
WITH_KEY = '''
SELECT pair.transaction_id, value.value FROM transactionkeyvalue pair
JOIN keys key ON key.id = pair.key_id JOIN "values" value ON value.id = pair.value_id WHERE key.key = %s
'''


class Uploads:
    """Uploads *count* transactions of a file each, evenly over the time, and each again until it is confirmed."""

    def __init__(self, stack: Stack, directory: Path, key: str, count: int) -> None:
        self._stack, self._directory, self._key = stack, directory, key
        self._pool, self._stopping, self._began = ThreadPoolExecutor(20), threading.Event(), time.monotonic()
        self.refused: list[str] = []
        self._ends = [self._pool.submit(self._upload, number, SECONDS / count * number) for number in range(count)]

    def _upload(self, number: int, at: float) -> None:
        root = self._directory / f'upload-{number}'
        root.mkdir()
        (root / f'{number}.txt').write_text(f'sample {number}')
        self._stopping.wait(max(0.0, self._began + at - time.monotonic()))
        while not self._stopping.is_set():
            try:
                RemoteUploaderRunner(self._stack.uploader()).upload(
                    str(root), Transaction(submitter=10, instrument=54, project='1234a'),
                    [TransactionKeyValue(key=self._key, value=str(number))], timeout=IdleTimeout(QUIET))
            except UploadError as exc:
                self.refused.append(str(exc))
                self._stopping.wait(1.0)
            else:
                return

    def end(self) -> None:
        """Return when all are confirmed."""
        for each in self._ends:
            each.result()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._pool.shutdown()


class Findings:
    """What the archive's tables and the dispatcher's say of the uploads that have *key*."""

    def __init__(self, stack: Stack, database: str, key: str) -> None:
        self.uploaded = {row[0]: int(row[1]) for row in stack.rows('metadata', WITH_KEY, key)}
        made = [(row[0], int(row[1])) for row in stack.rows('metadata', WITH_KEY, SOURCE_KEY)]
        self.results = {result: source for result, source in made if source in self.uploaded}
        with model_in(database) as model:
            self.events = {
                int(row.transaction_id): row
                for row in model.select().where(model.transaction_id.is_null(False))}

        self.ended = {transaction for transaction, row in self.events.items() if row.finalized is not None}

    @property
    def at_rest(self) -> bool:
        """Whether the event of each transaction has come and ended."""
        return self.ended >= self.uploaded.keys() | self.results.keys()

    def is_further_than(self, other: Findings) -> bool:
        """Whether something has come or ended since then."""
        return (self.uploaded, self.results, self.ended) != (other.uploaded, other.results, other.ended)

    def __str__(self) -> str:
        return '\n'.join(
            [f'{len(self.uploaded)} uploads, {len(self.results)} results, {len(self.events)} events',
             *(f'{transaction}: {row.task_status}, attempts {row.attempts}: {row.exc_type} {row.exc_value} {row.result}'
               for transaction, row in sorted(self.events.items()) if row.exc_type or row.finalized is None)])


@contextmanager
def dispatcher(stack: Stack, directory: Path, database: str, chance: random.Random) -> Iterator[list[Thing]]:
    """Run a receiver, two workers and the keeper of the subscription, as users are told to; yield what may stop."""
    (directory / 'chaotic.py').write_text(ROUTES)
    port, metadata = free_port(), stack.url('metadata')
    # One event may be in the hands of each that is killed: by default it would be given up after three.
    common = ('chaotic:router', '--database', database, '--max-attempts', str(3 * TIMES + 1))
    subscription = (
        'subscribe', '--receiver', f'http://127.0.0.1:{port}', '--name', 'chaos', '--user', 'dmlb2001',
        '--notifications', stack.url('notifications'))
    env = {f'{name.upper()}_{what}': value for name in ('cartd', 'ingest', 'metadata', 'policy')
           for what, value in (('ADDR', '127.0.0.1'), ('PORT', str(stack.ports[name])))}

    def supervised(name: str, arguments: tuple[str, ...], signals: list[signal.Signals]) -> Supervised:
        made = Supervised(name, directory, arguments, env, signals)
        ends.callback(made.stop)
        return made

    with ExitStack() as ends:
        ends.callback(run, *subscription, '--delete', cwd=directory)
        receiver = supervised('receiver', ('serve', *common, '--port', str(port), '--metadata', metadata),
                              chance.choices([signal.SIGTERM, signal.SIGKILL], k=TIMES))
        workers = [supervised(f'worker-{number}', ('work', *common), [signal.SIGKILL] * TIMES) for number in (1, 2)]
        wait_until(lambda: 'listening' in receiver.log.read_text())
        assert run(*subscription, cwd=directory).returncode == 0
        supervised('keeper', (*subscription, '--keep'), [])
        yield [Thing('receiver', receiver.stop, receiver.start),
               *(Thing(f'worker {number}', each.stop, each.start) for number, each in enumerate(workers, 1))]


def services(stack: Stack) -> list[Thing]:
    """Return the services of the archive, each with its worker, that may stop."""
    names = {'notifications': ('notifications', 'notifications-worker'), 'metadata': ('metadata',),
             'cartd': ('cartd', 'cartd-worker'), 'ingest': ('ingest', 'ingest-worker')}
    return [Thing(name, lambda all_=all_: stack.stop(*all_), lambda all_=all_: stack.start(*all_))
            for name, all_ in names.items()]


def test_whatever_is_stopped_each_upload_has_one_result(stack: Stack, tmp_path: Path) -> None:
    seed = int(os.environ.get('PACIFICA_TEST_CHAOS_SEED') or random.randrange(10**6))
    chance, key, pause = random.Random(seed), f'chaos.{seed}.{time.time_ns()}', threading.Event()
    print(f'PACIFICA_TEST_CHAOS={SECONDS:g} PACIFICA_TEST_CHAOS_SEED={seed}; logs in {tmp_path}')

    def look(before: Findings) -> Findings | None:
        """Return what there is a second later, if it is more than *before*."""
        pause.wait(1.0)
        found = Findings(stack, server.url, key)
        return found if found.is_further_than(before) else None

    with own_server(PostgreSQL) as server, dispatcher(stack, tmp_path, server.url, chance) as processes:
        things = [*processes, *services(stack), Thing('database', server.crash, server.start)]
        outages: list[Outage] = schedule(chance, [each.name for each in things], SECONDS, TIMES, LASTS)
        print(*(f'{each.name} at {each.at:.0f} s for {each.lasts:.0f} s' for each in outages), sep='\n')
        with Uploads(stack, tmp_path, key, round(SECONDS / 6)) as uploads, chaos(things, outages) as happening:
            happening.end()
            uploads.end()
        ended, found = time.monotonic(), Findings(stack, server.url, key)
        try:
            while not found.at_rest:
                found = wait_until(partial(look, found), QUIET)
        finally:
            print(f'{len(uploads.refused)} uploads refused; at rest {time.monotonic() - ended:.0f} s later: {found}')

    results = Counter(found.results.values())
    assert set(found.uploaded.values()) == set(range(round(SECONDS / 6)))
    assert found.uploaded.keys() - results.keys() == set(), 'transactions without a result'
    assert {source: times for source, times in results.items() if times > 1} == {}, 'transactions with two'
    assert {row.task_status for row in found.events.values()} == {'200 OK'}
    for result, source in found.results.items():
        assert stack.archived(result) == {
            path: content.upper() for path, content in stack.archived(source).items()}
