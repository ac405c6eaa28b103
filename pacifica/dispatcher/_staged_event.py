"""The event that a staged handler gets: with its files, a place for results, and the transaction of their upload."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import IO, Any

from cloudevents.model import Event

from pacifica.dispatcher._gallery import Gallery
from pacifica.dispatcher._lineage import SOURCE_KEY
from pacifica.dispatcher._parameters import overlaid
from pacifica.dispatcher._paths import claim_path, make_parents, safe_path
from pacifica.dispatcher._transfers.files import Opener, make_opener
from pacifica.dispatcher.exceptions import StagingError
from pacifica.dispatcher.models import File, Transaction, TransactionKeyValue

PROVENANCE_KEY = SOURCE_KEY


class StagedEvent(Event):
    """A ``cloudevents.model.Event`` whose files are in a directory, and whose results go into another.

    :param event: the event as it was received.
    :param input_directory: where the files lie, each at its ``path``; only to be read.
    :param output_directory: where results go; everything in it is uploaded when the handler returns.
    :param files: the event's files.
    :param openers: what opens those that were staged in; none if nothing was.
    :param fetch: stages in more of the files, and returns their openers; ``None`` if they can't be had.
    :param parameters: what the handler is to heed, see :class:`~pacifica.dispatcher.router.Route`; by default what the
        route has given *event*.
    :raises StagingError: if openers are of a runner that doesn't say which files they open, and not one for each file.
    """

    #: The event's files, in its order, whether they were staged in or not.
    files: list[File]
    #: The transaction of the upload. Filled in: submitter, instrument and project of the event. Change what you like.
    transaction: Transaction
    #: The key-values of the upload. Filled in: :data:`PROVENANCE_KEY`. Change what you like; where the upload comes
    #: from is said in any case, once it is made.
    key_values: list[TransactionKeyValue]
    #: The parameters of the handler: the route's, with the event's own in their place.
    parameters: Mapping[str, Any]

    # Not calling Event.__init__: what was accepted once is not to be judged again, and it would parse text data.
    def __init__(
        self, event: Event, input_directory: Path, output_directory: Path, files: Sequence[File],
        openers: Sequence[Opener] = (), fetch: Callable[[list[File]], Sequence[Opener]] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.d = event.to_dict()
        self.parameters = overlaid(vars(event).get('parameters', {}) if parameters is None else parameters, {})
        self.input_directory = input_directory
        self.output_directory = output_directory
        self.files = list(files)
        self._openers = _by_path(self.files, openers)
        self._fetch = fetch
        self._gallery = Gallery(output_directory, (output_directory, input_directory, output_directory.parent))
        source = Transaction.from_cloudevents_model(event)
        self.transaction = Transaction(
            submitter=source.submitter, instrument=source.instrument, project=source.project)
        self.key_values = []
        if source._id is not None:
            self.key_values.append(TransactionKeyValue(key=PROVENANCE_KEY, value=source._id))

    def open(
        self, file: File | str | os.PathLike[str], mode: str = 'r', encoding: str | None = None, **kwargs: Any,
    ) -> IO[Any]:
        """Open one of the event's files for reading.

        :param file: one of :attr:`files`, or its path.
        :param mode: ``'r'`` for text, ``'rb'`` for bytes. More keywords are those of :func:`open`.
        :param encoding: of the text; by default the one that the event names for the file, else UTF-8. Ends of lines
            stay as they are.
        :raises FileNotFoundError: if the event has no such file, or it was not staged in.
        :raises ValueError: if *mode* is one for writing.
        """
        path = _text(file)
        opener = self._openers.get(path)
        if opener is None:
            raise self._not_staged(path)
        if mode != 'r':
            kwargs['mode'] = mode
        if encoding is not None:
            kwargs['encoding'] = encoding
        return opener(**kwargs)

    def fetch(self, file: File | str | os.PathLike[str]) -> Path:
        """Return where one of the event's files lies in the input directory; fetch it if it was not staged in.

        :param file: one of :attr:`files`, or its path.
        :raises FileNotFoundError: if the event has no such file, or there is no downloader runner.
        :raises StagingError: if it can't be fetched.
        """
        path = _text(file)
        if path not in self._openers:
            wanted = [each for each in self.files if each.name is not None and each.path == path]
            if not wanted or self._fetch is None:
                raise self._not_staged(path)
            self._openers.update(_by_path(wanted, self._fetch(wanted)))
        return self.input_directory / path

    def _not_staged(self, path: str) -> FileNotFoundError:
        staged = ', '.join(map(ascii, list(self._openers)[:10])) or 'none'
        cure = '' if self._fetch is None else '; fetch() gets it if it is one of the event\'s'
        return FileNotFoundError(
            f'{path!a} was not staged in with this event; of what was, the first: {staged}{cure}')

    def create(
        self, path: File | str | os.PathLike[str], mode: str = 'w', encoding: str | None = None, **kwargs: Any,
    ) -> IO[Any]:
        """Create a file in the output directory, and the directories that lead to it, and open it for writing.

        :param path: where, relative to the output directory, with ``/`` between its parts; a :class:`File` stands for
            its path.
        :param mode: ``'w'`` for text, ``'wb'`` for bytes.
        :param encoding: of the text; UTF-8 by default. Ends of lines are written as they are given. More keywords are
            those of :func:`open`.
        :raises FileExistsError: if it was created before: results are never overwritten unasked.
        :raises UnsafePathError: if *path* would lie outside of the output directory.
        :raises ValueError: if *mode* is not one for writing a new file.
        """
        flags = set(mode)
        if not flags & {'w', 'x'} or flags & {'r', 'a'}:
            raise ValueError(f'create() makes a new file: use mode "w" or "wb", not {mode!r}')
        relative = safe_path(_text(path))
        if 'b' not in flags:
            kwargs.setdefault('newline', '')
            encoding = encoding or 'utf-8'
        target = claim_path(self.output_directory, relative)
        try:
            return open(target, mode.replace('w', 'x'), encoding=encoding, **kwargs)
        except FileExistsError as exc:
            raise FileExistsError(f'{relative!a} was created already: choose another path') from exc

    def preview(self, path: File | str | os.PathLike[str]) -> bool:
        """Keep a small image with the event, shown on its page; return whether it is kept.

        PNG, JPEG, WebP and SVG are, told by their content: at most five of an event, of 1 MB each. Of one that is not
        kept the event's log says why (``preview.refused``): a plot is no reason to fail. Given again, a path takes the
        place of its earlier image, also while the handler runs.

        :param path: where it lies, relative to the output directory; or a whole path, of a file in the directories of
            this event.
        """
        return self._gallery.keep(self.output_directory / _text(path))

    @classmethod
    def for_test(
        cls, directory: str | os.PathLike[str], files: Mapping[str, bytes | str] | None = None, *,
        event: Event | Mapping[str, Any] | None = None, parameters: Mapping[str, Any] | None = None,
    ) -> StagedEvent:
        """Return a staged event for the unit test of a handler: no service, no download, no upload.

        >>> event = StagedEvent.for_test(tmp_path, {'a/b.txt': 'hello'})   # doctest: +SKIP
        >>> Uppercase().handle(event)                                      # doctest: +SKIP
        >>> (event.output_directory / 'a/b.txt').read_text()               # doctest: +SKIP
        'HELLO'

        :param directory: an existing directory of the test's own; gets ``input`` and ``output``.
        :param files: the content of each file by its path; text is written in UTF-8.
        :param event: the event, or its JSON object; by default an ingest event of transaction 1 with these files.
        :param parameters: of the handler; no route's defaults are added.
        :raises ValueError: if *event* names a file that *files* lacks.
        """
        contents = {
            safe_path(path): content.encode() if isinstance(content, str) else content
            for path, content in (files or {}).items()
        }
        if not isinstance(event, Event):
            event = Event(dict(_event_for_test(contents) if event is None else event))
        wanted = File.from_cloudevents_model(event)
        if missing := [file.path for file in wanted if file.path not in contents]:
            raise ValueError(f'the event names files without content in this test: {", ".join(map(ascii, missing))}')
        source, output = Path(directory, 'input').absolute(), Path(directory, 'output').absolute()
        for made in (source, output):
            made.mkdir()
        for path, content in contents.items():
            make_parents(source, path)
            (source / path).write_bytes(content)
        openers = [make_opener(source / file.path, file) for file in wanted]
        return cls(event, source, output, wanted, openers, parameters=parameters)


def _by_path(files: Sequence[File], openers: Sequence[Opener]) -> dict[str, Opener]:
    """Return each opener by the path of its file: a runner may have staged in some of *files* only, in any order."""
    if not openers:
        return {}  # then no file needs a path
    names = {file.path for file in files}
    paths = [path for opener in openers if isinstance(path := getattr(opener, 'path', None), str) and path in names]
    if len(paths) == len(openers):
        return dict(zip(paths, openers))
    if len(openers) != len(files):
        raise StagingError(
            f'the downloader runner returned {len(openers)} openers for {len(files)} files, and they do not say which '
            'they open: return one for each file, in their order, or give each the attribute "path" of its file'
        )
    return {file.path: opener for file, opener in zip(files, openers)}


def _text(path: File | str | os.PathLike[str]) -> str:
    if isinstance(path, File):
        return path.path
    return path.as_posix() if isinstance(path, PurePath) else os.fspath(path)


def _event_for_test(contents: Mapping[str, bytes]) -> dict[str, Any]:
    fields = {'submitter': 10, 'instrument': 54, 'project': '1234a', '_id': 1}
    data: list[dict[str, Any]] = [
        {'destinationTable': f'Transactions.{name}', 'value': value} for name, value in fields.items()
    ]
    for number, (path, content) in enumerate(contents.items(), 1):
        subdir, _, name = path.rpartition('/')
        data.append({
            'destinationTable': 'Files', '_id': number, 'name': name, 'subdir': subdir, 'size': len(content),
            'hashtype': 'sha1', 'hashsum': hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            'mimetype': 'application/octet-stream', 'ctime': '2020-08-01T12:00:00', 'mtime': '2020-08-01T12:00:00',
        })
    return {
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'eventID': 'metadata.ingest.1',
        'source': 'http://metadata.pacifica.org/transactions?_id=1', 'eventTime': '2020-08-01T12:00:00',
        'contentType': 'application/json', 'extensions': {}, 'data': data,
    }
