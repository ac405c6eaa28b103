"""What Prometheus sees: the one door for prometheus_client, extra ``metrics``. See ``docs/monitoring.rst``."""

from pacifica.dispatcher._metrics.exposition import Exposition, serve_process
from pacifica.dispatcher._metrics.observer import CountingObserver, subscription_observer

__all__ = ['CountingObserver', 'Exposition', 'serve_process', 'subscription_observer']
