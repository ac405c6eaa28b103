"""Requests to one Pacifica service within a deadline, and which of their faults are transient.

Each transfer has a session of its own, with the settings of the client's session: that one is shared by all threads.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from urllib3.exceptions import HTTPError, NewConnectionError

from pacifica.dispatcher._transfers.deadline import Deadline, DeadlineAdapter
from pacifica.dispatcher._transfers.progress import IdleTimeout
from pacifica.dispatcher.exceptions import TransferError
from pacifica.dispatcher.task_context import Services, current_task

_LOG = logging.getLogger(__name__)
_T = TypeVar('_T')
_TRANSIENT = frozenset({502, 503, 504})
#: Of a transfer's time, this share, but not more than so many seconds, is kept for cleaning up behind it.
_CLEANING_SHARE, _CLEANING_MOST = 0.1, 2.0
#: With fewer seconds left, another try is not worth beginning.
_LEAST_LEFT = 0.02
_FIRST_POLL, _LAST_POLL = 0.05, 1.0
_INTERRUPTIONS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class Service:
    """One transfer's connection with a service; a context manager.

    :param session: the client's session, whose settings are used.
    :param auth: keywords for each request, as the Pacifica clients take them.
    :param timeout: wall-clock seconds for all of the transfer; without progress, if it is an :class:`.IdleTimeout`.
    :param request_timeout: seconds that the service may be silent in one request.
    :param kind: what people call the service.
    :param error: what is raised when the service fails.
    :param most_json: bytes of an answer that are read.
    """

    def __init__(
        self, session: Any, auth: Any, timeout: float, request_timeout: float, kind: str,
        error: type[TransferError] = TransferError, most_json: int = 4 << 20,
    ) -> None:
        self.error, self._most_json, self._kind = error, most_json, kind
        self._services = task.services if (task := current_task()) else Services()
        self._checked = False
        self._failing: tuple[float, TransferError] | None = None  # since when, and how
        self._client, self._auth = session, dict(auth or {})
        self._timeout, self._request_timeout = timeout, request_timeout
        idle = isinstance(timeout, IdleTimeout)
        #: What ends the transfer, in words.
        self.limit = f'{timeout:g} s without progress' if idle else f'the {timeout:g} s for this transfer'
        self._whole = Deadline(timeout, request_timeout)
        left = timeout - min(_CLEANING_MOST, timeout * _CLEANING_SHARE)
        self._connect(IdleTimeout(left) if idle else left)

    def _connect(self, seconds: float) -> None:
        self.deadline = Deadline(seconds, self._request_timeout)
        self.session = _session_like(self._client, self.deadline)

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        self.session.close()
        if isinstance(exc, TransferError) and exc.service is not None and exc.away is not None:
            self._services.away(exc.service, exc.away)
            return
        self._connect(min(2 * _CLEANING_MOST, self._whole.remaining))
        try:
            self.clean_up()
        finally:
            self.session.close()

    def clean_up(self) -> None:
        """Leave nothing behind at the service; overridden where there is something."""

    def progress(self) -> None:
        """Note that the transfer has come further."""
        self._whole.progress()
        self.deadline.progress()

    def out_of_time(self) -> bool:
        """Return whether the transfer's time is over."""
        return self.deadline.remaining <= 0

    def polls(self) -> Iterator[None]:
        """Yield with growing pauses, until the transfer's time is over.

        :raises TransferError: the service's own fault, if it goes on longer than there is patience with it.
        """
        pause = _FIRST_POLL
        while not self.out_of_time():
            yield
            if self._failing and self._is_too_long(self._failing[1], time.monotonic() - self._failing[0]):
                raise self._failing[1]
            self.deadline.sleep(pause)
            pause = min(pause * 1.5, _LAST_POLL)

    @contextmanager
    def request(self, method: str, url: str, *, accept: tuple[int, ...] = (200,), **kwargs: Any) -> Iterator[Any]:
        """Send a request and yield its :class:`requests.Response`, whose body is still to be read.

        :param accept: the statuses that are no fault.
        :raises TransferError: as :attr:`error`, ``transient`` if the fault is.
        """
        if self.out_of_time():
            raise self.error(f'{method} {shown_url(url)}: no time left of {self.limit}', transient=True)
        self._check(url)
        wait = self.deadline.to_send()
        with self.wrapped(method, url, before_answer=True):
            response = self.session.request(
                method, url, stream=True, timeout=(wait, wait), allow_redirects=method in ('GET', 'HEAD'),
                **{**self._auth, **kwargs},
            )
        with response:
            status = response.status_code
            if status not in accept:
                error = self.error(
                    f'{method} {shown_url(url)} was answered {status} {response.reason}: {self._said(response)}',
                    transient=status in _TRANSIENT, status=status)
                if status >= 500:
                    self._blame(error, url, f'{status} {response.reason}' if status in _TRANSIENT else None)
                raise error
            self._failing = None
            self._services.answered(self._name(url))
            yield response

    def _name(self, url: str) -> str:
        parts = urlsplit(url)
        return f'{self._kind} at {parts.scheme}://{parts.netloc.rpartition("@")[2]}'

    def _check(self, url: str) -> None:
        """Refuse to ask a service that is known to be away, unless it is this task's turn to."""
        if self._checked:
            return
        if (fault := self._services.fault(self._name(url))) is not None:
            error = self.error(f'{self._name(url)} is away: {fault}', transient=True)
            error.service, error.away = self._name(url), fault
            raise error
        self._checked = True

    def _blame(self, error: TransferError, url: str, away: str | None) -> None:
        """Note that *error* is the service's own fault, and since when it has failed."""
        error.service, error.away = self._name(url), away
        self._failing = (self._failing or (time.monotonic(), error))[0], error

    def _is_too_long(self, error: BaseException | None, seconds: float) -> bool:
        """Return whether *error* is the service's own fault, and has gone on longer than there is patience with it."""
        service = error.service if isinstance(error, TransferError) else None
        return service is not None and seconds >= self._services.patience(service)

    @contextmanager
    def wrapped(self, method: str, url: str, *, before_answer: bool = False) -> Iterator[None]:
        """Raise what the HTTP client and the network raise inside as :attr:`error`.

        :param before_answer: whether the service has answered nothing so far.
        """
        try:
            yield
        except (OSError, HTTPError) as exc:  # requests.RequestException is an OSError
            by_client = isinstance(exc, requests.RequestException) and not isinstance(exc, _INTERRUPTIONS)
            if by_client or isinstance(exc, requests.exceptions.SSLError):
                raise self.error(f'{method} {shown_url(url)} can\'t work: {reason(exc)}') from exc
            left = f' ({self.limit} are over)' if self.out_of_time() else ''
            error = self.error(f'{method} {shown_url(url)} was interrupted: {reason(exc)}{left}', transient=True)
            # That nobody listens is no fault of the transfer's own limit.
            if before_answer and (_is_unconnected(exc) or not self.out_of_time()):
                self._blame(error, url, reason(exc) if _is_unreachable(exc) else None)
            raise error from exc

    def get(self, url: str, kind: type[_T], **query: Any) -> _T:
        """Return the JSON of this *kind*, ``dict`` or ``list``, that a GET of *url* is answered with."""
        with self.request('GET', url, params=query) as response:
            return self.json_of(response, kind)

    def json_of(self, response: Any, kind: type[_T]) -> _T:
        """Return the JSON of *kind*, ``dict`` or ``list``, that *response* carries; else raise a transient fault."""
        try:
            found, what = json.loads(self._body(response)), f'JSON that is no {"object" if kind is dict else "array"}'
        except ValueError:
            found, what = None, 'something that is no JSON'
        if isinstance(found, kind):
            return found
        raise self.error(f'{response.request.method} {shown_url(response.url)} was answered with {what}',
                         transient=True, status=response.status_code)

    def _body(self, response: Any) -> bytes:
        body = b''
        with self.wrapped(response.request.method, response.url):
            for chunk in response.iter_content(1 << 16):
                body += chunk
                if len(body) > self._most_json:
                    break
        return body

    def _said(self, response: Any) -> str:
        """Return the service's own message about a fault."""
        if (header := response.headers.get('X-Pacifica-Message')) is not None:
            return tidy(header)
        try:
            text = self._body(response).decode('utf-8', 'replace')
        except TransferError:
            return '(the message was interrupted)'
        with suppress(KeyError, TypeError, ValueError):  # no object with a message: all of it is the message
            text = str(json.loads(text)['message'])
        return tidy(text)

    def retry(self, call: Callable[[], _T]) -> _T:
        """Return what *call* returns; repeat it, with growing pauses, while its fault is transient and time is left."""
        backoff = wait_random_exponential(multiplier=0.2, max=5, min=0.05)
        answered: TransferError | None = None
        before: TransferError | None = None

        def failed(state: RetryCallState) -> None:
            nonlocal answered, before
            fault = state.outcome.exception() if state.outcome else None
            before = fault if isinstance(fault, TransferError) else before
            if before is not None and before.status is not None and not self.out_of_time():
                answered = before
            _LOG.warning('transfer.retried', extra={'tries': state.attempt_number, 'error': str(fault)})

        retrying = Retrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, TransferError) and exc.transient),
            stop=lambda state: self.deadline.remaining < _LEAST_LEFT or self._is_too_long(
                state.outcome.exception() if state.outcome else None, state.seconds_since_start or 0.0),
            # Never past the deadline: the less time is left, the sooner the next try.
            wait=lambda state: min(backoff(state), self.deadline.remaining / 2),
            sleep=self.deadline.sleep, before_sleep=failed, reraise=True,
        )
        try:
            return retrying(call)
        except TransferError as exc:
            if exc.transient and answered is not None and self.out_of_time():
                # The deadline interrupted the last try: the service's last answer is the better message.
                raise self.error(
                    f'{answered} (tried until {self.limit} were over)', transient=True,
                    status=answered.status) from exc
            if exc.transient and before is not None and exc.status is None and exc.__cause__ is None:
                raise before from None  # this try was none: no time was left
            raise


