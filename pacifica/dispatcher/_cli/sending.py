"""What ``send`` does: posts events to a receiver, one request each, and asks what became of them."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tenacity import RetryCallState, Retrying, retry_if_result, stop_before_delay

from pacifica.dispatcher._cli.binding import Mode, request_for
from pacifica.dispatcher._cli.client import HttpClient
from pacifica.dispatcher._cli.errors import UsageFault, one_line
from pacifica.dispatcher._cli.event_files import FileEvent

if TYPE_CHECKING:
    import requests

__all__ = ['OK', 'Receiver', 'Sent']

OK = '200 OK'
_UNFINISHED = ('202 Accepted', '102 Processing')
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
#: Statuses that every event would be answered with, and what to check.
_NOT_THE_EVENT = {
    401: 'it wants credentials: give --token-file, --token-env or --user, or check what they hold',
    403: 'these credentials don\'t give the right to do that here',
    404: 'check the path of the URL',
    405: 'check the path of the URL',
}
_POLL_FIRST, _POLL_MOST = 0.05, 2.0
_RETRY_MOST = 60.0


@dataclass
class Sent:
    """An event, and what the receiver said to it.

    :param task_id: the task's id; ``None`` if it was refused, or the receiver gives none.
    :param refusal: what the receiver said, if it was refused.
    :param faults: the fields it named, as ``(field, reason)``.
    :param status: the status of the task, once it was asked for.
    """

    event: FileEvent
    task_id: str | None = None
    refusal: str | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)
    status: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.refusal is not None or (self.status is not None and self.status not in _UNFINISHED)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {
            'event': self.event.name, 'eventID': self.event.event_id or None, 'taskID': self.task_id,
            'accepted': self.refusal is None, 'taskStatus': self.status, 'message': self.refusal,
            'faults': [{'field': name, 'message': reason} for name, reason in self.faults],
        }


class Receiver:
    """A receiver of events, over HTTP.

    :param url: where events are posted; ``/receive`` is added to a URL without a path.
    :param client: makes the requests.
    :param retry_for: seconds to go on trying, for each event, while the receiver says when to try again.
    """

    def __init__(self, url: str, client: HttpClient, retry_for: float = _RETRY_MOST) -> None:
        self._parts = urlsplit(url)
        if self._parts.path in ('', '/'):
            self._parts = self._parts._replace(path='/receive')
        self.url = urlunsplit(self._parts)
        self._client = client
        self._retry_for = retry_for

    def send(self, events: Iterable[FileEvent], mode: Mode) -> Iterator[Sent]:
        """Post each of *events* and yield what came of it.

        :raises UsageFault: if the receiver can't be reached, or refuses whatever is sent.
        """
        requests_ = [(event, request_for(event, mode)) for event in events]  # first, so that nothing is sent in half
        for event, message in requests_:
            response = self._patiently('POST', self.url, data=message.body, headers=message.headers)
            yield self._sent(event, response)

    def status_url(self, task_id: str) -> str:
        """Return where the status of a task is.

        :raises UsageFault: if the URL doesn't say where that is.
        """
        base, found, last = self._parts.path.rstrip('/').rpartition('/')
        if not found or last != 'receive':
            raise UsageFault(f'{self.url} doesn\'t end in /receive: where statuses are isn\'t known, leave --wait out')
        return urlunsplit(self._parts._replace(path=f'{base}/status/{task_id}'))

    def wait(self, all_sent: Iterable[Sent], seconds: float, tell: Callable[[Sent], None]) -> None:
        """Ask for statuses until all are final, or *seconds* are over; *tell* gets each whose event has ended.

        :raises UsageFault: if the receiver can't be asked.
        """
        deadline = time.monotonic() + seconds
        pause = _POLL_FIRST
        waiting = [sent for sent in all_sent if not sent.finished]
        while waiting:
            for sent in waiting:
                self._ask(sent)
                if sent.finished:
                    tell(sent)
            waiting = [sent for sent in waiting if not sent.finished]
            left = deadline - time.monotonic()
            if not waiting or left <= 0:
                return
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _POLL_MOST)

    def _ask(self, sent: Sent) -> None:
        if sent.task_id is None:
            raise UsageFault(f'{self.url} gives no task ids, so nothing can be waited for: leave --wait out')
        url = self.status_url(sent.task_id)
        response = self._patiently('GET', url)
        status = _json(response)
        if response.status_code != HTTPStatus.OK or not isinstance(status, str):
            raise UsageFault(f'{url} answered {_line(response)}: {_advice(response)}')
        sent.status = status

    def _patiently(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Return the response, of a later try if the receiver said when to try again."""
        retrying = Retrying(
            retry=retry_if_result(lambda response: _retry_after(response) is not None),
            wait=_as_told, stop=stop_before_delay(self._retry_for), retry_error_callback=_last_response,
        )
        response: requests.Response = retrying(self._client.request, method, url, **kwargs)
        return response

    def _sent(self, event: FileEvent, response: requests.Response) -> Sent:
        if response.status_code // 100 == 2:
            return Sent(event, self._task_id(response))
        if response.status_code // 100 == 3 or response.status_code in _NOT_THE_EVENT:
            raise UsageFault(f'{self.url} answered {_line(response)}: {_advice(response)}')
        said = _json(response)
        said = said if isinstance(said, dict) else {}
        message, faults = said.get('message'), said.get('faults')
        refusal = f'{_line(response)}: {message}' if message else _line(response)
        return Sent(event, refusal=refusal, faults=[
            (str(each.get('field')), str(each.get('message'))) for each in faults or () if isinstance(each, dict)
        ])

    def _task_id(self, response: requests.Response) -> str | None:
        """Return the task id in the answer to an event that was accepted; ``None`` if the receiver gives none."""
        if not response.content:
            return None
        found = _json(response)
        if not isinstance(found, str):
            raise UsageFault(f'{self.url} answered {_line(response)}, but no task id: is it where events are received?')
        return found


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds after which to try again (RFC 9110, section 10.2.3), ``None`` if that isn't asked for."""
    value = response.headers.get('Retry-After', '').strip()
    if response.status_code not in _LATER or not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _as_told(state: RetryCallState) -> float:
    assert state.outcome is not None
    return _retry_after(state.outcome.result()) or 0.1


def _last_response(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()


def _json(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _line(response: requests.Response) -> str:
    return one_line(f'{response.status_code} {response.reason}')


def _advice(response: requests.Response) -> str:
    location = response.headers.get('Location')
    if response.status_code // 100 == 3 and location:
        return f'events are not sent on to where it leads, {one_line(location)}; check the URL'
    return _NOT_THE_EVENT.get(response.status_code, 'is it where events are received?')
