"""Checked values → the arguments of ``Router.add_route``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from pacifica.dispatcher._parameters import checked
from pacifica.dispatcher._patterns import Patterns
from pacifica.dispatcher._routes.archive import CartdRunner, IngestRunner
from pacifica.dispatcher._routes.checking import Fault
from pacifica.dispatcher._routes.handlers import import_handler, misplaced_arguments, missing_program
from pacifica.dispatcher._routes.lines import Where
from pacifica.dispatcher._routes.settings import require_possible
from pacifica.dispatcher._routes.values import Archive, Quantity, RouteTable, Upload
from pacifica.dispatcher._routes.when import path_of
from pacifica.dispatcher._units import bytes_of, seconds_or_bare
from pacifica.dispatcher.downloader_runners import DownloaderRunner, LocalDownloaderRunner
from pacifica.dispatcher.event_handlers import CommandEventHandler, EventHandler, StagedEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.staging import IdleTimeout
from pacifica.dispatcher.uploader_runners import LocalUploaderRunner, UploaderRunner

_T = TypeVar('_T')

_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(RouteTable)}
# What says something of a program alone, or of the staging around a handler.
_OF_COMMANDS = ('shell', 'environment', 'nice')
_OF_STAGING = (
    'download', 'upload', 'stage_in', 'keep_failed', 'download_timeout', 'upload_timeout', 'previews')


class Builder:
    """Builds the routes of one file.

    :param directory: what paths are relative to.
    :param outside: whether what is not in the file is looked at too: programs and directories.
    :param spoilt: the tables in which something is wrong already, which may be all that they lack.
    """

    def __init__(self, directory: Path, archive: Archive, outside: bool, spoilt: Collection[Where]) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._directory = directory
        self._outside = outside
        self._spoilt = spoilt
        self._names: dict[str, Where] = {}
        self._downloader, self._uploader = self._runners(archive)

    def build(self, route: RouteTable, where: Where) -> dict[str, Any]:
        """Return the arguments of ``add_route``; they are good for nothing if there are faults."""
        arguments = {name: getattr(route, name)
                     for name in ('name', 'loops', 'concurrency', 'concurrency_key', 'priority')}
        for key, value in arguments.items():
            if value is not None:
                self._try(where, key, partial(require_possible, key, value))
        if self._names.setdefault(route.name, where) != where:
            self._fault(where, 'name', f'there is a route {route.name!r} already: its name tells it from others')
        arguments['parameters'] = self._try(where, 'parameters', lambda: checked(route.parameters or {}))
        arguments['path'] = path_of(route, where, self.faults)
        limits = {name: self._limit(route, where, name) for name in ('timeout', 'memory')}
        if (route.command is None) == (route.handler is None):
            if where not in self._spoilt:
                self._fault(
                    where, 'command', 'a route runs one of the two: command = ["…"] or handler = "MODULE:CLASS"')
        elif route.command is not None:
            arguments['event_handler'] = self._staged(route, where, self._command(route, where, limits))
        else:
            arguments['event_handler'] = self._staged(route, where, self._handler(route, where))
            arguments.update(timeout=limits['timeout'], memory_limit=limits['memory'])
        return arguments

    def _fault(self, where: Where, key: str, text: str) -> None:
        self.faults.append(Fault((*where, key), text))

    def _try(self, where: Where, key: str, make: Callable[[], _T]) -> _T | None:
        """Return what *make* does; ``None`` and a fault if it raises."""
        try:
            return make()
        except ConfigurationError as exc:
            self._fault(where, key, str(exc))
            return None

    def _runners(self, archive: Archive) -> tuple[DownloaderRunner, UploaderRunner]:
        where = ('archive',)
        for key, url, side in (('cartd', archive.cartd, archive.download), ('ingest', archive.ingest, archive.upload)):
            if url is None:
                continue
            if urlsplit(url).scheme not in ('http', 'https') or not urlsplit(url).netloc:
                self._fault(where, key, f'{url!r} is no URL of a service: write http://HOST:PORT')
            if side != 'remote':
                self._fault(where, key, f'it says where files are to go or to come from, and so does {side!r}')
        download, upload = (None if each == 'remote' else self._directory / each
                            for each in (archive.download, archive.upload))
        if self._outside and download is not None and not download.is_dir():
            self._fault(where, 'download', f'there is no directory {download}: make it, or write "remote"')
        cartd, ingest = (url and url.rstrip('/') for url in (archive.cartd, archive.ingest))
        return (  # files are copied, since programs look for regular ones
            CartdRunner(cartd) if download is None else LocalDownloaderRunner(str(download), link=False),
            IngestRunner(ingest) if upload is None else LocalUploaderRunner(str(upload)))

    def _limit(self, route: RouteTable, where: Where, key: str) -> Any:
        value: Quantity | None = getattr(route, key)
        if value is None:
            return None
        found = (bytes_of if key == 'memory' else seconds_or_bare)(f'{value}')
        if not found:
            what, example = ('size', '512MB, 3GB or 2GiB') if key == 'memory' else ('length of time', '90s, 10m or 2h')
            self._fault(where, key, f'{key}: {value!r} is no {what} above 0: write for example {example}')
        return found or None

    def _command(self, route: RouteTable, where: Where, limits: dict[str, Any]) -> EventHandler | None:
        command = route.command
        assert command is not None
        if route.options is not None:
            self._fault(where, 'options', 'options are of a handler: a command has arguments')
        if isinstance(command, str) and not route.shell:
            self._fault(where, 'command', 'a command is a list of the program and each argument, ["scripts/run", '
                        '"--fast"]; a text needs shell = true')
            return None
        if route.shell and not isinstance(command, str):
            self._fault(where, 'command', 'with shell = true a command is one text; leave that out for a list')
            return None
        if self._outside and (fault := missing_program(route, self._directory)):
            self._fault(where, 'command', fault)
        self.warnings += [Fault((*where, 'command', number), text)
                          for number, text in misplaced_arguments(route, self._directory)]
        return self._try(where, 'command', lambda: CommandEventHandler(
            command, shell=route.shell, timeout=limits['timeout'], memory=limits['memory'], nice=route.nice,
            environment=route.environment, directory=self._directory))

    def _handler(self, route: RouteTable, where: Where) -> EventHandler | None:
        assert route.handler is not None
        for key in _OF_COMMANDS:
            if getattr(route, key) != _DEFAULTS[key]:
                self._fault(where, key, f'{key} is of a command, and this route has a handler')
        return self._try(where, 'handler', partial(import_handler, route.handler, route.options, self._directory))

    def _staged(self, route: RouteTable, where: Where, handler: EventHandler | None) -> EventHandler | None:
        if handler is None:
            return None
        if isinstance(handler, StagedEventHandler):
            for key in _OF_STAGING:
                if getattr(route, key) != _DEFAULTS[key]:
                    self._fault(where, key, f'{route.handler} stages files itself: say {key} there')
            return handler
        if route.stage_in is not None and not route.download:
            self._fault(where, 'stage_in', 'stage_in says which files are fetched, and download = false that none are')
        times: dict[str, Any] = {
            name: IdleTimeout(seconds) for name in ('download_timeout', 'upload_timeout')
            if (seconds := self._limit(route, where, name))}
        keep = route.keep_failed
        return StagedEventHandler(
            self._downloader if route.download else None, handler, self._uploader if route.upload else None,
            keep_failed=keep if isinstance(keep, bool) else self._directory / keep,
            stage_in=self._patterns(route, where, 'stage_in'), previews=self._patterns(route, where, 'previews'),
            key_values=route.upload.key_values if isinstance(route.upload, Upload) else None, **times)

    def _patterns(self, route: RouteTable, where: Where, key: str) -> list[str] | None:
        given: str | list[str] | None = getattr(route, key)
        if given is None:
            return None
        patterns = self._try(where, key, partial(Patterns, [given] if isinstance(given, str) else given))
        return None if patterns is None else list(patterns.given)
