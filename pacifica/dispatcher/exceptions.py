"""Every error this library raises, as one tree under :class:`DispatcherError`.

Each class says in its docstring what happened and what to do about it. All of them survive :mod:`pickle`, because they
cross process boundaries (worker processes, Celery): what can't be pickled is replaced by ``None``, never an error.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudevents.model import Event

__all__ = [
    'CancelledError', 'CommandError', 'ConfigurationError', 'DatabaseUnavailableError', 'DeliveryError',
    'DispatcherError', 'DownloadError', 'EventError', 'HandlerTimeoutError', 'InvalidEventError', 'LeaseLostError',
    'QueueFullError', 'RetryLater', 'RouteNotFoundRouterError', 'RouterError', 'StagingError',
    'TransactionDuplicateAttributeError', 'TransferError', 'UnsafePathError', 'UploadError', 'WorkerLostError',
]


def _picklable(value: Any) -> Any:
    """Return *value*, or ``None`` if it holds something (a lock, a session) that can't be pickled."""
    try:
        pickle.dumps(value)
    except Exception:  # any class: __reduce__ of a stranger's object may raise what it likes
        return None
    return value


class DispatcherError(Exception):
    """Base of every error of this library: catch it to catch them all."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild without calling ``__init__``, whose signature differs from class to class."""
        state = {name: _picklable(value) for name, value in self.__dict__.items()}
        return _rebuild, (type(self), tuple(_picklable(arg) for arg in self.args)), state


def _rebuild(cls: type[DispatcherError], args: tuple[Any, ...]) -> DispatcherError:
    error = cls.__new__(cls)
    error.args = args
    return error


class ConfigurationError(DispatcherError):
    """What was configured can't work; the message says which setting, why, and what to use instead."""


class EventError(DispatcherError):
    """Something is wrong with this event.

    :param event: the event, kept as the attribute ``event``.
    """

    def __init__(self, event: Event | None) -> None:
        super().__init__(event)
        self.event = event

    def __str__(self) -> str:
        return f'event {getattr(self.event, "event_id", None)!r} can\'t be used'


class TransactionDuplicateAttributeError(EventError):
    """A field of the ``Transactions`` table appears more than once in one event, or an upload was given an ``_id``.

    :param event: the event that repeats the field, kept as ``event``; ``None`` if the transaction has no event.
    :param name: the field's name without its table, for example ``_id``, kept as ``name``.
    """

    def __init__(self, event: Event | None, name: str) -> None:
        super().__init__(event)
        self.name = name

    def __str__(self) -> str:
        return f"field 'Transactions.{self.name}' is already defined: leave one of the two out"


class InvalidEventError(DispatcherError, ValueError):
    """What was received is not a CloudEvent that can be accepted; nothing was stored.

    :param message: what is wrong, safe to show to the sender.
    :param faults: every fault found as ``(field, what is wrong with it)``, kept as ``faults``.
    :param status: the HTTP status code that tells the sender, kept as ``status``.
    """

    def __init__(self, message: str, faults: Sequence[tuple[str, str]] = (), status: int = 400) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        self.status = status


class RouterError(DispatcherError):
    """Something is wrong with routing.

    :param router: the :class:`~pacifica.dispatcher.router.Router`, kept as ``router``; ``None`` after pickling if its
        handlers can't be pickled.
    """

    def __init__(self, router: Any) -> None:
        super().__init__()
        self.router = router


class RouteNotFoundRouterError(RouterError):
    """No route matches the event: add one with ``Router.add_route``, or narrow what is sent to this receiver.

    :param router: the router that was asked, kept as ``router``.
    :param event_data: the event as the routes saw it, kept as ``event_data``.
    """

    def __init__(self, router: Any, event_data: Mapping[str, Any]) -> None:
        super().__init__(router)
        self.event_data = event_data

    def __str__(self) -> str:
        return 'route not found'


class UnsafePathError(DispatcherError, ValueError):
    """A path that an event, an archive or a file system names would leave its directory, or can be no file in it."""


class StagingError(DispatcherError):
    """Files could not be staged in or out; the message names the file or the service."""


class TransferError(StagingError):
    """A transfer to or from a Pacifica service failed.

    :param message: what happened, to which file, job or URL (without credentials).
    :param transient: whether the cause may pass, so that trying again later makes sense; kept as ``transient``.
    :param status: the HTTP status code of the service's answer, if there was one; kept as ``status``.

    ``service`` names the service, if the fault is its own: it can't be reached, or answers 5xx. ``away`` says why it
    can serve nobody, if it can't be reached or answers 502 to 504.
    """

    service: str | None = None
    away: str | None = None

    def __init__(self, message: str, *, transient: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.transient = transient
        self.status = status


class DownloadError(TransferError):
    """The files of an event could not be fetched, or are not what the event says; the message names each."""


class UploadError(TransferError):
    """Ingest did not confirm the upload: check the job it names before you upload again.

    :param job_id: the ingest job, if one was started; kept as ``job_id``.
    :param state: Ingest's last answer about the job, kept as ``state``.
    """

    def __init__(
        self, message: str, *, transient: bool = False, status: int | None = None, job_id: int | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, transient=transient, status=status)
        self.job_id = job_id
        self.state = dict(state or {})


class RetryLater(DispatcherError):
    """Raised by a handler that wants its event again later; doesn't count as an attempt within the queue's patience.

    :param seconds: how long to wait at least; ``None`` leaves it to the queue. Kept as ``seconds``.
    :param reason: shown as the event's last error while it waits.
    """

    def __init__(self, seconds: float | None = None, reason: str = 'the handler asked to be run again later') -> None:
        super().__init__(reason)
        self.seconds = seconds


class DeliveryError(DispatcherError):
    """An outgoing event did not reach its receiver; the message says what it answered. Retry the event when it does."""


class CommandError(DispatcherError):
    """A program that handles events could not be run, or ended with an exit code; the message ends with its stderr.

    :param code: its exit code, negative for a signal, kept as ``code``; ``None`` if it did not run.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class HandlerTimeoutError(DispatcherError):
    """The handler ran longer than ``handler_timeout``, or a program than its timeout, and was killed."""


class CancelledError(DispatcherError):
    """Somebody cancelled the event while it ran; let it pass, so that the event ends. It is never tried again."""


class LeaseLostError(DispatcherError):
    """This worker no longer holds the event's lease (it was too slow to renew it): another may be running it."""


class WorkerLostError(DispatcherError):
    """The worker died on every allowed attempt at this event: look for what kills it, then retry the event."""


class QueueFullError(DispatcherError):
    """More events are waiting than ``max_backlog`` allows: send again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DatabaseUnavailableError(DispatcherError):
    """The queue's database did not answer in time: nothing was accepted or changed; try again."""
