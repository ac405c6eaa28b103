"""A receiver, as its clients see it: takes events, tells what became of them, and whether it is up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_result, stop_before_delay
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.event_files import FileEvent, Mode, request_for
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher._operate.words import one_line
from pacifica.dispatcher._queue.status import FINAL

_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
#: Statuses that every event would be answered with, and what to check.
_NOT_THE_EVENT = {
    401: 'it wants credentials: give --token-file, --token-env or --user, or check what they hold',
    403: 'these credentials don\'t give the right to do that here',
    404: 'check the path of the URL',
    405: 'check the path of the URL',
}
_POLL_FIRST, _POLL_MOST = 0.05, 2.0  # seconds


@dataclass
class Sent:
    """An event, and what the receiver said to it."""

    event: FileEvent
    task_id: str | None = None  # which not each receiver gives
    refusal: str | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)  # the fields that it named, and why
    status: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.refusal is not None or self.status in FINAL


class ReceiverClient:
    """A receiver of events, over HTTP.

    :param target_url: where events are posted; ``/receive`` is added to a URL without a path.
    :param retry_for: seconds to go on trying, for each event, while the receiver says when to try again.
    """

    def __init__(self, target_url: str, client: HttpClient, retry_for: float = 0.0) -> None:
        self._parts = urlsplit(target_url)
        if self._parts.path in ('', '/'):
            self._parts = self._parts._replace(path='/receive')
        self.target_url = urlunsplit(self._parts)
        self._client = client
        self._retry_for = retry_for

    @classmethod
    def mounted_at(cls, url: str, client: HttpClient) -> ReceiverClient:
        """Return the receiver that is mounted at *url*, which may end in ``/receive``."""
        return cls(f'{url.rstrip("/").removesuffix("/receive")}/receive', client)

    def url_of(self, path: str) -> str:
        """Return where one of its resources is; the empty *path* is where it is mounted."""
        base, found, last = self._parts.path.rstrip('/').rpartition('/')
        if not found or last != 'receive':
            raise ClientError(
                f'{self.target_url} doesn\'t end in /receive: where statuses are isn\'t known, leave --wait out')
        return urlunsplit(self._parts._replace(path=base + path))

    def get(self, path: str) -> requests.Response:
        return self._client.request('GET', self.url_of(path))

    def fault(self) -> str | None:
        """Return why no event should be sent to it now; where it has no ``/health/ready``, any answer is fine."""
        try:
            status = self.get('/health/ready').status_code
        except ClientError as exc:
            return exc.message
        if status >= 500:  # its own 503, or that of a proxy which doesn't reach it
            return f'{self.url_of("/health/ready")} was answered {status}: it is up, but can\'t take events now'
        return None

    def send(self, events: Iterable[FileEvent], mode: Mode) -> Iterator[Sent]:
        """Post each of *events* and yield what came of it; an error if the receiver refuses whatever is sent."""
        messages = [(event, request_for(event, mode)) for event in events]  # first, so that nothing is sent in half
        for event, message in messages:
            yield _sent(event, self._patiently('POST', self.target_url, data=message.body, headers=message.headers))

    def wait(self, all_sent: Iterable[Sent], seconds: float, on_end: Callable[[], None]) -> None:
        """Ask for statuses until all are final, or *seconds* are over; call *on_end* for each event that has ended."""
        deadline = time.monotonic() + seconds
        pause = _POLL_FIRST
        waiting = [sent for sent in all_sent if not sent.finished]
        while waiting:
            for sent in waiting:
                sent.status = self._status(sent.task_id)
                if sent.finished:
                    on_end()
            waiting = [sent for sent in waiting if not sent.finished]
            left = deadline - time.monotonic()
            if not waiting or left <= 0:
                return
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _POLL_MOST)

    def _status(self, task_id: str | None) -> str:
        if task_id is None:
            raise ClientError(f'{self.target_url} gives no task ids, so nothing can be waited for: leave --wait out')
        url = self.url_of(f'/status/{task_id}')
        response = self._patiently('GET', url)
        status = _json(response)
        if response.status_code != HTTPStatus.OK or not isinstance(status, str):
            raise ClientError(f'{url} answered {_line(response)}: {_advice(response)}')
        return status

    def _patiently(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Return the response, of a later try if the receiver said when to try again."""
        retrying = Retrying(
            retry=retry_if_result(lambda response: _retry_after(response) is not None),
            wait=lambda state: _retry_after(_response_of(state)) or 0.1,
            stop=stop_before_delay(self._retry_for), retry_error_callback=_response_of,
        )
        response: requests.Response = retrying(self._client.request, method, url, **kwargs)
        return response


def _sent(event: FileEvent, response: requests.Response) -> Sent:
    if response.status_code // 100 == 2:
        return Sent(event, _task_id(response))
    if response.status_code // 100 == 3 or response.status_code in _NOT_THE_EVENT:
        raise ClientError(f'{response.url} answered {_line(response)}: {_advice(response)}')
    said = _json(response)
    said = said if isinstance(said, dict) else {}
    message, faults = said.get('message'), said.get('faults')
    refusal = f'{_line(response)}: {message}' if message else _line(response)
    return Sent(event, refusal=refusal, faults=[
        (str(each.get('field')), str(each.get('message'))) for each in faults or () if isinstance(each, dict)
    ])


def _task_id(response: requests.Response) -> str | None:
    if not response.content:
        return None
    found = _json(response)
    if not isinstance(found, str):
        raise ClientError(
            f'{response.url} answered {_line(response)}, but no task id: is it where events are received?')
    return found


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds after which to try again (RFC 9110, section 10.2.3), ``None`` if that isn't asked for."""
    value = response.headers.get('Retry-After', '').strip()
    if response.status_code not in _LATER or not value:
        return None
    try:
        return Retry().parse_retry_after(value)
    except HTTPError:  # neither seconds nor a date
        return None


def _response_of(state: RetryCallState) -> requests.Response:
    assert state.outcome is not None
    response: requests.Response = state.outcome.result()
    return response


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
