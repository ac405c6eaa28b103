"""A service stops, whenever the signal comes."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from pacifica.dispatcher._cli.serving import Stop


def interrupted_at(step: int) -> bool:
    """Wait for a signal, which comes before a certain bytecode; return whether the wait has as many until it blocks."""
    stop, steps, before = Stop(), 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == 'opcode'
        if event == 'opcode' and steps == step:
            stop.on_signal(signal.SIGTERM, frame)  # in this thread, as a signal's handler
        return trace

    late = threading.Timer(0.1, stop.on_signal, (signal.SIGTERM, None))
    late.start()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for it as tracing begins
    sys.settrace(trace)
    try:
        stop.wait()
    finally:
        sys.settrace(before)
        late.cancel()
        late.join()
    return steps >= step


def test_the_wait_for_a_signal_ends_whenever_it_comes() -> None:
    tried = []

    def try_each() -> None:
        while interrupted_at(len(tried) + 1):
            tried.append(True)

    thread = threading.Thread(target=try_each, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), f'a signal before bytecode {len(tried) + 1} of the wait doesn\'t end it'
    assert len(tried) > 5
