"""A worker that starts and stops with CherryPy's engine."""

from __future__ import annotations

from typing import Any, Protocol

from cherrypy.process.plugins import SimplePlugin

__all__ = ['WorkerPlugin']


class Startable(Protocol):
    """Handles stored events, in threads or processes of its own: a worker of ours, or the application's own."""

    def start(self) -> None:
        """Begin to take events; returns immediately."""

    def stop(self) -> None:
        """Take no more events, and return when the running ones have ended."""


class WorkerPlugin(SimplePlugin):  # type: ignore[misc]  # CherryPy has no types
    """Starts a worker when *bus* starts, after the HTTP server listens, and stops it when *bus* stops.

    :param bus: the engine, ``cherrypy.engine``.
    :param worker: anything with ``start()`` and ``stop()``, such as ``queue.create_worker()``.

    Call ``subscribe()`` on it. On ``stop`` the server stops first (its priority is 25), so that no more events are
    accepted; then the worker.
    """

    def __init__(self, bus: Any, worker: Startable) -> None:
        super().__init__(bus)
        self.worker = worker

    def start(self) -> None:
        """Start the worker."""
        self.bus.log('Starting the dispatcher\'s worker')
        self.worker.start()

    start.priority = 80  # type: ignore[attr-defined]  # as CherryPy wants it; its HTTP server has 75

    def stop(self) -> None:
        """Stop the worker; returns when its running events have ended."""
        self.bus.log('Stopping the dispatcher\'s worker')
        self.worker.stop()

    stop.priority = 30  # type: ignore[attr-defined]  # after the HTTP server, which has 25
