"""Shows the metrics: to the front door's ``/metrics``, or on a port of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, start_http_server
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pacifica.dispatcher._metrics import definitions
from pacifica.dispatcher._metrics.collector import DatabaseCollector
from pacifica.dispatcher._queue.overview import Overview
from pacifica.dispatcher.exceptions import ConfigurationError

__all__ = ['Exposition', 'serve_process']

_DIRECTORY = 'PROMETHEUS_MULTIPROC_DIR'


class Exposition:
    """What the front door serves under ``/metrics``, and its own part of it: what it received.

    :param overview: the table at a glance.
    :raises ConfigurationError: if the directory that processes were to share is none.
    """

    def __init__(self, overview: Overview) -> None:
        self._registry = _processes()
        self._registry.register(DatabaseCollector(overview))

    def expose(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text, in the format that the header *accept* asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def received(self, status: int, events: int) -> None:
        """Count a POST to ``/receive`` by its HTTP status, and the events in it that were accepted."""
        _requests(status).inc()
        if events:
            definitions.EVENTS_ACCEPTED.inc(events)


@lru_cache(maxsize=64)
def _requests(status: int) -> Counter:
    return definitions.RECEIVE_REQUESTS.labels(str(status))


def serve_process(port: int, host: str) -> Callable[[], None]:
    """Serve what this process counts (with a shared directory: all of them) on a port; return what stops that.

    :raises ConfigurationError: if it can't listen there, or the shared directory is none.
    """
    try:
        server, thread = start_http_server(port, host, _processes())
    except (OSError, OverflowError) as exc:
        raise ConfigurationError(f'can\'t serve metrics on port {port} of {host}: {exc}; choose another') from exc

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _processes() -> CollectorRegistry:
    """Return a registry of what processes count: this one, or all that share the directory."""
    registry = CollectorRegistry()
    directory = os.environ.get(_DIRECTORY)
    if directory is None:
        registry.register(REGISTRY)
        return registry
    if not os.path.isdir(directory):
        raise ConfigurationError(
            f'{_DIRECTORY} names no directory: make it, empty, before the first process starts')
    registry.register(_SharedDirectory(Path(directory)))
    return registry


class _SharedDirectory(Collector):
    """What all processes that share a directory count, together.

    Instead of collecting by :class:`MultiProcessCollector`, which fails at a file that a process has just made, or died
    while making: it is empty.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Return the sums of the files that have content."""
        files = [str(path) for path in self._directory.glob('*.db') if not _is_empty(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]  # typed in part
        return merged


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return False  # removed meanwhile: which files may be, merge() knows
