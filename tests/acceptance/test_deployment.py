"""Every command that the deployment guide, its units and its compose.yaml show starts, and handles an event."""

from __future__ import annotations

import configparser
import getpass
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
import yaml

from support.databases import temporary_database
from support.deployment import PASSWORD, TOKEN, Deployment
from support.documents import DEPLOYED, DEPLOYMENT, rst_blocks
from support.events import wait_until
from support.processes import free_port

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(180),
    pytest.mark.skipif(os.name == 'nt', reason='systemd, forks and POSIX signals'),
]

LINES = rst_blocks(DEPLOYMENT, 'sh')
WORKER = LINES['worker']


def unit_command(name: str) -> str:
    """Return the ``ExecStart=`` of a unit, its instance being ``1``, its programs those of the tests."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read(DEPLOYED / 'systemd' / name)
    command = unit['Service']['ExecStart'].replace('/opt/pacifica-dispatcher/venv/bin/', '')
    return command.replace('%i', uuid4().hex).replace('%%', '%')


def compose_command(name: str) -> list[str]:
    """Return what a service of compose.yaml runs, with the image's entry point."""
    service = yaml.safe_load((DEPLOYED / 'compose.yaml').read_text())['services'][name]
    return [str(DEPLOYED / 'with-secrets'), *service['command']]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """The guide's service on SQLite."""
    return Deployment(tmp_path)


@pytest.mark.parametrize('line', [
    LINES['gunicorn'],
    LINES['gunicorn'].replace('gunicorn ', 'gunicorn --preload ', 1),
    LINES['uwsgi'],
    LINES['uwsgi'].replace('--lazy-apps ', ''),
], ids=['gunicorn', 'gunicorn-preload', 'uwsgi', 'uwsgi-app-before-fork'])
def test_a_wsgi_server_receives_and_a_worker_process_handles(deployment: Deployment, line: str) -> None:
    with deployment.running(WORKER), deployment.running(line) as server:
        record = deployment.handled(server)
        assert (record['taskStatus'], record['exceptionType']) == ('200 OK', None)
        address = f'http://127.0.0.1:{deployment.port}'
        assert requests.get(f'{address}/', timeout=30).status_code == 401
        assert requests.get(f'{address}/?access_token={TOKEN}', timeout=30).status_code == 403
        assert requests.get(f'{address}/', auth=('operator', PASSWORD), timeout=30).status_code == 200
        if 'uwsgi' in line and '--lazy-apps' in line:  # told to stop while it loads, uWSGI ends with an error
            server.expect(r'(?s)WSGI app 0.* ready in .*WSGI app 0.* ready in ')
    assert TOKEN not in server.output  # nor in a log of requests


def test_the_unit_of_one_process_receives_and_handles(deployment: Deployment) -> None:
    with deployment.running(unit_command('pacifica-dispatcher.service')) as service:
        assert deployment.handled(service)['taskStatus'] == '200 OK'


def test_the_units_of_receiver_and_workers_work_together(deployment: Deployment) -> None:
    worker = unit_command('pacifica-dispatcher-worker@.service')
    with deployment.running(worker), deployment.running(worker), \
            deployment.running(unit_command('pacifica-dispatcher-receiver.service')) as receiver:
        assert deployment.handled(receiver)['taskStatus'] == '200 OK'


def test_the_receivers_unit_is_told_when_it_is_up(deployment: Deployment) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(deployment.folder / 'notify'))
        manager.settimeout(30)
        command = unit_command('pacifica-dispatcher-receiver.service')
        with deployment.running(command, NOTIFY_SOCKET=str(deployment.folder / 'notify')):
            assert b'READY=1' in manager.recv(4096)


def test_the_celery_units_worker_handles_what_the_receiver_accepts(
    deployment: Deployment, rabbitmq_url: str,
) -> None:
    queue = f'test-{uuid4().hex}'
    module = deployment.folder / 'celery_service.py'
    text = module.read_text()
    module.write_text(text.replace('task_default_queue=NAME', f'task_default_queue={queue!r}'))  # the broker is shared
    assert module.read_text() != text
    receiver = LINES['gunicorn'].replace('wsgi:', 'celery_wsgi:')
    worker = unit_command('pacifica-dispatcher-celery@.service')
    with deployment.running(worker, BROKER_URL=rabbitmq_url), \
            deployment.running(receiver, BROKER_URL=rabbitmq_url) as server:
        assert deployment.handled(server)['taskStatus'] == '200 OK'


# --- compose.yaml: its commands, with its secrets as files, on the databases it names

@pytest.fixture
def composed(tmp_path: Path) -> Iterator[tuple[Deployment, dict[str, str]]]:
    """The guide's service on PostgreSQL, its URL in a file; the environment says where that is, and the settings."""
    with temporary_database('postgresql', tmp_path) as url:
        deployment = Deployment(tmp_path)
        del deployment.environment['DATABASE_URL'], deployment.environment['PACIFICA_DISPATCHER_CONFIG']
        (tmp_path / 'database_url').write_text(url + '\n')
        worker = yaml.safe_load((DEPLOYED / 'compose.yaml').read_text())['services']['worker']['environment']
        settings = {name: value for name, value in worker.items() if name.startswith('PACIFICA_DISPATCHER_')}
        yield deployment, {'DATABASE_URL_FILE': str(tmp_path / 'database_url'), **settings}


