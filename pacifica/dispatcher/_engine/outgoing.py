"""Outgoing events: those about an event that has ended, and sending them, in the process that has claimed them.

So the credentials go to no other. No error holds a credential, or more of a URL than the host.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pacifica.dispatcher import _events
from pacifica.dispatcher._engine.executor import RetryPolicy
from pacifica.dispatcher._engine.extensions import Extension
from pacifica.dispatcher._lineage import transaction_id
from pacifica.dispatcher._queue.values import OUTGOING_ATTEMPTS, ClaimedEvent, Outcome, Outgoing
from pacifica.dispatcher._transfers.deadline import Deadline, DeadlineAdapter
from pacifica.dispatcher._transfers.service import reason, tidy
from pacifica.dispatcher.authentication import signature_headers
from pacifica.dispatcher.exceptions import DeliveryError, InvalidEventError, RetryLater
from pacifica.dispatcher.hooks import FAILED, FINISHED, FinishedTask, Notify

_TRACE_PARENT = re.compile(r'[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]*', re.ASCII)
_TRACE_STATE = re.compile(r'[ -~]{1,512}', re.ASCII)
#: So that an outgoing event, however large the one it is about, stays far below what any database or receiver takes.
_CHARACTERS, _RESULT_CHARACTERS = 2_000, 64_000

#: Tries over about an hour: after 5 s, 15 s, 45 s, 2 min, 7 min, 20 min and 30 min, less up to half of each.
_POLICY = RetryPolicy(max_attempts=OUTGOING_ATTEMPTS, base=5.0, factor=3.0, longest=1800.0)
_LONGEST_WAIT = 3600.0  # seconds, whatever a Retry-After asks for
_TRANSIENT = frozenset({408, 425, 429})
_ABSENCE = 5.0  # seconds
_ANSWER_BYTES = 2_000
_SECRET_CHARACTERS = 16  # parts of a path that are as long may be credentials, as those of chats' webhooks are


class FinishedEvents(Extension):
    """Makes the outgoing events about an end: one for each receiver that wants it, with the same id."""

    def __init__(self, application: str, receivers: Sequence[Notify]) -> None:
        self._source = quote(application, safe='/') or '/'
        self._receivers = receivers

    def outgoing(self, task: FinishedTask) -> Sequence[Outgoing]:
        """Return the events about *task*."""
        about = _events.identify(task.event_json)
        destinations = [each.name for each in self._receivers if each.wants(about.event_type or '', task.failed)]
        if not destinations:
            return ()
        try:
            event = self._event(task, about, _small(task.result))
        except InvalidEventError:  # nested deeper than a receiver takes
            event = self._event(task, about, None)
        return [Outgoing(event, destination) for destination in destinations]

    def _event(
        self, task: FinishedTask, about: _events.Identity, result: Mapping[str, Any] | None,
    ) -> _events.ReceivedEvent:
        data = {
            'taskID': str(task.task_id),
            'status': task.status,
            'eventType': _cut(about.event_type or ''),
            'eventID': _cut(about.event_id or ''),
            'source': _cut(about.source or ''),
            'transactionID': transaction_id(task.event_json),
            'route': _cut(task.route),
            'attempts': task.attempts,
            'exceptionType': _cut(task.exc_type),
            'exceptionValue': _cut(task.exc_value),
            'result': result,
        }
        return _events.from_dict({
            'specversion': '1.0',
            'type': FAILED if task.failed else FINISHED,
            'source': self._source,
            # One that is retried by hand ends again: that is another event.
            'id': f'{task.task_id}.{secrets.token_hex(6)}',
            'subject': str(task.task_id),
            'time': datetime.now(timezone.utc).isoformat().replace('+00:00', 'Z'),
            'datacontenttype': 'application/json',
            **_trace(about.traceparent, about.tracestate),
            'data': data,
        })


def _trace(parent: str | None, state: str | None) -> dict[str, str]:
    """Return the extensions by which a trace goes on (CloudEvents, extension "Distributed Tracing")."""
    if parent is None or not _TRACE_PARENT.fullmatch(parent[:500]):
        return {}
    if state is None or not _TRACE_STATE.fullmatch(state):
        return {'traceparent': parent}
    return {'traceparent': parent, 'tracestate': state}


def _small(result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return *result* unless it is too large to be sent around."""
    try:
        return result if len(_events.dumps(result)) <= _RESULT_CHARACTERS else None
    except (ValueError, RecursionError):
        return None


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _CHARACTERS else f'{text[:_CHARACTERS - 1]}…'


