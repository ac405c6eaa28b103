"""Carts of Pacifica Cartd (https://pacifica-cartd.readthedocs.io/): order, wait for, fetch, check and delete them.

Cartd pulls each file by a few tasks of one queue, says nothing of how far a cart is, and goes on pulling for one that
nobody wants any more. So a transaction is ordered in parts, one after the other: each part that came is progress, and
only what is missing is ordered again.

``ready`` is a claim, not a proof: carts come without a file, empty or damaged, and some stay in staging for ever. So
what comes is compared with the event, and another cart is ordered when one doesn't get ready or isn't right.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pacifica.dispatcher._paths import make_parents
from pacifica.dispatcher._transfers.archive import move, unpack
from pacifica.dispatcher._transfers.files import hasher
from pacifica.dispatcher._transfers.kept import is_right, kept_directory, link
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.service import Service, never_sent, shown_url, tidy
from pacifica.dispatcher.exceptions import DownloadError
from pacifica.dispatcher.models import File

if TYPE_CHECKING:
    from pacifica.downloader.downloader import Downloader

_LOG = logging.getLogger(__name__)
_MOST_CARTS = 3
_UNLIKELY = uuid4().hex  # in no event: what a cart calls files whose own paths are too long for it
#: Characters of a path that Cartd keeps; a cart with a longer one stays in staging for ever.
_LONGEST_PATH = 255
#: What one cart may hold; a file that is larger has a cart of its own. Cartd needs 20 s for so many files; larger
#: carts are not faster, and more is lost with one.
_MOST_FILES, _MOST_BYTES = 200, 1 << 30
#: How fast a slow Cartd gets a cart ready: before the time that this takes is over, it gets no second one.
_FILES_A_SECOND, _BYTES_A_SECOND = 2, 10 << 20
_Wanted = dict[str, tuple[str, File]]  # by the name in the cart: the path, and what is to be there


class CartService(Service):
    """One download's connection with Cartd; deletes the carts it ordered when it is left."""

    def __init__(self, downloader: Downloader, timeout: float, request_timeout: float) -> None:
        api = downloader.cart_api
        super().__init__(api.session, api.auth, timeout, request_timeout, 'Cartd', DownloadError)
        self._url = str(api.cart_api_url).rstrip('/')
        self._ordered: list[str] = []
        self._journal: Path | None = None

    def take_over(self, journal: Path) -> None:
        """Write down in *journal* which carts there are, and delete those that a worker that died has left there."""
        if journal.exists():
            self._ordered += [f'{self._url}/{uid}' for uid in journal.read_text('ascii').split()]
        self._journal = journal
        self.delete_carts()

    def _note(self) -> None:
        if self._journal is not None:
            os.utime(self._journal.parent)  # it is in use
            self._journal.write_text('\n'.join(cart.rpartition('/')[2] for cart in self._ordered), 'ascii')

    def order(self, files: list[dict[str, Any]]) -> str:
        """Order a cart of *files* and return its URL."""
        def post() -> str:
            # A new id for each try: whether one got through whose answer was lost can't be known.
            cart = f'{self._url}/{uuid4()}'
            self._ordered.append(cart)
            self._note()
            try:
                with self.request('POST', cart, accept=(200, 201), json={'fileids': files}):
                    return cart
            except DownloadError as exc:
                if never_sent(exc):
                    self._ordered.remove(cart)
                raise
        return self.retry(post)

    def status(self, cart: str) -> str:
        """Return how *cart* is: ``staging``, ``ready`` or ``gone``; the error that Cartd answers with stays."""
        with self.request('HEAD', cart, accept=(200, 204, 404, 500)) as response:
            status = response.headers.get('X-Pacifica-Status', '')
            if response.status_code == 404:
                return 'gone'
            if status == 'error':
                raise DownloadError(
                    f'the cart {shown_url(cart)} failed: {tidy(response.headers.get("X-Pacifica-Message", ""))}',
                    status=response.status_code)
            if response.status_code == 500 or status not in ('staging', 'ready'):
                raise DownloadError(
                    f'HEAD {shown_url(cart)} was answered {response.status_code} with status {status!a}',
                    transient=True, status=response.status_code)
            return str(status)

    @contextmanager
    def archive(self, cart: str) -> Iterator[Any]:
        """Yield the tar of a *cart* that is ready, to read from."""
        url = f'{cart}?filename=data'
        with self.request('GET', url, accept=(200, 202, 404, 500)) as response:
            if response.status_code != 200:
                raise DownloadError(
                    f'GET {shown_url(cart)} was answered {response.status_code} although the cart was ready',
                    transient=True, status=response.status_code)
            yield _ArchiveStream(self, url, response.raw)

    def delete_carts(self) -> DownloadError | None:
        """Delete every cart that was ordered, as far as Cartd lets us; return why one could not be."""
        error = None
        for cart in list(self._ordered):
            try:
                with self.request('DELETE', cart, accept=(200, 204, 404)):
                    self._ordered.remove(cart)
            except DownloadError as exc:
                error = exc
        self._note()
        return error

    def clean_up(self) -> None:
        """Delete the carts that are left: Cartd would keep them for ever."""
        if (error := self.delete_carts()) is not None:
            _LOG.warning('cart.not_deleted', extra={
                'cart': shown_url(self._ordered[0]), 'carts': len(self._ordered), 'error': str(error)})


