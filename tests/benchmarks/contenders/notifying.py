"""The handler of the services that are measured: it only says that it ran, on a datagram socket of the measurer's.

The environment variable ``BENCH_NOTIFY`` holds the socket's path; without it the handler does nothing.
"""

import os
import socket

from pacifica.dispatcher.event_handlers import EventHandler

_PATH = os.environ.get('BENCH_NOTIFY')
_SOCKET = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


class Notify(EventHandler):
    """Sends the id of each event."""

    def handle(self, event):
        """Send it; blocks while the measurer's buffer is full, so none is lost."""
        if _PATH:
            _SOCKET.sendto(event.event_id.encode(), _PATH)