def migrate(deployment: Deployment, environment: dict[str, str]) -> str:
    return subprocess.run(
        compose_command('migrate'), cwd=deployment.folder, env={**os.environ, **deployment.environment, **environment},
        check=True, capture_output=True, text=True).stdout


def test_compose_migrates_receives_and_handles(composed: tuple[Deployment, dict[str, str]]) -> None:
    deployment, environment = composed
    assert migrate(deployment, environment) == 'made the table\n'
    with deployment.running(compose_command('worker'), **environment), \
            deployment.running(compose_command('receiver'), **environment) as receiver:
        assert deployment.handled(receiver)['taskStatus'] == '200 OK'


def test_compose_does_so_with_celery_and_asks_its_worker_whether_it_is_well(
    composed: tuple[Deployment, dict[str, str]], rabbitmq_url: str,
) -> None:
    deployment, environment = composed
    module = deployment.folder / 'celery_service.py'
    queue = f'test-{uuid4().hex}'
    module.write_text(module.read_text().replace('task_default_queue=NAME', f'task_default_queue={queue!r}'))
    (deployment.folder / 'broker_url').write_text(rabbitmq_url)
    environment['BROKER_URL_FILE'] = str(deployment.folder / 'broker_url')
    name = uuid4().hex
    migrate(deployment, environment)
    with deployment.running([*compose_command('worker-celery'), '--hostname', f'celery@{name}'], **environment), \
            deployment.running(compose_command('receiver-celery'), **environment) as receiver:
        assert deployment.handled(receiver)['taskStatus'] == '200 OK'
        services = yaml.safe_load((DEPLOYED / 'compose.yaml').read_text())['services']
        kind, check = services['worker-celery']['healthcheck']['test']
        assert kind == 'CMD-SHELL'
        path = f'{DEPLOYED}{os.pathsep}{deployment.environment["PATH"]}'
        done = subprocess.run(
            ['sh', '-c', check.replace('$$', '$')], cwd=deployment.folder, check=False, capture_output=True, text=True,
            env={**os.environ, **deployment.environment, **environment, 'PATH': path, 'HOSTNAME': name})
        assert done.returncode == 0, done.stdout + done.stderr


# --- nginx

NGINX = """
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log stderr notice;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    include {folder}/site.conf;
}}
"""


def test_nginx_in_front_forwards_whole_bodies_and_logs_no_token(deployment: Deployment) -> None:
    nginx = shutil.which('nginx', path=f'{os.environ["PATH"]}{os.pathsep}/usr/sbin')
    if nginx is None:
        pytest.skip('nginx is not installed; that its file is well-formed is tested all the same')
    folder = deployment.folder
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=here',
         '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', folder / 'key', '-out', folder / 'crt'],
        check=True, capture_output=True)
    secure, plain = free_port(), free_port()
    site = (DEPLOYED / 'nginx.conf').read_text()
    for old, new in (
        ('127.0.0.1:8069', f'127.0.0.1:{deployment.port}'), ('listen 443', f'listen 127.0.0.1:{secure}'),
        ('listen 80;', f'listen 127.0.0.1:{plain};'), ('/var/log/nginx', str(folder)),
        ('/etc/nginx/tls/events.example.org.', f'{folder}/'),
    ):
        assert old in site
        site = site.replace(old, new)
    (folder / 'site.conf').write_text(site)
    (folder / 'nginx.conf').write_text(NGINX.format(folder=folder, user=getpass.getuser()))
    address, trusted = f'https://127.0.0.1:{secure}', {'verify': str(folder / 'crt')}
    headers = {'Authorization': f'Bearer {TOKEN}', 'Content-Type': 'application/json'}
    command = [nginx, '-p', str(folder), '-c', str(folder / 'nginx.conf')]
    with deployment.running(WORKER), deployment.running(LINES['uwsgi']), deployment.running(command) as proxy:
        wait_until(lambda: listens(deployment.port))
        assert deployment.handled(proxy, address, **trusted)['taskStatus'] == '200 OK'
        body = json.dumps({**deployment.event, 'eventID': 'another'}).encode()
        chunked = requests.post(f'{address}/receive', data=iter([body[:9], body[9:]]), headers=headers, **trusted)
        assert chunked.status_code == 200
        large = requests.post(f'{address}/receive', data=b' ' * 10_000_001, headers=headers, **trusted)
        assert (large.status_code, large.json()['status']) == (413, '413 Request Entity Too Large')
        assert requests.get(f'{address}/?access_token={TOKEN}', **trusted).status_code == 403
        assert requests.get(f'http://127.0.0.1:{plain}/').status_code == 403
    log = (folder / 'dispatcher.log').read_text()
    assert '"GET / HTTP/1.1" 403' in log
    assert TOKEN not in log


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', port)) == 0