def never_sent(error: TransferError) -> bool:
    """Return whether the request that failed so was never sent: to nobody who listens, or not even tried."""
    cause = error.__cause__
    return error.status is None and (
        cause is None or isinstance(cause, requests.ConnectTimeout) or _is_unconnected(cause))


def _is_unreachable(exc: BaseException) -> bool:
    """Return whether *exc* says that nobody listens, or nobody answers."""
    return isinstance(exc, requests.Timeout) or _is_unconnected(exc)


def _is_unconnected(exc: BaseException) -> bool:
    return isinstance(exc, requests.ConnectionError) and any(
        isinstance(getattr(each, 'reason', None), NewConnectionError) for each in exc.args)


def _session_like(client: Any, deadline: Deadline) -> requests.Session:
    session = requests.Session()
    for name in requests.Session.__attrs__:
        if name != 'adapters' and hasattr(client, name):
            setattr(session, name, getattr(client, name))
    session.headers = requests.structures.CaseInsensitiveDict(session.headers)
    session.headers['Accept-Encoding'] = 'identity'
    for prefix in ('https://', 'http://'):
        session.mount(prefix, DeadlineAdapter(deadline))
    # A client that was given adapters of another kind (a gateway's, a test's) keeps them, with their own time limits.
    for prefix, adapter in getattr(client, 'adapters', {}).items():
        if type(adapter) is not HTTPAdapter:
            session.mount(prefix, adapter)
    return session


