"""Reading an upload back: what Ingest calls done is looked for in the archive, byte for byte.

Called by the upload runner, if it was asked to. Knows the Policy service's list of a transaction's files, and fetches
these by a cart.

Source of the format: Pacifica Policy (https://pacifica-policy.readthedocs.io/): the answer to
``GET /status/transactions/files/<id>`` is an object of file records by their id. A transaction's id is that of the job
that ingested it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pacifica.dispatcher._transfers import cart
from pacifica.dispatcher._transfers.bundle import fingerprint
from pacifica.dispatcher._transfers.progress import Meter
from pacifica.dispatcher._transfers.service import Service
from pacifica.dispatcher._transfers.tree import remove
from pacifica.dispatcher.exceptions import DownloadError, UploadError
from pacifica.dispatcher.models import File

if TYPE_CHECKING:
    from pacifica.downloader.downloader import Downloader

__all__ = ['read_back']


class _PolicyService(Service):
    error = UploadError


def read_back(
    downloader: Downloader, policy_url: str | None, job_id: int, contents: str, timeout: float, request_timeout: float,
) -> str | None:
    """Return why the archive does not have what a job that is complete was sent; ``None`` if it has.

    :param policy_url: where Policy is; ``None``: where ``POLICY_ADDR`` and ``POLICY_PORT`` say, as for its clients.
    :param contents: the fingerprint of the bundle that was sent.
    :param timeout: wall-clock seconds for all of it.
    :raises UploadError: if the archive could not be asked.
    """
    host, port = os.environ.get('POLICY_ADDR', '127.0.0.1'), os.environ.get('POLICY_PORT', '8181')
    url = f'{policy_url or f"http://{host}:{port}"}/status/transactions/files/{job_id}'
    api = downloader.cart_api
    with _PolicyService(api.session, api.auth, timeout, request_timeout) as service:
        listed = service.retry(lambda: _files(service, url))
        if fingerprint(listed) != contents:
            return f'its transaction has {len(listed)} files, which are not those that were sent'
        return _fetch(downloader, listed, service.deadline.remaining, request_timeout) if listed else None


def _files(service: Service, url: str) -> list[File]:
    with service.request('GET', url) as response:
        return [File(**item) for item in service.json_of('GET', url, response).values() if isinstance(item, dict)]


def _fetch(downloader: Downloader, files: list[File], timeout: float, request_timeout: float) -> str | None:
    root = Path(tempfile.mkdtemp(prefix='pacifica-'))
    wanted = {file.path: file for file in files}
    try:
        with cart.CartService(downloader, timeout, request_timeout) as carts:
            cart.fetch(carts, wanted, Meter('download', len(files), None), root / 'data')
    except DownloadError as exc:
        if not exc.transient:
            return f'its files can\'t be read back: {exc}'
        raise UploadError(f'an upload could not be read back: {exc}', transient=True, status=exc.status) from exc
    finally:
        remove(root)
    return None
