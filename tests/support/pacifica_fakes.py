"""Cartd and Ingest as small servers on the loopback, which speak the real ones' protocol and fail as a test says.

What they answer when nothing is wrong is what the real services answer; the tests on these, with PACIFICA_STACK set,
run the same transfers.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

from support.fakes import Fake, Handler


def tar_of(contents: dict[str, bytes], top: str = 'data') -> bytes:
    """Return an archive as Cartd makes them: the top folder, folders, files."""
    stream, folders = io.BytesIO(), set()
    with tarfile.open(mode='w|', fileobj=stream, format=tarfile.PAX_FORMAT) as archive:
        for path, content in contents.items():
            parts = f'{top}/{path}'.split('/')
            for end in range(1, len(parts)):
                if (folder := '/'.join(parts[:end])) not in folders:
                    folders.add(folder)
                    member = tarfile.TarInfo(folder)
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(member)
            member = tarfile.TarInfo('/'.join(parts))
            member.size, member.mtime = len(content), 1795509022.5
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class FakeCartd(Fake):
    """Cartd with an archive of these files, by their paths."""

    def __init__(self, contents: dict[str, bytes], port: int = 0) -> None:
        super().__init__(port)
        self.contents = contents
        self.carts: dict[str, list[dict[str, Any]]] = {}
        self.ordered: list[list[dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.polls = 0
        #: How many carts stay in staging for ever.
        self.stuck = 0
        #: Makes the tar of a cart; a test replaces it.
        self.archive: Callable[[dict[str, bytes]], bytes] = tar_of

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Begin a cart."""
        self.carts[path] = json.loads(handler.body())['fileids']
        self.ordered.append(self.carts[path])
        handler.answer_json({'message': 'Cart Processing has begun'}, 201)

    def do_head(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Say how a cart is."""
        self.polls += 1
        if path not in self.carts:
            handler.answer(404, X_Pacifica_Status='error', X_Pacifica_Message=f'No cart with uid {path} found')
        elif list(self.carts).index(path) < self.stuck:
            handler.answer(204, X_Pacifica_Status='staging', X_Pacifica_Message='')
        elif missing := [file for file in self.carts[path] if file['path'] not in self.contents]:
            handler.answer(500, X_Pacifica_Status='error', X_Pacifica_Message=f'Failed to pull file({missing})')
        else:
            handler.answer(204, X_Pacifica_Status='ready', X_Pacifica_Message='')

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Send a cart, chunked, as it is made while it is sent."""
        wanted = {file['path']: self.contents[file['path']] for file in self.carts[path]}
        body = self.archive(wanted)
        handler.send_response(200)
        handler.send_header('Transfer-Encoding', 'chunked')
        handler.end_headers()
        for start in range(0, len(body), 10240):
            chunk = body[start:start + 10240]
            handler.wfile.write(b'%x\r\n%b\r\n' % (len(chunk), chunk))
        handler.wfile.write(b'0\r\n\r\n')

    def do_delete(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Delete a cart."""
        if self.carts.pop(path, None) is None:
            handler.answer_json({'message': 'Not Found'}, 404)
            return
        self.deleted.append(path)
        handler.answer_json({'message': 'Cart Deleted Successfully'})


class FakeIngest(Fake):
    """Ingest that checks bundles as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.bundles: list[bytes] = []
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        #: The states that each job goes through, instead of what the bundle deserves; a test sets it.
        self.script: list[dict[str, Any]] | None = None

    def do_post(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Begin a job."""
        body, job_id = handler.body(), len(self.jobs) + 1
        self.bundles.append(body)
        end = {'task': 'ingest metadata', 'task_percent': '100.00000', 'complete': True}
        if fault := fault_of_bundle(body):
            end = {'state': 'FAILED', 'task': 'ingest files', 'complete': True, 'exception': fault}
        self.jobs[job_id] = list(self.script) if self.script is not None else [{'task': 'open tar'}, end]
        handler.answer_json(self.state(job_id, {}))

    def do_get(self, handler: Handler, path: str, query: dict[str, list[str]]) -> None:
        """Say how a job is, and let it go on."""
        job_id = int(query['job_id'][0])
        if job_id not in self.jobs:
            handler.answer_json({'message': f'job ID {job_id} does not exist.', 'traceback': 'Traceback'}, 404)
            return
        states = self.jobs[job_id]
        handler.answer_json(self.state(job_id, states.pop(0) if len(states) > 1 else states[0]))

    @staticmethod
    def state(job_id: int, more: dict[str, Any]) -> dict[str, Any]:
        """Return the record of a job."""
        return {
            'job_id': job_id, 'state': 'OK', 'task': 'UPLOADING', 'task_percent': '0.00000', 'complete': False,
            'updated': '2026-11-24 08:54:09.034399', 'created': '2026-11-24 08:54:09.034399', 'exception': '', **more,
        }


def fault_of_bundle(body: bytes) -> str | None:
    """Return what Ingest would say against a bundle; ``None`` if it is right."""
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode='r:') as archive:
            metadata = json.load(archive.extractfile('metadata.txt'))
            for item in metadata:
                if item['destinationTable'] == 'Files':
                    # As the real one: one leading "data" is taken away.
                    parts = f'{item["subdir"]}/{item["name"]}'.removeprefix('data/').split('/')
                    path = '/'.join(['data', *filter(None, parts)])
                    content = archive.extractfile(path).read()
                    if hashlib.new(item['hashtype'], content).hexdigest() != item['hashsum']:
                        return f'File {path} failed to validate.'
    except (tarfile.TarError, KeyError, ValueError) as exc:
        return str(exc)
    return None
