"""Functions called at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Return what the functions return, each called in a thread of its own at the same moment."""
    results: list[Any] = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def run(number: int) -> None:
        start.wait()
        results[number] = functions[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
