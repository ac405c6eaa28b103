"""The values read out of an event: its files, its transaction and the transaction's key-values.

Source of the format: the ``data`` of an ``org.pacifica.metadata.ingest`` event is a flat list of objects, each naming
the table it is meant for in ``destinationTable``, as Pacifica Metadata publishes them
(https://pacifica-metadata.readthedocs.io/) after Pacifica Ingest read them from a bundle's ``metadata.txt``::

    [{"destinationTable": "Transactions.submitter", "value": 10},
     {"destinationTable": "TransactionKeyValue", "key": "Instrument mode", "value": "raman"},
     {"destinationTable": "Files", "_id": 363, "name": "top.csv", "subdir": "sub/dir", "size": 4, ...},
     {"destinationTable": "Transactions._id", "value": 19}]

Other events (``org.pacifica.metadata.orm``) carry an object, text or nothing: they have no files, no key-values and an
empty transaction. What isn't understood is ignored, whatever its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from cloudevents.model import Event

from pacifica.dispatcher._paths import safe_path
from pacifica.dispatcher.exceptions import TransactionDuplicateAttributeError

__all__ = ['File', 'PacificaModel', 'Transaction', 'TransactionKeyValue']

_ModelT = TypeVar('_ModelT', bound='PacificaModel')


class PacificaModel(ABC):
    """Base of the models: built of keyword attributes, or of an event."""

    @classmethod
    @abstractmethod
    def from_cloudevents_model(cls, event: Event) -> PacificaModel | list[Any]:
        """Return what *event* holds of this model: one of it, or a list of it."""

    def __repr__(self) -> str:
        given = ', '.join(f'{name}={value!r}' for name, value in vars(self).items() if value is not None)
        return f'{type(self).__name__}({given})'


class File(PacificaModel):
    """One file of the archive, as an event describes it.

    Every attribute has the JSON type that the uploader sent, and is ``None`` if the event doesn't give it; other
    keywords are ignored.

    :param _id: the file's id in the archive, a number.
    :param name: its name, text, without directory.
    :param subdir: the directory it lies in, text, with ``/`` between the parts; ``''`` at the top.
    :param size: in bytes.
    :param hashtype: the :mod:`hashlib` name of the algorithm of *hashsum*, for example ``sha1``.
    :param hashsum: the digest of its bytes, in hexadecimal.
    :param mimetype: for example ``text/csv``.
    :param encoding: the text encoding of its bytes, a :mod:`codecs` name.
    :param ctime: when it was created or last changed, ISO 8601 in UTC without a zone.
    :param mtime: when its bytes were last modified, likewise.
    :param suspense_date: when it may be looked at, ISO 8601.
    """

    _id: Any = None
    ctime: Any = None
    encoding: Any = None
    hashsum: Any = None
    hashtype: Any = None
    mimetype: Any = None
    mtime: Any = None
    name: Any = None
    size: Any = None
    subdir: Any = None
    suspense_date: Any = None

    # Spelled out instead of looped over: it is most of what reading an event costs.
    def __init__(
        self, /, *, _id: Any = None, ctime: Any = None, encoding: Any = None, hashsum: Any = None,
        hashtype: Any = None, mimetype: Any = None, mtime: Any = None, name: Any = None, size: Any = None,
        subdir: Any = None, suspense_date: Any = None, **ignored: Any,
    ) -> None:
        self._id = _id
        self.ctime = ctime
        self.encoding = encoding
        self.hashsum = hashsum
        self.hashtype = hashtype
        self.mimetype = mimetype
        self.mtime = mtime
        self.name = name
        self.size = size
        self.subdir = subdir
        self.suspense_date = suspense_date

    @property
    def path(self) -> str:
        """Where the file lies, relative to the directory it is staged into: *subdir* and *name* joined with ``/``.

        Empty and ``.`` parts of *subdir* are left out (``'a//b/'`` is ``'a/b'``).

        :raises AttributeError: if the file has no name.
        :raises UnsafePathError: if no file inside a directory can have this path.
        """
        if self.name is None:
            raise AttributeError("field 'name' is None")
        return safe_path(self.name, self.subdir)

    @classmethod
    def from_cloudevents_model(cls: type[_ModelT], event: Event) -> list[_ModelT]:
        """Return the files of *event*, in its order; none if its data are no list."""
        return [cls(**item) for item in _items(event) if item.get('destinationTable') == 'Files']


class Transaction(PacificaModel):
    """One transaction of the archive: who uploaded what is in it, from which instrument, for which project.

    As of a :class:`File`, every attribute may be ``None``, and other keywords are ignored.

    :param _id: the transaction's id in the archive, a number; given by Ingest, so never set it on an upload.
    :param submitter: the id of the user who uploads, a number.
    :param instrument: the id of the instrument, a number.
    :param project: the id of the project, text.
    :param analytical_tool: the id of the analytical tool, a number.
    :param description: free text.
    :param suspense_date: when it may be looked at, ISO 8601.
    """

    _id: Any = None
    analytical_tool: Any = None
    description: Any = None
    instrument: Any = None
    project: Any = None
    submitter: Any = None
    suspense_date: Any = None

    def __init__(
        self, /, *, _id: Any = None, analytical_tool: Any = None, description: Any = None, instrument: Any = None,
        project: Any = None, submitter: Any = None, suspense_date: Any = None, **ignored: Any,
    ) -> None:
        self._id = _id
        self.analytical_tool = analytical_tool
        self.description = description
        self.instrument = instrument
        self.project = project
        self.submitter = submitter
        self.suspense_date = suspense_date

    @classmethod
    def from_cloudevents_model(cls: type[_ModelT], event: Event) -> _ModelT:
        """Return the transaction of *event*; an empty one if it has none.

        :raises TransactionDuplicateAttributeError: if *event* gives one of the attributes twice.
        """
        attrs: dict[str, Any] = {}
        for item in _items(event):
            name = _TRANSACTION_FIELDS.get(str(item.get('destinationTable')))
            if name is None:
                continue
            if name in attrs:
                raise TransactionDuplicateAttributeError(event, name)
            attrs[name] = item.get('value')
        return cls(**attrs)


_TRANSACTION_FIELDS = {f'Transactions.{name}': name for name in Transaction.__annotations__}


class TransactionKeyValue(PacificaModel):
    """One key-value pair of a transaction.

    :param key: the key, text.
    :param value: the value: text, or another JSON value if the uploader sent one. Other keywords are ignored.
    """

    key: Any = None
    value: Any = None

    def __init__(self, /, *, key: Any = None, value: Any = None, **ignored: Any) -> None:
        self.key = key
        self.value = value

    @classmethod
    def from_cloudevents_model(cls: type[_ModelT], event: Event) -> list[_ModelT]:
        """Return the key-values of *event*, in its order; none if its data are no list."""
        return [cls(**item) for item in _items(event) if item.get('destinationTable') == 'TransactionKeyValue']


def _items(event: Event) -> Iterator[Mapping[str, Any]]:
    """Return the objects that *event*'s data list, without what else lies among them."""
    data: Any = event.data
    items = data if isinstance(data, (list, tuple)) else ()
    return (item for item in items if isinstance(item, dict))
