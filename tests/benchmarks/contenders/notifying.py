"""The handler of the services that are measured: it says that it ran, on a datagram socket of the measurer's.

The environment variable ``BENCH_NOTIFY`` holds the socket's path; without it nothing is said. ``BENCH_WORK`` is what a
handler does besides: ``sleep 5`` stands for waiting 5 ms for a service, ``busy 5`` computes for 5 ms.
"""

import os
import socket
import time

from pacifica.dispatcher.event_handlers import EventHandler

_PATH = os.environ.get('BENCH_NOTIFY')
_SOCKET = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
_KIND, _, _MILLISECONDS = os.environ.get('BENCH_WORK', ' 0').partition(' ')
_SECONDS = float(_MILLISECONDS) / 1000


class Notify(EventHandler):
    """Sends the id of each event."""

    def handle(self, event):
        """Send it; blocks while the measurer's buffer is full, so none is lost."""
        if _KIND == 'sleep':
            time.sleep(_SECONDS)
        elif _KIND == 'busy':
            until = time.thread_time() + _SECONDS
            while time.thread_time() < until:
                pass
        if _PATH:
            _SOCKET.sendto(event.event_id.encode(), _PATH)