def address_of(given: str | None, prefix: str, port: int) -> str:
    """Return where a service is: *given*, else where the environment says as for Pacifica's clients, else here."""
    host, at = os.environ.get(f'{prefix}_ADDR', '127.0.0.1'), os.environ.get(f'{prefix}_PORT', str(port))
    return given or f'http://{host}:{at}'


def shown_url(url: str) -> str:
    """Return *url* without what may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition('@')[2]
    return f'{parts.scheme}://{host}{parts.path}'


def tidy(text: str, most: int = 600) -> str:
    """Return a service's message on one line: without the frames of its tracebacks, and not too long."""
    text = re.split(r'\W*traceback\W*:', text, maxsplit=1, flags=re.IGNORECASE)[0] if '\\n' in text else text
    text = re.sub(r'\W*Traceback \(most recent call last\):', '', text)
    lines = [line for line in text.splitlines() if line.strip(' )') and not line.startswith(' ')]
    joined = '; '.join(dict.fromkeys(line.strip() for line in lines)) or 'no message'
    return joined if len(joined) <= most else f'{joined[:most]}...'


def reason(exc: BaseException) -> str:
    """Return what is at the bottom of an HTTP client's error, without the URL that its text repeats."""
    seen: list[BaseException] = []
    todo: list[BaseException] = [exc]
    while todo:
        found = todo.pop(0)
        seen.append(found)
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        near = [found.__cause__, found.__context__, getattr(found, 'reason', None), *found.args]
        todo += [one for one in near if isinstance(one, BaseException) and one not in seen]
    if any(isinstance(one, TimeoutError) or 'Timeout' in type(one).__name__ for one in seen):
        return 'no answer in time'
    return type(seen[-1]).__name__
