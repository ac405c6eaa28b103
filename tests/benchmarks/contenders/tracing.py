"""What a worker of this project does in its database: counts and times its statements, by their first word.

Each process writes its sums so far to a file of its own, named after its process id, after each commit.
"""

import json
import os
import time

from pacifica.dispatcher._queue.session import Session

_WIDTH = 4096  # bytes, always written at once, so that a reader sees one state


def install(folder):
    """Trace every statement of this process and of those forked from it."""
    execute, sums, files = Session.execute, {}, {}

    def traced(self, statement, parameters=()):
        began = time.perf_counter()
        try:
            return execute(self, statement, parameters)
        finally:
            word = statement.split(None, 1)[0]
            count, seconds = sums.get(word, (0, 0.0))
            sums[word] = count + 1, seconds + time.perf_counter() - began
            if word == 'COMMIT':
                write()

    def write():
        pid = os.getpid()
        if pid not in files:  # forked: what the parent did is in its file
            sums.clear()
            files[pid] = os.open(os.path.join(folder, f'{pid}.json'), os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(files[pid], json.dumps(sums).ljust(_WIDTH).encode(), 0)

    Session.execute = traced
