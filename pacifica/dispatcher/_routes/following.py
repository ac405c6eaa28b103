"""Which state of a routes file is in force: the last one that was good."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from pacifica.dispatcher._routes.document import Document, load
from pacifica.dispatcher.exceptions import ConfigurationError

_LOG = logging.getLogger('pacifica.dispatcher.router')
_LOOK_SECONDS = 1.0
_SETTLED_SECONDS = 1.0  # since a change: a file that is being written is not taken
_AGAIN_SECONDS = 10.0  # until a file that was refused is tried again: what it names may be there now

_Sign = tuple[int, ...]


class RoutesFile:
    """A routes file, read once, and again when it has changed.

    :param text: what was read elsewhere; then nothing outside of it must be there, and nothing is logged.
    :raises ConfigurationError: if it can't be read, or is wrong; names every fault with its line.
    """

    def __init__(self, path: str | os.PathLike[str], text: str | None = None) -> None:
        self.path = Path(path).absolute()
        self._silent = text is not None
        self._sign: _Sign | None = None
        if text is None:
            self._sign, text = _sign(self.path), _read(self.path)
        self.text = text
        self.document = load(text, self.path, outside=not self._silent)
        self._refused = ''
        self._tried: tuple[_Sign | None, float] = (None, 0.0)
        self._changed: tuple[_Sign | None, float] = (None, 0.0)
        self._look_at = time.monotonic() + (0.0 if self._silent else _LOOK_SECONDS)
        self._looking = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return RoutesFile, (self.path, self.text)

    def look(self) -> Document | None:
        """Return what the file says now, if that is new and good; ask at most once a second.

        What is wrong is refused, and logged once.
        """
        if time.monotonic() < self._look_at or not self._looking.acquire(blocking=False):
            return None
        try:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            return self._take()
        except ConfigurationError as exc:
            self._refuse(str(exc))
            return None
        except Exception as exc:  # whatever it is, events go on
            self._refuse(f'{self.path.name}: {type(exc).__name__}: {exc}')
            return None
        finally:
            self._looking.release()

    def _take(self) -> Document | None:
        sign = _sign(self.path)
        if (sign == self._sign and not self._refused) or not self._settled(sign):
            return None
        tried, again_at = self._tried
        if sign == tried and self._refused and time.monotonic() < again_at:
            return None
        text = _read(self.path)
        if _sign(self.path) != sign:
            return None
        if text == self.text and not self._refused:  # touched
            self._sign = sign
            return None
        self._tried = sign, time.monotonic() + _AGAIN_SECONDS
        document = load(text, self.path)
        if document.service != self.document.service:
            self._log(logging.WARNING, 'routes.restart_needed', table='service')
        self._sign, self.text, self.document, self._refused = sign, text, document, ''
        self._log(logging.INFO, 'routes.taken', routes=len(document.routes))
        for warning in document.warnings:
            self._log(logging.WARNING, 'routes.doubtful', warning=warning)
        return document

    def _settled(self, sign: _Sign) -> bool:
        """Return whether the last change is so long ago that it is whole, by the file's times or by our watch."""
        seen, since = self._changed
        if sign != seen:
            since = time.monotonic()
            self._changed = sign, since
        age = time.time() - max(sign[-2:]) / 1e9
        return age >= _SETTLED_SECONDS or time.monotonic() - since >= _SETTLED_SECONDS

    def _refuse(self, error: str) -> None:
        if error != self._refused:
            self._refused = error
            self._log(logging.ERROR, 'routes.refused', error=error)

    def _log(self, level: int, key: str, **values: Any) -> None:
        if not self._silent:
            _LOG.log(level, key, extra={'file': str(self.path), **values})


def _sign(path: Path) -> _Sign:
    """Return what differs after a change; the last two are its times."""
    try:
        status = path.stat()
    except OSError as exc:
        raise ConfigurationError(f'{path} can\'t be read: {exc.strerror}') from exc
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode('utf-8-sig').replace('\r\n', '\n')
    except OSError as exc:
        raise ConfigurationError(f'{path} can\'t be read: {exc.strerror}') from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b'\n', 0, exc.start) + 1
        raise ConfigurationError(f'{path.name}, line {line}: it is no TOML, which is in UTF-8') from exc