class _ArchiveStream:
    """The body of an answer, to read from; its interruption is a :class:`DownloadError`."""

    def __init__(self, service: CartService, url: str, raw: Any) -> None:
        self._service, self._url, self._raw = service, url, raw

    def read(self, size: int) -> bytes:
        with self._service.wrapped('GET', self._url):
            return bytes(self._raw.read(size))


def fetch(
    service: CartService, wanted: Mapping[str, File], meter: Meter, target: Path, cart_timeout: float | None = None,
) -> None:
    """Put the *wanted* files, by their paths, into *target*: all of them and each as the event says, or none.

    :param cart_timeout: seconds after which a cart that is still in staging gets another one beside it.
    """
    named = {_name_in_cart(path, number): (path, file) for number, (path, file) in enumerate(wanted.items())}
    orders = {name: _ordered_as(name, file) for name, (_, file) in named.items()}
    meter.advanced = service.progress
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.cart-', dir=target.parent) as directory:
        fresh, kept = Path(directory, 'data'), kept_directory()
        fresh.mkdir()
        came = fresh if kept is None else kept / 'data'
        if kept is not None:
            came.mkdir(exist_ok=True)
            service.take_over(kept / 'carts')
            named = {name: wish for name, wish in named.items() if not _is_there(came, *wish, meter)}
        for part in _parts(named):
            _fetch_part(service, part, orders, meter, came, cart_timeout)
            service.delete_carts()
        if kept is not None:
            made: set[str] = set()
            for path in wanted:
                make_parents(fresh, path, made)
                link(came / path, fresh / path)
        move(fresh, target, list(wanted))


def _is_there(came: Path, path: str, file: File, meter: Meter) -> bool:
    """Return whether an earlier attempt has left *file*."""
    if not is_right(came / path, file):
        return False
    meter.add(_size(file), 1)
    return True


def _parts(named: _Wanted) -> Iterator[_Wanted]:
    """Yield the files in parts, each small enough for one cart."""
    part: _Wanted = {}
    total = 0
    for name, (path, file) in named.items():
        size = _size(file)
        if part and (len(part) == _MOST_FILES or total + size > _MOST_BYTES):
            yield part
            part, total = {}, 0
        part[name] = path, file
        total += size
    if part:
        yield part


def _size(file: File) -> int:
    return file.size if isinstance(file.size, int) else 0


def _fetch_part(
    service: CartService, part: _Wanted, orders: Mapping[str, dict[str, Any]], meter: Meter, fresh: Path,
    cart_timeout: float | None,
) -> None:
    """Put the files of *part* into *fresh*; what came and is right is not ordered again, and leaves *part*."""
    wrong: set[str] = set()

    def once() -> None:
        patience = _patience(service, part) if cart_timeout is None else cart_timeout
        cart = _ready(service, [orders[name] for name in part], patience)
        with service.archive(cart) as stream:
            faults = unpack(stream, dict(part), meter, fresh, part.__delitem__)
        if faults:
            # The same file wrong in two carts: it is the archive that differs from the event, not an accident.
            lasting = wrong.intersection(faults)
            wrong.update(faults)
            raise DownloadError(
                f'the cart {shown_url(cart)} is not what the event says: {"; ".join(faults.values())}',
                transient=not lasting)

    service.retry(once)


def _patience(service: CartService, part: _Wanted) -> float:
    """Return the seconds after which a cart of *part* gets another one beside it."""
    work = len(part) / _FILES_A_SECOND + sum(_size(file) for _, file in part.values()) / _BYTES_A_SECOND
    return min(30.0, service.deadline.seconds / 4) + work


def _name_in_cart(path: str, number: int) -> str:
    return path if len(path) <= _LONGEST_PATH else f'.long-path-{_UNLIKELY}/{number}'


def _ordered_as(name: str, file: File) -> dict[str, Any]:
    if file._id is None:
        raise DownloadError(f'{file.path!a} has no _id in the event: the archive can\'t be asked for it')
    hasher(file)  # a hash that can't be compared is said before anything is fetched
    return {
        'id': file._id, 'path': name, 'hashtype': str(file.hashtype or ''), 'hashsum': str(file.hashsum or ''),
    }


def _ready(service: CartService, files: list[dict[str, Any]], patience: float) -> str:
    """Order a cart, and another when that takes too long; return the first that is ready."""
    carts, count, since = [service.order(files)], 1, time.monotonic()
    heard: str = 'nothing'
    last: DownloadError | None = None
    for _ in service.polls():
        for cart in list(carts):
            status, last = _ask(service, cart)
            if status == 'ready':
                return cart
            if status == 'gone':
                carts.remove(cart)
            heard = status or heard
        if service.out_of_time():
            break
        if not carts and count == _MOST_CARTS:
            raise DownloadError(f'{count} carts vanished from Cartd before they were ready', status=404)
        if not carts or (time.monotonic() - since > patience and count < _MOST_CARTS):
            _LOG.warning('cart.ordered_again', extra={'carts': count, 'files': len(files)})
            carts, count, since = [*carts, service.order(files)], count + 1, time.monotonic()
    raise DownloadError(
        f'no cart was ready in {service.limit}: {count} ordered, {heard} heard of them'
        f'{f", and in the end: {last}" if last else ""}', transient=True, status=last.status if last else None)


def _ask(service: CartService, cart: str) -> tuple[str | None, DownloadError | None]:
    """Return how *cart* is, or a bad answer: one alone says nothing about a cart, so it is asked again."""
    try:
        return service.status(cart), None
    except DownloadError as exc:
        if not exc.transient:
            raise
        return None, exc
