"""Clients of services, for the command line: of a receiver, and of Pacifica Notifications, which send it events."""

from pacifica.dispatcher.exceptions import DispatcherError


class ClientError(DispatcherError):
    """A service can't be used, or can't be sent what it should be; the message says which, why, and what to check."""

    @property
    def message(self) -> str:
        return str(self)
