"""Credentials for HTTP services come from files and the environment; faults end in one line."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import click
import pytest
import requests

from pacifica.dispatcher._cli.credentials import credentials_options
from pacifica.dispatcher._cli.options import http_url
from pacifica.dispatcher._cli.output import UsageFault
from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._clients.http import HttpClient
from pacifica.dispatcher.exceptions import ConfigurationError
from support.fakes import Answers, Scripted


@click.command()
@credentials_options
def command(auth: Any) -> Any:
    """Return the credentials."""
    return auth


def auth_of(*arguments: str) -> Any:
    return command.main(list(arguments), standalone_mode=False)


def header_of(*arguments: str) -> str:
    """Return the header that a request gets."""
    return requests.Request('GET', 'http://127.0.0.1/', auth=auth_of(*arguments)).prepare().headers['Authorization']


def test_without_options_there_are_no_credentials() -> None:
    assert auth_of() is None


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'token').write_text('from-file\n')
    monkeypatch.setenv('SOME_TOKEN', 'from-environment')
    assert header_of('--token-file', str(tmp_path / 'token')) == 'Bearer from-file'
    assert header_of('--token-env', 'SOME_TOKEN') == 'Bearer from-environment'


@pytest.mark.parametrize('option', ['--password-file', '--password-env'])
def test_a_user_and_a_password_are_sent_in_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    (tmp_path / 'password').write_text('pass:wörd\n', 'utf-8')
    monkeypatch.setenv('SOME_PASSWORD', 'pass:wörd')
    source = str(tmp_path / 'password') if option == '--password-file' else 'SOME_PASSWORD'
    scheme, _, value = header_of('--user', 'Ärzte', option, source).partition(' ')
    assert (scheme, base64.b64decode(value).decode()) == ('Basic', 'Ärzte:pass:wörd')


@pytest.mark.parametrize('arguments, reason', [
    (['--user', 'me'], '--user needs'),
    (['--password-env', 'HOME'], '--user needs'),
    (['--token-env', 'HOME', '--user', 'me'], '--user needs'),
    (['--token-env', 'HOME', '--token-file', 'x'], 'give one of'),
    (['--token-env', 'NOT_SET_HERE'], 'NOT_SET_HERE holds no secret'),
    (['--token-file', 'not-here'], 'no secret can be read from not-here'),
    (['--token-env', 'TWO_LINES'], 'has characters that no token may have'),
])
def test_what_gives_no_credentials_is_refused(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('TWO_LINES', 'one\ntwo')
    with pytest.raises((UsageFault, ConfigurationError), match=reason):
        auth_of(*arguments)


@pytest.mark.parametrize('value', ['127.0.0.1:8069', 'ftp://host/', 'http://', 'http://host:port/', 'http://[::1/'])
def test_what_is_no_url_of_a_service_is_refused(value: str) -> None:
    with pytest.raises(click.BadParameter, match=re.escape(repr(value))):
        http_url(click.Context(command), click.Option(['--url']), value)


def test_a_url_with_credentials_is_refused_without_showing_them() -> None:
    with pytest.raises(click.BadParameter) as caught:
        http_url(click.Context(command), click.Option(['--url']), 'http://me:secret@host/')
    assert 'secret' not in caught.value.message and '--user' in caught.value.message


def test_a_service_that_is_down_is_named_with_what_to_check() -> None:
    with HttpClient() as client, pytest.raises(ClientError) as caught:
        client.request('GET', 'http://127.0.0.1:1/status')
    assert "can't reach http://127.0.0.1:1/status: Connection refused; check that" in caught.value.message


def test_a_service_that_does_not_speak_tls_is_named_with_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('NO_PROXY', '*')
    with Scripted(Answers(200)) as plain, HttpClient() as client, pytest.raises(ClientError) as caught:
        client.request('GET', plain.url.replace('http:', 'https:'))
    assert 'no secure connection to https://127.0.0.1' in caught.value.message
    assert 'check that it is https' in caught.value.message


def test_a_proxy_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HTTP_PROXY', 'http://127.0.0.1:1')
    monkeypatch.setenv('NO_PROXY', '')
    with HttpClient() as client, pytest.raises(ClientError, match='the proxy that the environment names'):
        client.request('GET', 'http://service.invalid/')
