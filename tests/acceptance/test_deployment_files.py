"""The files that the deployment guide ships are what systemd, Compose, Docker and nginx read."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import crossplane
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from support.command_line import ROUTES, run
from support.documents import DEPLOYED, DEPLOYMENT, PROJECT, rst_blocks
from support.fakes import Answers, Scripted

UNITS = sorted((DEPLOYED / 'systemd').glob('*.service'))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYED / 'compose.yaml').read_text())
SERVICES: dict[str, Any] = COMPOSE['services']


@pytest.mark.parametrize('unit', UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit_and_finds_it_hardened(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which('systemd-analyze')
    if analyze is None:
        pytest.skip('systemd-analyze is not installed')
    text = unit.read_text()
    assert '/opt/pacifica-dispatcher/venv/bin/' in text
    copy = tmp_path / unit.name.replace('@', '@1')
    copy.write_text(text.replace('/opt/pacifica-dispatcher/venv/bin', str(Path(sys.executable).parent)))
    done = subprocess.run([analyze, 'verify', '--man=no', copy], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    security = [analyze, 'security', '--offline=true', '--threshold=20', '--no-pager', copy]
    assert subprocess.run(security, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize('unit', UNITS, ids=lambda unit: unit.name)
def test_a_unit_waits_longer_than_the_grace_of_handlers(unit: Path) -> None:
    [seconds] = re.findall(r'^TimeoutStopSec=(\d+)$', unit.read_text(), re.MULTILINE)
    [grace] = re.findall(r'^grace = (\d+)$', (DEPLOYED / 'dispatcher.toml').read_text(), re.MULTILINE)
    assert int(seconds) > int(grace) + 5


def test_compose_waits_longer_than_the_grace_of_handlers() -> None:
    worker = SERVICES['worker']
    grace = worker['environment']['PACIFICA_DISPATCHER_GRACE']
    assert int(worker['stop_grace_period'].removesuffix('s')) > int(grace.removesuffix('s')) + 5


def test_the_units_settings_are_settings_the_suggested_ones_too(tmp_path: Path) -> None:
    (tmp_path / 'served.py').write_text(ROUTES)
    text = re.sub(r'^#(?=\w+ = )', '', (DEPLOYED / 'dispatcher.toml').read_text(), flags=re.MULTILINE)
    assert {'concurrency', 'memory_limit', 'max_backlog'} <= set(re.findall(r'^(\w+) =', text, re.MULTILINE))
    (tmp_path / 'dispatcher.toml').write_text(text)
    named = 'PACIFICA_DISPATCHER_CONFIG=/etc/pacifica-dispatcher/dispatcher.toml\n'
    assert named in (DEPLOYED / 'systemd' / 'environment').read_text()
    last = {'PACIFICA_DISPATCHER_METRICS_PORT': '0'}  # the last that is read: it doesn't start
    done = run('work', 'served:router', '--config', 'dispatcher.toml', cwd=tmp_path, env=last)
    assert "Invalid value for '--metrics-port'" in done.stderr


def test_compose_yaml_is_valid_by_composes_own_schema() -> None:
    command = [sys.executable, '-m', 'check_jsonschema', '--builtin-schema', 'vendor.compose-spec']
    done = subprocess.run([*command, DEPLOYED / 'compose.yaml'], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_compose_services_name_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get('depends_on', ())) <= set(SERVICES), name
        for other, how in service.get('depends_on', {}).items():
            assert how['condition'] != 'service_healthy' or 'healthcheck' in SERVICES[other]
        secrets = {secret if isinstance(secret, str) else secret['source'] for secret in service.get('secrets', ())}
        assert secrets <= set(COMPOSE['secrets']), name
        assert {volume.partition(':')[0] for volume in service.get('volumes', ())} <= set(COMPOSE['volumes']), name
        files = [value for key, value in service.get('environment', {}).items() if key.endswith('_FILE')]
        assert {value.removeprefix('/run/secrets/') for value in files} <= secrets, name


def test_the_script_makes_every_secret_that_compose_names_and_keeps_it(tmp_path: Path) -> None:
    def run() -> dict[str, str]:
        subprocess.run([DEPLOYED / 'make-secrets'], cwd=tmp_path, check=True)
        return {path.name: path.read_text() for path in (tmp_path / 'secrets').iterdir()}

    made = run()
    assert {f'secrets/{name}' for name in made} >= {one['file'] for one in COMPOSE['secrets'].values()}
    assert run() == made
    assert made['database_password'].strip() in made['database_url']
    assert (tmp_path / 'secrets').stat().st_mode & 0o077 == 0


@pytest.mark.parametrize('status, healthy', [(200, True), (503, False)])
def test_the_receivers_health_check_follows_what_it_answers(status: int, healthy: bool) -> None:
    with Scripted(Answers(status)) as server:
        kind, _, *arguments = SERVICES['receiver']['healthcheck']['test']
        command = [sys.executable, *(word.replace('8069', str(server.port)) for word in arguments)]
        assert kind == 'CMD'
        assert (subprocess.run(command, check=False, capture_output=True).returncode == 0) is healthy
    assert [asked.path for asked in server.asked] == ['/health/ready']


def test_the_dockerfile_copies_what_is_there_and_runs_unprivileged() -> None:
    parser = DockerfileParser(fileobj=BytesIO((DEPLOYED / 'Dockerfile').read_bytes()))
    lines = [(line['instruction'], line['value']) for line in parser.structure]
    known = {'FROM', 'RUN', 'COPY', 'USER', 'WORKDIR', 'ENV', 'VOLUME', 'EXPOSE', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD'}
    assert {instruction for instruction, _ in lines} - {'COMMENT'} == known
    for instruction, value in lines:
        if instruction == 'COPY':
            assert [source for source in value.split()[:-1] if not (PROJECT / source).exists()] == []
        if instruction in ('ENTRYPOINT', 'CMD'):
            assert all(isinstance(word, str) for word in json.loads(value))
    assert dict(lines)['USER'] == 'dispatcher'


def test_nginx_conf_has_no_unknown_or_misplaced_directive(tmp_path: Path) -> None:
    (tmp_path / 'nginx.conf').write_text(f'events {{}}\nhttp {{ include {DEPLOYED / "nginx.conf"}; }}\n')
    parsed = crossplane.parse(str(tmp_path / 'nginx.conf'), strict=True)
    assert (parsed['status'], parsed['errors']) == ('ok', [])
    assert len(parsed['config']) == 2


def test_nginx_takes_no_more_than_the_receiver_does() -> None:
    assert 'client_max_body_size 100000000;' in (DEPLOYED / 'nginx.conf').read_text()


def test_the_backup_has_what_is_only_in_the_write_ahead_log(tmp_path: Path) -> None:
    if shutil.which('sqlite3') is None:
        pytest.skip('the program sqlite3 is not installed')
    with closing(sqlite3.connect(tmp_path / 'events.db', isolation_level=None)) as connection:
        connection.execute('PRAGMA journal_mode=WAL')
        connection.execute('CREATE TABLE events (id)')
        connection.execute('INSERT INTO events VALUES (1)')
        subprocess.run(['sh', '-ec', rst_blocks(DEPLOYMENT, 'sh')['backup']], cwd=tmp_path, check=True)
    with closing(sqlite3.connect(tmp_path / 'copy.db')) as connection:
        assert connection.execute('SELECT * FROM events').fetchall() == [(1,)]
