"""What happens when an event ends: callbacks, and outgoing events to other receivers.

.. code-block:: python

    from pacifica.dispatcher.authentication import Secret
    from pacifica.dispatcher.hooks import Notify

    queue = ReceiveTaskModel.create_queue(
        router, 'my.app', 'my.tasks.receive',
        on_failed=lambda task: print(task.task_id, task.exc_type, task.exc_value),
        notify=Notify('https://other.example.org/receive', token=Secret.from_environment('OTHER_TOKEN')),
    )

A callback is called at most once for each end: a process that dies between the commit and the call never calls it. An
outgoing event is stored in the transaction that ends the event, and sent at least once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union
from urllib.parse import urlsplit
from uuid import UUID

from cloudevents.model import Event

from pacifica.dispatcher import _events
from pacifica.dispatcher.authentication import Secret, signature_headers
from pacifica.dispatcher.exceptions import ConfigurationError

__all__ = ['FAILED', 'FINISHED', 'Callback', 'FinishedTask', 'Notify', 'Notifies', 'listed']

#: The type of an outgoing event about an event that ended in ``200 OK``.
FINISHED = 'org.pacifica.dispatcher.task.finished'

#: The type of an outgoing event about an event that ended in any other status.
FAILED = 'org.pacifica.dispatcher.task.failed'


@dataclass(frozen=True)
class FinishedTask:
    """An event that has ended.

    :param task_id: the id that ``POST /receive`` answered.
    :param status: ``'200 OK'``, ``'422 Unprocessable Entity'`` or ``'500 Internal Server Error'``.
    :param event_json: the event, as the JSON text in which it is stored.
    :param attempts: how often it was run.
    :param route: the path of the route that took it, and the class of its handler; ``None`` if there was none.
    :param exc_type: the class of the exception that ended it, ``None`` after ``200 OK``.
    :param exc_value: the text of that exception.
    :param result: what its handler has saved (see ``TaskContext.save_result``), ``None`` if nothing. If the handler's
        process died, what earlier attempts had saved.
    :param seconds: wall-clock seconds that the last attempt took.
    """

    task_id: UUID
    status: str
    event_json: str = field(repr=False)
    attempts: int = 1
    route: str | None = None
    exc_type: str | None = None
    exc_value: str | None = None
    result: Mapping[str, Any] | None = field(default=None, hash=False)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it ended in another status than ``200 OK``."""
        return self.status != '200 OK'

    @cached_property
    def event(self) -> Event:
        """The event as its handler got it, decoded when it is first asked for."""
        return _events.to_event(_events.loads(self.event_json))


#: What ``on_finished`` and ``on_failed`` take. What it returns doesn't matter.
Callback = Callable[[FinishedTask], object]


@dataclass(frozen=True, repr=False)
class Notify:
    """A receiver that gets a CloudEvent 1.0 for each event that ends; another dispatcher, for example.

    :param url: where it is posted to, ``http`` or ``https``. User, path and query are shown nowhere.
    :param token: sent as a bearer token.
    :param signing_secret: signs each delivery by Standard Webhooks (https://www.standardwebhooks.com); needs the
        package ``standardwebhooks``, the extra ``webhooks``.
    :param event_types: the types of events whose ends are sent; by default all but outgoing events themselves: two
        dispatchers that notify each other would do so for ever.
    :param only_failed: whether ends in ``200 OK`` are left out.
    :param timeout: seconds that one delivery may take.
    :param name: tells this receiver from others of the same queue. Events that wait to be sent keep it: don't change it
        while some do.
    :raises ConfigurationError: for a setting that can't work.
    """

    url: str
    token: Secret | None = None
    signing_secret: Secret | None = None
    event_types: Collection[str] | None = None
    only_failed: bool = False
    timeout: float = 15.0
    name: str = 'notify'

    def __post_init__(self) -> None:
        self._check_url()
        self._check_secrets()
        if isinstance(self.event_types, str):
            raise ConfigurationError(f'notify {self.name!r}: event_types must be a list, for example '
                                     f'[{self.event_types!r}]')
        if self.timeout <= 0:
            raise ConfigurationError(f'notify {self.name!r}: timeout must be more than 0, not {self.timeout!r}')
        if not 0 < len(self.name) <= 100:
            raise ConfigurationError('notify: name must have 1 to 100 characters')

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ('http', 'https') and bool(parts.hostname) and parts.port != 0
        except ValueError:  # whose text may quote what is secret in the URL
            good = False
        if not good:
            raise ConfigurationError(f'notify {self.name!r}: the URL must be http://HOST/… or https://HOST/…')
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(f'notify {self.name!r}: no user or password in the URL: give token a Secret')

    def _check_secrets(self) -> None:
        if not all(each is None or isinstance(each, Secret) for each in (self.token, self.signing_secret)):
            raise ConfigurationError(f'notify {self.name!r}: token and signing_secret must be a Secret: '
                                     'Secret.from_environment(...)')
        if self.token is not None and not re.fullmatch(r'[!-~]+', self.token.reveal()):
            raise ConfigurationError(f'notify {self.name!r}: a token has only printable ASCII, and no white space')
        if self.signing_secret is not None:
            signature_headers(self.signing_secret, '', '')

    def __repr__(self) -> str:
        return f'Notify({self.origin}, name={self.name!r})'

    @property
    def origin(self) -> str:
        """Where the receiver is, without what may be secret: scheme, host and port."""
        parts = urlsplit(self.url)
        host = f'[{parts.hostname}]' if ':' in (parts.hostname or '') else parts.hostname
        return f'{parts.scheme}://{host}' + (f':{parts.port}' if parts.port else '')

    def wants(self, event_type: str, failed: bool) -> bool:
        """Return whether the end of an event of this type is sent."""
        if self.only_failed and not failed:
            return False
        if self.event_types is None:
            return event_type not in (FINISHED, FAILED)
        return event_type in self.event_types


#: What ``notify=`` takes.
Notifies = Union[Notify, Sequence[Notify], None]


def listed(notify: Notifies) -> Sequence[Notify]:
    """Return what ``notify=`` was given as a list.

    :raises ConfigurationError: if two of them have the same name, or one is no :class:`Notify`.
    """
    found = () if notify is None else (notify,) if isinstance(notify, Notify) else tuple(notify)
    if not all(isinstance(each, Notify) for each in found):
        raise ConfigurationError('notify must be a Notify, or several: Notify("https://other.example.org/receive")')
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ConfigurationError(f'each Notify of a queue needs a name of its own, not {", ".join(sorted(names))}')
    return found
