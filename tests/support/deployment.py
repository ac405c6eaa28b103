"""The deployment guide's service in a directory of a test's own: its modules, secrets and commands, on free ports."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from support.command_line import Running, started
from support.documents import DEPLOYED, PROJECT
from support.events import wait_until
from support.processes import free_port
from support.staging import DEMO_EVENT, write_demo_files

SECONDS = 100.0
TOKEN, PASSWORD = 'open-sesame', 'close-sesame'

_EXAMPLE = PROJECT / 'docs' / 'examples' / 'uppercase' / 'pacifica'
_PROGRAMS = Path(sys.executable).parent
# The example is no part of what is installed for the tests, and the namespace looks in site-packages only.
_SITE = f'import pacifica\npacifica.__path__.append({str(_EXAMPLE)!r})\n'


class Deployment:
    """What an administrator has put into one directory, as the guide says.

    :param folder: an empty directory.
    :param database_url: where events are kept; by default in a SQLite file there.
    """

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.secrets = folder / 'credentials'
        self.secrets.mkdir()
        (self.secrets / 'notifications').write_text(TOKEN + '\n')
        (self.secrets / 'operator').write_text(PASSWORD + '\n')
        for module in DEPLOYED.glob('*.py'):
            (folder / module.name).write_bytes(module.read_bytes())
        (folder / 'sitecustomize.py').write_text(_SITE)
        write_demo_files(folder / 'archive')
        self.event: dict[str, Any] = json.loads(DEMO_EVENT)
        self.environment = {
            'DATABASE_URL': database_url or f'sqlite:///{folder / "events.db"}',
            'PACIFICA_DISPATCHER_CONFIG': str(DEPLOYED / 'dispatcher.toml'),
            'CREDENTIALS_DIRECTORY': str(self.secrets), 'LOCAL_DIRECTORY': str(folder / 'archive'),
            'PYTHONPATH': str(folder), 'PATH': f'{_PROGRAMS}{os.pathsep}{os.environ["PATH"]}',
            'HOME': str(folder),  # where gunicorn puts the socket that controls it
        }

    @contextmanager
    def running(self, command: str | list[str], **environment: str) -> Iterator[Running]:
        """Run a command of the guide, its port 8069 replaced; stopped as systemd and Docker do, with SIGTERM."""
        words = [word.replace('8069', str(self.port)) for word in (
            shlex.split(command) if isinstance(command, str) else command)]
        with started(cwd=self.folder, env={**self.environment, **environment}, program=words) as service:
            try:
                yield service
            except BaseException:
                print(service.output)
                raise
            finally:  # a server that is killed instead would leave its own processes behind
                status = service.stop()
            assert status == 0, service.output

    def handled(self, service: Running, base: str | None = None, **options: Any) -> Mapping[str, Any]:
        """Send the event with its sender's token, once *service* listens; return its record once it was handled."""
        base = base or f'http://127.0.0.1:{self.port}'
        with requests.Session() as session:
            session.trust_env = False

            def post() -> requests.Response | None:
                assert service.process.poll() is None, service.output
                try:
                    return session.post(f'{base}/receive', json=self.event, timeout=SECONDS,
                                        headers={'Authorization': f'Bearer {TOKEN}'}, **options)
                except requests.ConnectionError:
                    return None

            def record() -> Mapping[str, Any] | None:
                found: dict[str, Any] = session.get(
                    f'{base}/get/{answer.json()}', auth=('operator', PASSWORD), timeout=SECONDS, **options).json()
                return None if found['taskStatus'].startswith(('102', '202')) else found

            answer: requests.Response = wait_until(post, SECONDS)
            assert answer.status_code == 200, answer.text
            return dict(wait_until(record, SECONDS))
