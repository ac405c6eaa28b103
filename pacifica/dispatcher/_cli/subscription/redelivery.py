"""Sends a receiver what Notifications did not: ``subscribe --keep --metadata URL``.

Used by the keeper, after a time in which events were missed. Metadata knows each transaction still; its event is made
anew and posted as Notifications would have. A receiver that had it already takes it for the same event.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from pacifica.dispatcher._cli.client import HttpClient
from pacifica.dispatcher._cli.errors import UsageFault, one_line
from pacifica.dispatcher._cli.subscription.ensure import Wanted
from pacifica.dispatcher._cli.subscription.expression import matches
from pacifica.dispatcher._transfers.metadata import VISIBLE_WITHIN, Metadata, UnreadableTransactionError
from pacifica.dispatcher.exceptions import TransferError

__all__ = ['Redelivery']

_LOG = logging.getLogger(__name__)
_LATER = frozenset({408, 429})  # with each 5xx: the receiver may take the event another time


class Redelivery:
    """What was missed by one subscription.

    :param metadata: where the transactions are.
    :param wanted: the subscription: which events it sends, and where.
    :param timeout: seconds that the receiver may be silent.
    """

    def __init__(self, metadata: Metadata, wanted: Wanted, timeout: float) -> None:
        self._metadata, self._wanted, self._timeout = metadata, wanted, timeout

    def run(self, since: datetime, auth: dict[str, Any] | None) -> None:
        """Post the events of all transactions since *since*, and of the hour before.

        :param auth: the credentials of the subscription, as Notifications store them.
        :raises UsageFault: if Metadata doesn't answer, or the receiver takes no events now.
        """
        posted = 0
        try:
            with HttpClient(timeout=self._timeout) as client:
                begin = (since - VISIBLE_WITHIN).astimezone(timezone.utc).replace(tzinfo=None)
                for page in self._metadata.pages(begin):
                    posted += sum(self._post(client, transaction, _request(auth)) for transaction in page)
        except TransferError as exc:
            raise UsageFault(str(exc)) from exc
        _LOG.info('events.sent_again', extra={'since': f'{since:%Y-%m-%dT%H:%M:%SZ}', 'count': posted})

    def _post(self, client: HttpClient, transaction: int, credentials: dict[str, Any]) -> bool:
        """Return whether the event of *transaction* is one of the subscription's, and was taken."""
        try:
            event = self._metadata.event_of(transaction)
        except UnreadableTransactionError as exc:
            _LOG.warning('transaction.unreadable', extra={'transaction': transaction, 'error': str(exc)})
            return False
        if not matches(self._wanted.jsonpath, event):
            return False
        answer = client.request('POST', self._wanted.target_url, json=event, **credentials)
        if answer.status_code >= 500 or answer.status_code in _LATER:
            raise UsageFault(f'{self._wanted.target_url} answered {answer.status_code} to the event of transaction '
                             f'{transaction}: it takes no events now')
        if not answer.ok:
            _LOG.warning('event.refused', extra={
                'transaction': transaction, 'status': answer.status_code, 'error': one_line(answer.text)[:200]})
        return answer.ok


def _request(auth: dict[str, Any] | None) -> dict[str, Any]:
    """Return what puts a subscription's credentials into a request."""
    kind = (auth or {}).get('type')
    if auth is not None and kind == 'basic':
        basic = auth['basic']
        return {'auth': (basic['username'].encode(), basic['password'].encode())}
    if auth is not None and kind == 'header':
        header = auth['header']
        return {'headers': {'Authorization': f'{header["type"]} {header["credentials"]}'}}
    return {}
