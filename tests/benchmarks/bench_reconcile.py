"""How long it takes to find what was never delivered: ``python tests/benchmarks/bench_reconcile.py``.

10,000 transactions that are all missing, then with 100 missing, then with none; in SQLite, from a stand-in for Metadata
in a process of its own, so that the memory measured is the reconciler's. ``PACIFICA_BENCH_TRANSACTIONS`` sets another
number. The real Metadata takes longer for each answer.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playhouse.db_url import connect

if __name__ == '__main__':
    raise SystemExit(pytest.main([__file__, '--bench', '-s', '-q', *sys.argv[1:]]))

from pacifica.dispatcher.receiver import create_peewee_model
from support.events import router_to

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

TRANSACTIONS = int(os.environ.get('PACIFICA_BENCH_TRANSACTIONS', '10000'))
MISSING = 100
SINCE = datetime(2026, 1, 1)
METADATA = '''
import sys
from support.fake_metadata import FakeMetadata
with FakeMetadata(dict.fromkeys(range(1, int(sys.argv[1]) + 1), '2026-11-27T11:22:42')) as metadata:
    print(metadata.url, flush=True)
    sys.stdin.read()
'''


def memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_reconciling(tmp_path: Path) -> None:
    database = connect(f'sqlite:///{tmp_path / "events.db"}')
    model = create_peewee_model(database)
    queue: Any = model.create_queue(router_to(lambda event: None), 'my.app', 'my.tasks.receive')
    with subprocess.Popen(
        [sys.executable, '-c', METADATA, str(TRANSACTIONS)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        queue.reconcile(url, datetime(2030, 1, 1))  # what is imported and opened once
        for what in ('all are missing', f'{MISSING} are missing', 'none is missing'):
            if what.startswith(str(MISSING)):
                some = [str(number) for number in range(1, TRANSACTIONS, TRANSACTIONS // MISSING)][:MISSING]
                model.delete().where(model.transaction_id.in_(some)).execute()
            before, began = memory(), time.monotonic()
            found = queue.reconcile(url, SINCE)
            print(f'{what}: {found.looked_at:,} transactions, {len(found.missing):,} stored in '
                  f'{time.monotonic() - began:.1f} s; memory {before:.0f} MiB before, {memory():.0f} MiB at most')
        process.communicate()
    model.close_connections()
    database.close()
