"""Time that procrastinate takes to drain a queue of no-op tasks that carry our event: prints seconds as JSON.

    python drain_procrastinate.py POSTGRESQL_URL COUNT CONCURRENCY
"""

import asyncio
import json
import sys
import time

import procrastinate
from draining import EVENT

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=sys.argv[1]))
handled = 0


@app.task(name='no_op')
async def no_op(event):
    """Count the event; a coroutine, which procrastinate runs faster than a function."""
    global handled
    handled += 1


async def main(count, concurrency):
    """Fill the queue, then run a worker until it is empty."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, count, 500):
            events = [{**EVENT, 'eventID': str(number)} for number in range(start, min(start + 500, count))]
            await no_op.batch_defer_async(*({'event': event} for event in events))
        began = time.perf_counter()
        await app.run_worker_async(concurrency=concurrency, wait=False, install_signal_handlers=False)
        seconds = time.perf_counter() - began
    assert handled == count, handled
    print(json.dumps({'seconds': seconds}))


asyncio.run(main(int(sys.argv[2]), int(sys.argv[3])))
