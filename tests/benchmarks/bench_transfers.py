"""How fast bundles are made and files staged, beside the tools that do nothing else: ``python bench_transfers.py``.

- one large file: streaming its bundle (which hashes it) beside ``sha1sum`` and then ``cp`` of the same file; and the
  most memory that a process needs for it;
- many files of 4 KiB: staging out (a bundle) beside ``tar -cf``, and staging in (a cart's archive, each file's hash
  compared) beside ``tar -xf``.

Every number is the best of several runs that take turns, because the machine may be busy with something else; for the
same reason the processors' time is given, too: ours and the children's.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pacifica.dispatcher._transfers.archive import unpack
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher.models import File, Transaction
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

_SMALL = 4096
TRANSACTION = Transaction(submitter=10, instrument=54, project='1234a')
PEAK = '''
import resource, sys
from pacifica.dispatcher.models import Transaction
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner
bundle, _, _ = LocalUploaderRunner().upload(sys.argv[1], Transaction(submitter=10, instrument=54, project='p'))
with open(sys.argv[2], 'wb') as stream:
    bundle.stream(stream)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
'''


def best(runs: int, **tasks: Callable[[], object]) -> dict[str, float]:
    """Return the least seconds that each of the tasks took, by the wall and (``cpu_``) by processors; in turns."""
    least = {}
    for _ in range(runs):
        for name, task in tasks.items():
            began, cpu = time.perf_counter(), processors()
            task()
            for key, taken in ((name, time.perf_counter() - began), (f'cpu_{name}', processors() - cpu)):
                least[key] = min(least.get(key, taken), taken)
    return least


def processors() -> float:
    """Return the seconds of processors that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def compared(found: dict[str, float], other: str) -> str:
    """Return how many times as long ours took."""
    return f'{found["ours"] / found[other]:.2f} x (processors: {found["cpu_ours"] / found[f"cpu_{other}"]:.2f} x)'


def run(*command: str | Path) -> None:
    """Run a command to its end."""
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def stream(root: Path, target: Path) -> None:
    """Stage out *root* into the file *target*."""
    bundle, _, _ = LocalUploaderRunner().upload(str(root), TRANSACTION)
    with target.open('wb') as file:
        bundle.stream(file)


def large(work: Path, size: int, runs: int) -> None:
    """Measure one large file."""
    root = work / 'large'
    root.mkdir()
    block = os.urandom(1 << 20)
    with (root / 'file').open('wb') as file:
        for number in range(size >> 20):
            file.write(block[number % 4096:] + block[:number % 4096])
    source, target = root / 'file', work / 'target'

    def tools() -> None:
        run('sha1sum', source)
        run('cp', '--reflink=never', source, target)

    def ours() -> None:
        stream(root, target)

    found = best(runs, tools=tools, ours=ours)
    peak = subprocess.run(
        [sys.executable, '-c', PEAK, root, target], check=True, capture_output=True, text=True).stdout.strip()
    print(f'bundle of {size >> 20} MiB: {found["ours"]:.2f} s; sha1sum, then cp: {found["tools"]:.2f} s; '
          f'{compared(found, "tools")}; peak memory {peak} MiB')
    shutil.rmtree(root)
    target.unlink()


def small(work: Path, count: int, runs: int) -> None:
    """Measure many small files."""
    root, files = work / 'small', {}
    for number in range(count):
        path = f'day/{number % 31:02}/scan-{number:05}.csv'
        content = f'{number:08},2\n'.encode().ljust(_SMALL, b'0')
        files[path] = (path, File(
            _id=number, name=path, size=len(content), hashtype='sha1', hashsum=hashlib.sha1(content).hexdigest()))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    archive, target = work / 'archive.tar', work / 'target'
    run('tar', '--format=posix', '-C', work, '-cf', archive, 'small')

    def fresh() -> Path:
        # Never emptied for the next run: file systems are slow for a while after many files were removed.
        return Path(tempfile.mkdtemp(dir=work))

    def tar_in() -> None:
        run('tar', '-xf', archive, '-C', fresh())

    def stage_in() -> None:
        with archive.open('rb') as file:
            assert not unpack(io.BufferedReader(file.raw), files, Meter('download', count, None), fresh())

    out = best(runs, tar=lambda: run('tar', '-C', root, '-cf', target, '.'), ours=lambda: stream(root, target))
    print(f'stage out of {count:,} files: {out["ours"]:.2f} s; tar -cf: {out["tar"]:.2f} s; '
          f'{compared(out, "tar")}')
    inn = best(runs, ours=stage_in, tar=tar_in)
    print(f'stage in of {count:,} files: {inn["ours"]:.2f} s; tar -xf: {inn["tar"]:.2f} s; '
          f'{compared(inn, "tar")}')


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mib', type=int, default=1024, help='size of the large file; 0 leaves it out')
    parser.add_argument('--files', type=int, default=10_000, help='how many small files; 0 leaves them out')
    parser.add_argument('--runs', type=int, default=3, help='how often each is measured')
    parser.add_argument('--directory', help='where to measure; the system\'s for temporary files if not given')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as work:
        if args.mib:
            large(Path(work), args.mib << 20, args.runs)
        if args.files:
            small(Path(work), args.files, args.runs)


if __name__ == '__main__':
    main()
