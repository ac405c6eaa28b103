"""What Prometheus sees: the one door for prometheus_client, extra ``metrics``.

Counted in the process, or with ``PROMETHEUS_MULTIPROC_DIR`` in files that all processes share: how attempts end and
what the front door answers. Read from the database when it is scraped: what waits and who works. Imported by the
receiver factory if metrics are wanted, and by the command line; see ``docs/monitoring.rst``.
"""

from __future__ import annotations

from pacifica.dispatcher._metrics.exposition import Exposition, serve_process
from pacifica.dispatcher._metrics.observer import CountingObserver

__all__ = ['CountingObserver', 'Exposition', 'serve_process']
