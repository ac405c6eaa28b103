"""Where an event comes from: the transaction that its upload was made from, and the routes that led there.

An upload carries this in its key-values, which Pacifica Metadata publishes with the event of that upload::

    Pacifica.Dispatcher.source_transaction    19
    Pacifica.Dispatcher.lineage.1             facility.raw/clean
    Pacifica.Dispatcher.lineage.2             facility.raw/plot

    Pacifica.Dispatcher.handler               facility.plots:Plot 1.2.0 3f5c2ab01d2e
    Pacifica.Dispatcher.parameters            {"threshold": 5}

    Pacifica.Dispatcher.upload                0f5c1e…

The last one is the upload's own, by which it is found again when Ingest's answer was lost. Each step has a key of its
own, because Metadata shows one value of a key given twice, and at most 255 characters, which are the most it keeps.
Handler and parameters are those that made this upload, not those of the steps before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

#: The key whose value, in an upload made from an event, is the ``Transactions._id`` of that event.
SOURCE_KEY = 'Pacifica.Dispatcher.source_transaction'

#: The key whose value is an id of the upload alone.
UPLOAD_KEY = 'Pacifica.Dispatcher.upload'

#: The key whose value is the code that made the upload.
HANDLER_KEY = 'Pacifica.Dispatcher.handler'

#: The key whose value is the parameters that were used, as JSON; if that has too many characters, with a digest of all
#: of it in the place of its end.
PARAMETERS_KEY = 'Pacifica.Dispatcher.parameters'

#: With so many steps, an event is not handled even by a route that allows loops.
MOST_STEPS = 16

#: What Pacifica Metadata's columns for keys and values hold.
MOST_CHARACTERS = 255

_OWN_KEYS = (SOURCE_KEY, UPLOAD_KEY, HANDLER_KEY, PARAMETERS_KEY)
_COMMIT_DIGITS = 12  # that are shown
_ID_CHARACTERS = 64  # of the id of a transaction, as text
_PREFIX = 'Pacifica.Dispatcher.lineage.'  # of the key of each step; its number follows, from 1
_NUMBER = re.compile(re.escape(_PREFIX) + r'([1-9][0-9]{0,3})')


def step(application: str, route: str) -> str:
    """Return the text of one step; different applications or routes have different ones, whatever their names."""
    return _fitted(f'{application.replace("%", "%25").replace("/", "%2F")}/{route}')


class Code(NamedTuple):
    """The code of a handler.

    ``name`` is ``MODULE:CLASS``, or the name of its program; ``version`` that of the distribution that has the module;
    ``commit`` the checkout's, if the file is tracked in one, and ``dirty`` whether tracked files of it were changed.
    """

    name: str
    version: str | None = None
    commit: str | None = None
    dirty: bool = False

    def __str__(self) -> str:
        commit = self.commit and self.commit[:_COMMIT_DIGITS]
        return ' '.join(filter(None, (self.name, self.version, commit, 'dirty' if self.dirty else None)))

    def as_json(self) -> dict[str, Any]:
        """Return it as histories keep it."""
        return {key: value for key, value in self._asdict().items() if value}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Code:
        """Return what :meth:`as_json` was made of."""
        return cls(str(kept.get('name')), kept.get('version'), kept.get('commit'), bool(kept.get('dirty')))


def made_by(code: Code, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the key-values that say which code made an upload, and with which parameters, if there are any."""
    used = {PARAMETERS_KEY: _fitted(json.dumps(dict(parameters)))} if parameters else {}
    return {HANDLER_KEY: _fitted(str(code)), **used}


def _fitted(text: str) -> str:
    """Return *text*, or as much of it as a value has room for, and a digest that tells it from others."""
    if len(text) <= MOST_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
    return f'{text[:MOST_CHARACTERS - len(digest) - 1]}~{digest}'


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an event says of where it comes from."""

    steps: tuple[str, ...] = ()  # the first one first
    source: Any = None  # the transaction that the last of them handled, as the event gives it
    transaction: Any = None  # the event's own, from which further ones may be made

    @classmethod
    def of(cls, event_data: Mapping[str, Any]) -> Lineage:
        """Return the lineage of an event, a dict; what is no step is passed over, whatever it is."""
        data = event_data.get('data')
        steps: list[tuple[int, str]] = []
        source = transaction = None
        for row in data if isinstance(data, list) else ():
            if not isinstance(row, dict):
                continue
            table = row.get('destinationTable')
            if table == 'Transactions._id':
                transaction = row.get('value')
            elif table == 'TransactionKeyValue' and isinstance(key := row.get('key'), str):
                if key == SOURCE_KEY:
                    source = row.get('value')
                elif (number := _NUMBER.fullmatch(key)) and isinstance(value := row.get('value'), str):
                    steps.append((int(number[1]), value))
        return cls(tuple(value for _, value in sorted(steps, key=lambda each: each[0])), source, transaction)

    def loop(self, own: str, allowed: bool) -> str | None:
        """Return why an event of this lineage is not handled by the route whose step is *own*; ``None`` if it is."""
        made = f'made by {self.steps[-1]}' if self.steps else ''
        source = '' if self.source is None else f' from transaction {str(self.source)[:64]}'
        if len(self.steps) >= MOST_STEPS:
            return f'{made}{source}, after {len(self.steps)} steps'
        if not allowed and own in self.steps:
            return f'{made}{source}'
        return None

    def key_values(self, own: str) -> dict[str, Any]:
        """Return the key-values of an upload that the route whose step is *own* makes from the event."""
        source = {} if self.transaction is None else {SOURCE_KEY: self.transaction}
        steps = enumerate((*self.steps, own), 1)
        return {**source, **{f'{_PREFIX}{number}': value for number, value in steps}}


def is_lineage(key: object) -> bool:
    """Return whether *key* is one of those that say where an upload comes from."""
    return key in _OWN_KEYS or (isinstance(key, str) and _NUMBER.fullmatch(key) is not None)


def transaction_id(data_json: str) -> str | None:
    """Return the id of the transaction in *data_json*, the data of an event as Pacifica Metadata publishes them.

    That is the value of the object whose ``destinationTable`` is ``Transactions._id`` (see :mod:`..models`), as text.
    ``None`` if there is none, or it is no whole number and no short text. Only that object is parsed: the data may list
    tens of thousands of files.
    """
    position = -1
    while (position := data_json.find('"Transactions._id"', position + 1)) >= 0:
        begin, end = data_json.rfind('{', 0, position), data_json.find('}', position)
        if begin < 0 or end < 0:
            continue
        try:
            item: Any = msgspec.json.decode(data_json[begin:end + 1])
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue  # braces inside its strings: an event that Pacifica does not send
        known = isinstance(item, dict) and item.get('destinationTable') == 'Transactions._id'
        value = item.get('value') if known else None
        if isinstance(value, (int, str)) and not isinstance(value, bool) and 0 < len(str(value)) <= _ID_CHARACTERS:
            return str(value)
    return None
