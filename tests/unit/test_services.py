"""A service that is not there skips a test with the reason, and fails it in CI."""

from __future__ import annotations

import pytest

from support.services import Service, require, require_promtool, require_stack

NOWHERE = Service('Nothing', 'PACIFICA_TEST_NOTHING', 'http://127.0.0.1:1/')


def test_absent_service_skips_and_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CI', raising=False)
    with pytest.raises(pytest.skip.Exception, match='no Nothing at 127.0.0.1:1 .*PACIFICA_TEST_NOTHING says where'):
        require(NOWHERE)


def test_absent_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CI', 'true')
    with pytest.raises(pytest.fail.Exception, match='no Nothing at'):
        require(NOWHERE)


def test_environment_says_where_a_service_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PACIFICA_TEST_NOTHING', 'http://127.0.0.1:2/')
    assert NOWHERE.url == 'http://127.0.0.1:2/'


def test_absent_promtool_skips_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PACIFICA_TEST_PROMTOOL', '/nowhere/promtool')
    monkeypatch.delenv('CI', raising=False)
    with pytest.raises(pytest.skip.Exception, match='no promtool .*PACIFICA_TEST_PROMTOOL says where'):
        require_promtool()
    monkeypatch.setenv('CI', 'true')
    with pytest.raises(pytest.fail.Exception, match='no promtool'):
        require_promtool()


def test_absent_stack_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CI', raising=False)
    monkeypatch.delenv('PACIFICA_STACK', raising=False)
    with pytest.raises(pytest.skip.Exception, match='PACIFICA_STACK is not set'):
        require_stack()
