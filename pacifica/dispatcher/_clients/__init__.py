"""Clients of services: of a receiver of events, and of Pacifica Notifications, which send them.

:mod:`.http` makes the requests; :mod:`.event_files` reads events and :mod:`.receiver_client` posts them; by a
:mod:`.subscription` a receiver gets events, and :mod:`.subscription_keeper` keeps it enabled. Used by the command line.
"""

from __future__ import annotations

from pacifica.dispatcher.exceptions import DispatcherError

__all__ = ['ClientError']


class ClientError(DispatcherError):
    """A service can't be used, or can't be sent what it should be; the message says which, why, and what to check."""

    @property
    def message(self) -> str:
        """The message, in one line."""
        return str(self)
