"""The processes of one worker, each of which runs one event at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pacifica.dispatcher._engine.handler_process import HandlerProcess
from pacifica.dispatcher._engine.template_process import TemplateProcess, may_copy
from pacifica.dispatcher._queue.values import ClaimedEvent

_LOG = logging.getLogger(__name__)


class Pool:
    """The processes of one worker, and the template that they are copied from, which is started when it is needed.

    :param payload: makes what the template is to load.
    :param with_main: whether that may refer to the service's main program.
    :param size: how many processes are there before they are needed.
    """

    def __init__(self, payload: Callable[[], bytes], with_main: bool, size: int) -> None:
        self._payload, self._with_main = payload, with_main
        self._size = size
        self._lock = threading.Lock()
        self._template: TemplateProcess | None = None
        self._idle: list[HandlerProcess] = []
        self._busy: dict[tuple[str, Any], HandlerProcess] = {}
        self.stopped = False
        if may_copy() and not with_main:  # before there are threads
            self._template = TemplateProcess(payload(), with_main)

    def start(self) -> None:
        """Start the template, and the processes that will be needed."""
        with self._lock:
            self.stopped = False
            self._fill()

    def stop(self) -> None:
        """End every process and what it started."""
        with self._lock:
            self.stopped = True
            idle, self._idle = self._idle, []
            origin, self._template = self._template, None
        if origin is not None:
            origin.stop()
        for each in idle:
            each.close()

    def take(self, claimed: ClaimedEvent) -> HandlerProcess | None:
        """Return a process to run an event in; ``None`` if all have been stopped."""
        with self._lock:
            if self.stopped:
                return None
            self._require_template()
            taken = self._busy[claimed.key] = self._idle.pop() if self._idle else self._fork()
            return taken

    def cancel(self, claimed: ClaimedEvent, reason: str) -> None:
        """Have the event's process end it."""
        with self._lock:
            running = self._busy.get(claimed.key)
            if running is not None:
                running.cancel(reason)

    def put_back(self, claimed: ClaimedEvent, running: HandlerProcess) -> None:
        """Keep a process for the next event, unless it was told to end, or its handler has closed what that needs."""
        with self._lock:
            del self._busy[claimed.key]
            if not self.stopped and running.reusable:
                self._idle.append(running)
                return
            if not self.stopped:
                self._fill()
        running.kill()
        running.close()

    def give_up(self, claimed: ClaimedEvent) -> None:
        """Let go of a process that has ended, or will, and have another ready."""
        with self._lock:
            del self._busy[claimed.key]
            if not self.stopped:
                self._fill()

    def _fill(self) -> None:
        while len(self._idle) + len(self._busy) < self._size:
            self._idle.append(self._fork())

    def _fork(self) -> HandlerProcess:
        return HandlerProcess(self._require_template())

    def _require_template(self) -> TemplateProcess:
        """Return the template; start one if there is none, or it was killed, and its idle processes with it."""
        if self._template is not None and not self._template.alive:
            _LOG.error('handlers.template_lost')
            for each in self._idle:
                each.close()
            self._idle.clear()
            self._template.stop()
            self._template = None
        if self._template is None:
            self._template = TemplateProcess(self._payload(), self._with_main)
        return self._template