class _Fault(NamedTuple):
    """Why an event was not taken: a message without secrets, whether that is transient, after how many seconds."""

    message: str
    transient: bool
    seconds: float = 0.0


class Sender:
    """Sends events to the receivers that they name, of those that are configured here."""

    def __init__(self, receivers: Sequence[Notify]) -> None:
        self._receivers = {each.name: _Receiver(each) for each in receivers}

    def send(self, claimed: ClaimedEvent, destination: str) -> Outcome:
        """Send the event, and return how that ended, whatever it was."""
        receiver = self._receivers.get(destination)
        if receiver is None:
            fault: _Fault | None = _Fault(f'no Notify named {destination!r} is configured in the worker that took it; '
                                          'give all workers of the queue the same', True)
        else:
            fault = receiver.post(claimed.event_data, last=claimed.attempt >= OUTGOING_ATTEMPTS)
        route = f'notify → {destination}'
        if fault is None:
            return Outcome.succeeded(route)
        error = DeliveryError(fault.message)
        wait = _POLICY.delay(RetryLater(), claimed.attempt) if fault.transient else None
        if wait is None:
            return Outcome.failed(error, route)
        return Outcome.retry(error, max(wait, min(fault.seconds, _LONGEST_WAIT)), route)


class _Receiver:
    """One receiver; if it hangs, it holds up one delivery in a while, not every thread that could handle events."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._absent_until = 0.0

    def post(self, event_json: str, last: bool) -> _Fault | None:
        """Post the event, unless the receiver was away just now; return why it was not taken, if it wasn't."""
        if not last and time.monotonic() < self._absent_until:
            return _Fault(f'{self._notify.origin} could not be reached a moment ago', True)
        try:
            with requests.Session() as session:
                deadline = Deadline(self._notify.timeout, self._notify.timeout)
                for scheme in ('https://', 'http://'):
                    session.mount(scheme, DeadlineAdapter(deadline))
                with session.post(
                    self._notify.url, data=event_json.encode(), headers=self._headers(event_json), auth=self._authorize,
                    timeout=self._notify.timeout, stream=True, allow_redirects=False,
                ) as response:
                    self._absent_until = 0.0
                    return None if 200 <= response.status_code < 300 else self._refused(response)
        except (requests.RequestException, HTTPError, OSError) as exc:
            self._absent_until = time.monotonic() + _ABSENCE
            return _Fault(f'{self._notify.origin} could not be reached: {reason(exc)}', True)
        except Exception as exc:  # the text of none may be shown: it may quote what was sent, credentials too
            return _Fault(f'the event can\'t be sent to {self._notify.origin}: {type(exc).__name__}', False)

    def _headers(self, event_json: str) -> Mapping[str, str]:
        headers = {
            'Content-Type': 'application/cloudevents+json; charset=utf-8',
            'User-Agent': 'pacifica-dispatcher',
            'Accept-Encoding': 'identity',
        }
        if self._notify.signing_secret is not None:
            event_id = _events.loads(event_json)['id']
            headers.update(signature_headers(self._notify.signing_secret, event_id, event_json))
        return headers

    def _authorize(self, request: Any) -> Any:
        """Add the token to a request; given in this way, nothing out of a ``.netrc`` takes its place."""
        if self._notify.token is not None:
            request.headers['Authorization'] = f'Bearer {self._notify.token.reveal()}'
        return request

    def _refused(self, response: requests.Response) -> _Fault:
        status = response.status_code
        seconds = 0.0
        with suppress(HTTPError):  # neither seconds nor a date: as if it said nothing
            if 'Retry-After' in response.headers:
                seconds = Retry().parse_retry_after(response.headers['Retry-After'])
        said = ''
        with suppress(HTTPError, OSError):  # an answer that is cut off: its status counts
            said = response.raw.read(_ANSWER_BYTES, decode_content=False).decode('utf-8', 'replace')
        message = f'{self._notify.origin} answered {status} {response.reason}: {tidy(said)}'
        return _Fault(self._without_secrets(message), status >= 500 or status in _TRANSIENT, seconds)

    def _without_secrets(self, message: str) -> str:
        parts = urlsplit(self._notify.url)  # the receiver may have repeated what was sent
        hidden = [part for part in parts.path.split('/') if len(part) >= _SECRET_CHARACTERS]
        hidden += [secret.reveal() for secret in (self._notify.token, self._notify.signing_secret) if secret]
        for text in (*hidden, parts.query):
            message = message.replace(text, '***') if text else message
        return message
