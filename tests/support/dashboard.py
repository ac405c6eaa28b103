"""A dashboard over a database of its own, with a worker that runs when a test says so, and a browser's part in HTTP."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.transitions import Heartbeat
from pacifica.dispatcher._queue.values import QueueName
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.router import Router
from support.databases import connections_to, model_in
from support.events import received, router_to
from support.front_door import Answer, Client, cherrypy_server
from support.queues import APPLICATION, TASK, drain, queue_of, status

SCRIPT_NAME = '/events'

Fields = Mapping[str, str] | Sequence[tuple[str, str]]


class Site:
    """The served dashboard; ``handle`` is what happens to events, and may be changed."""

    def __init__(self, model: Any, router: Router) -> None:
        self.model = model
        self.queue = queue_of(model, router)
        self.worker = self.queue.create_worker()
        self.client: Client

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return f'http://127.0.0.1:{self.client.port}{SCRIPT_NAME}/dashboard/'

    def show_worker(self, letter: str, owner: str, engine: str, concurrency: int) -> None:
        """Have a worker in the table that has just been heard of."""
        with connections_to(self.model) as connections:
            Store(Writer(connections), QueueName(APPLICATION, TASK)).beat(
                Heartbeat(letter * 32, QueueName(APPLICATION, TASK), owner, engine, concurrency, 30.0))

    def accept(self, **attributes: Any) -> str:
        """Store an event; return its task id."""
        return str(self.queue.accept([received(**attributes)])[0])

    def run(self) -> None:
        """Handle all that is due."""
        drain(self.worker)

    def status(self, task_id: str) -> str | None:
        """Return the status of an event."""
        return status(self.model, task_id)

    def get(self, path: str = '', **headers: str) -> Answer:
        """Ask for a page, relative to the dashboard."""
        return self.client.get(f'{SCRIPT_NAME}/dashboard/{path}', **headers)

    def text(self, path: str = '', **headers: str) -> str:
        """Return the HTML of a page."""
        answer = self.get(path, **headers)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def press(
        self, path: str, fields: Fields, on: str | None = None, headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Post *fields* to *path* as the form on the page *on* would; *headers* are sent with both."""
        self.get(path if on is None else on, **dict(headers or {}))
        return self.post(path, fields, headers)

    def post(self, path: str, fields: Fields, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a form."""
        return self.client.request(
            'POST', f'{SCRIPT_NAME}/dashboard/{path}', urlencode(fields).encode(),
            {'Content-Type': 'application/x-www-form-urlencoded', **(headers or {})})


def ids_in(html: str) -> list[str]:
    """Return the task ids that a list links to."""
    return re.findall(r'id="e-([0-9a-f-]{36})"', html)


def older_in(html: str) -> str | None:
    """Return the address of the next page, relative to the dashboard."""
    found = re.search(r'id="older"[^>]*href="\./([^"]*)"', html)
    return unescape(found[1]) if found else None


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header with which a browser logs in."""
    return {'Authorization': 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode()}


@contextmanager
def dashboard_site(
    directory: Path, handle: Callable[[Any], object] = lambda event: None, **settings: Any,
) -> Iterator[Site]:
    """Serve a dashboard under ``/events``; *settings* go to ``create_cherrypy_app``."""
    with model_in(f'sqlite:///{directory / "events.db"}') as model:
        site = Site(model, router_to(handle))
        with cherrypy_server(model.create_cherrypy_app(site.queue, script_name=SCRIPT_NAME, **settings)) as client:
            site.client = client
            yield site
