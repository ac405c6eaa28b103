"""Pacifica Metadata's transactions, and the events of their ingests, made anew.

Source of the format: Pacifica Metadata (https://pacifica-metadata.readthedocs.io/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests

from pacifica.dispatcher._transfers.service import Service, shown_url
from pacifica.dispatcher.exceptions import TransferError

VISIBLE_WITHIN = timedelta(hours=1)
"""A transaction's time is when its ingest began, and it is seen when that is done: 40,000 files take 4 minutes."""

_T = TypeVar('_T')
_PAGE = 100
_MOST_JSON = 256 << 20  # the answer about a transaction of 100,000 files has some 60 MB
_FILE = ('_id', 'name', 'subdir', 'size', 'hashtype', 'hashsum', 'mimetype', 'ctime', 'mtime')


class UnreadableTransactionError(TransferError):
    """Metadata lists a transaction, but answers requests for it otherwise than it should."""


class Metadata:
    """The service at *url*, which raises a :class:`TransferError` when it fails.

    :param timeout: wall-clock seconds for one answer, in which a request is repeated if its fault is transient.
    """

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self.url = url.rstrip('/')
        self._timeout = timeout

    @staticmethod
    def source_of(transaction: int) -> tuple[str, str]:
        """Return the source and the id of the event of a transaction's ingest, as Metadata gives them."""
        return f'http://metadata.pacifica.org/transactions?_id={transaction}', f'metadata.ingest.{transaction}'

    def now(self) -> datetime:
        """Return the time by the archive's clock, UTC without a zone."""
        url = f'{self.url}/transsip'

        def date(service: Service) -> str:
            with service.request('GET', url, params={'page_number': 1, 'items_per_page': 1}) as response:
                return str(response.headers.get('Date', ''))

        try:
            return parsedate_to_datetime(self._ask(date)).astimezone(timezone.utc).replace(tzinfo=None)
        except ValueError as exc:
            raise TransferError(f'GET {shown_url(url)} was answered without a Date') from exc

    def pages(self, since: datetime) -> Iterator[dict[int, datetime]]:
        """Yield the transactions that changed after *since*, and when, in pages; all times UTC, without a zone."""
        number = 1
        while True:
            rows = self._get('/transsip', list, updated=since.isoformat(timespec='seconds'), updated_operator='gt',
                             page_number=number, items_per_page=_PAGE)
            try:
                yield {int(row['_id']): datetime.fromisoformat(row['updated']) for row in rows}
            except (KeyError, TypeError, ValueError) as exc:
                raise TransferError(
                    f'GET {shown_url(self.url)}/transsip was answered otherwise than Metadata does: {exc!r}') from exc
            if len(rows) < _PAGE:
                return
            number += 1

    def event_of(self, transaction: int) -> dict[str, Any]:
        """Return the event of a transaction's ingest, CloudEvents 0.1 as Metadata sends it.

        Values of key-values are texts, as the table has them, also those that were sent as numbers.
        """
        path = f'/transactioninfo/by_id/{transaction}'
        try:
            return self._event(transaction, self._get(path, dict))
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise UnreadableTransactionError(
                f'GET {shown_url(self.url + path)} was answered otherwise than Metadata does: {exc!r}') from exc
        except TransferError as exc:
            if exc.status == 404:
                raise UnreadableTransactionError(str(exc), status=404) from exc
            raise

    def transactions_with(self, key: str, value: str) -> list[int]:
        """Return the transactions that have this key-value."""
        rows = [
            row for each in self._get('/keys', list, key=key) for other in self._get('/values', list, value=value)
            for row in self._get('/trans_key_value', list, key=each['_id'], value=other['_id'])
        ]
        return sorted({int(row['transaction']) for row in rows})

    def _event(self, transaction: int, found: dict[str, Any]) -> dict[str, Any]:
        source, event_id = self.source_of(transaction)
        return {
            'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'source': source,
            'eventID': event_id, 'eventTime': found['created'], 'extensions': {}, 'contentType': 'application/json',
            'data': [
                *({'destinationTable': f'Transactions.{name}', 'value': found[f'{name}_id']}
                  for name in ('submitter', 'instrument', 'project')),
                *self._key_values(transaction, found['key_values']),
                *({'destinationTable': 'Files', **{name: file[name] for name in _FILE}}
                  for file in found['files'].values()),
                {'destinationTable': 'Transactions._id', 'value': transaction},
            ],
        }

    def _key_values(self, transaction: int, shown: dict[str, str]) -> Iterator[dict[str, Any]]:
        rows = self._get('/trans_key_value', list, transaction=transaction)
        pairs = list(shown.items())
        if len(rows) != len(pairs):  # a key was given twice, of which only one value is shown
            pairs = [(self._text('/keys', 'key', row['key']), self._text('/values', 'value', row['value']))
                     for row in rows]
        for key, value in pairs:
            yield {'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value}

    def _text(self, path: str, name: str, identifier: int) -> str:
        row, = self._get(path, list, _id=identifier)
        return str(row[name])

    def _get(self, path: str, kind: type[_T], **query: Any) -> _T:
        return self._ask(lambda service: service.get(self.url + path, kind, **query))

    def _ask(self, question: Callable[[Service], _T]) -> _T:
        with (
            requests.Session() as client,
            Service(client, None, self._timeout, self._timeout, 'Metadata', most_json=_MOST_JSON) as service,
        ):
            return service.retry(lambda: question(service))
