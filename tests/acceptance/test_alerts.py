"""Each alert fires in its situation and in no other: ``alerts.test.yaml`` says when, and Prometheus's tool tries it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from support.documents import PROJECT
from support.services import require_promtool

RULES = PROJECT / 'docs' / 'grafana' / 'alerts.yaml'
TESTS = PROJECT / 'tests' / 'acceptance' / 'alerts.test.yaml'
ALERTS = [rule['alert'] for group in yaml.safe_load(RULES.read_text('utf-8'))['groups'] for rule in group['rules']]


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require_promtool(), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=200)


def tried_with(expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests on rules that all ask for *expression* instead."""
    document = yaml.safe_load(RULES.read_text('utf-8'))
    for rule in document['groups'][0]['rules']:
        rule['expr'] = expression
    (folder / 'alerts.yaml').write_text(yaml.safe_dump(document), 'utf-8')
    tests = yaml.safe_load(TESTS.read_text('utf-8'))
    tests['rule_files'] = ['alerts.yaml']
    (folder / TESTS.name).write_text(yaml.safe_dump(tests), 'utf-8')
    return promtool('test', 'rules', folder / TESTS.name)


def test_prometheus_takes_the_rules() -> None:
    checked = promtool('check', 'rules', RULES)
    assert checked.returncode == 0, checked.stdout


def test_each_alert_fires_in_its_situation_and_none_in_normal_operation() -> None:
    tried = promtool('test', 'rules', TESTS)
    assert tried.returncode == 0, tried.stdout


def test_of_each_alert_it_is_noticed_if_it_never_fires(tmp_path: Path) -> None:
    tried = tried_with('vector(1) > 1', tmp_path)
    assert tried.returncode != 0
    assert set(re.findall(r'alertname: ?(\w+)', tried.stdout)) == set(ALERTS)


def test_of_each_alert_it_is_noticed_if_it_always_fires(tmp_path: Path) -> None:
    tried = tried_with('vector(1)', tmp_path)
    assert tried.returncode != 0
    normal = tried.stdout.partition('name: no front door is there')[0]
    assert set(re.findall(r'alertname="(\w+)"', normal)) == set(ALERTS)
