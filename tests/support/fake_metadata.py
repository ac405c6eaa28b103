"""A stand-in for Pacifica Metadata, with transactions in any number, as the service of 2020 really answers."""

from __future__ import annotations

from typing import Any

from support.fakes import Fake, Handler

__all__ = ['FakeMetadata']


class FakeMetadata(Fake):
    """The service; a context manager. All transactions are of project ``1234a``, and have a file each."""

    def __init__(self, transactions: dict[int, str], port: int = 0) -> None:
        super().__init__(port)
        #: Transaction → when it changed, ISO 8601 in UTC.
        self.transactions = transactions
        #: Transaction → key-values, in which a key may come twice.
        self.key_values: dict[int, list[tuple[str, str]]] = {}
        #: Transaction → its files as an upload describes them, instead of the one that each has.
        self.files: dict[int, list[dict[str, Any]]] = {}
        #: How many requests came, by the first part of their path.
        self.asked: dict[str, int] = {}
        #: Those that are listed, but not told of.
        self.unknown: set[int] = set()

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Answer one of the questions that there are."""
        first, _, last = path.strip('/').partition('/')
        self.asked[first] = self.asked.get(first, 0) + 1
        assert query.get('updated_operator', ['gt']) == ['gt']
        if first == 'transsip':
            handler.answer_json(self._page(query))
        elif first == 'trans_key_value' and 'key' in query:
            handler.answer_json([
                {'transaction': transaction} for transaction, pairs in self.key_values.items()
                for key, value in pairs if [key] == query['key'] and [value] == query['value']])
        elif first in ('keys', 'values') and '_id' not in query:
            part = ('keys', 'values').index(first)
            found = {pair[part] for pairs in self.key_values.values() for pair in pairs}
            handler.answer_json([{'_id': text, first[:-1]: text} for text in found if [text] == query[first[:-1]]])
        elif first == 'trans_key_value':
            transaction = int(query['transaction'][0])
            pairs = self.key_values.get(transaction, [])
            handler.answer_json([
                {'transaction': transaction, 'key': number, 'value': number} for number in range(len(pairs))])
        elif first in ('keys', 'values'):
            number, part = int(query['_id'][0]), ('keys', 'values').index(first)
            handler.answer_json([{'_id': number, first[:-1]: texts[number][part]}
                                 for texts in self.key_values.values() if number < len(texts)][:1])
        else:
            transaction = int(last.rpartition('/')[2])
            if transaction in self.unknown or transaction not in self.transactions:
                handler.answer_json({'message': 'Not Found'}, 404)
            else:
                handler.answer_json(self._info(transaction))

    def _page(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        number, size = int(query['page_number'][0]), int(query['items_per_page'][0])
        found = [(transaction, updated) for transaction, updated in sorted(self.transactions.items())
                 if updated > query.get('updated', [''])[0]]
        return [{'_id': transaction, 'updated': updated, 'created': updated, 'submitter': 10, 'instrument': 54,
                 'project': '1234a'} for transaction, updated in found[(number - 1) * size:number * size]]

    def _info(self, transaction: int) -> dict[str, Any]:
        files = [{'_id': transaction + 1000 + number, **row} for number, row in enumerate(
            self.files.get(transaction) or [{
                'name': 'a.txt', 'subdir': 'sub', 'size': 1, 'hashtype': 'sha1', 'hashsum': '0' * 40,
                'mimetype': 'text/plain', 'ctime': '2026-11-27T11:22:41', 'mtime': '2026-11-27T11:22:41'}])]
        return {
            '_id': transaction, 'created': self.transactions[transaction], 'submitter_id': 10, 'instrument_id': 54,
            'project_id': '1234a', 'key_values': dict(self.key_values.get(transaction, [])),
            'files': {str(file['_id']): {'encoding': 'UTF8', 'suspense_date': None, **file} for file in files},
        }
