"""The rate limit and the addresses that only this machine can reach."""

import pytest

from pacifica.dispatcher._http.webhook import AllowedOrigins, RateLimit, is_loopback
from pacifica.dispatcher.exceptions import ConfigurationError


def test_a_minutes_worth_may_come_at_once_and_then_one_after_another():
    now = 0.0
    limit = RateLimit(60, lambda: now)
    assert [limit.take() for _ in range(61)] == [0] * 60 + [1]
    now = 0.5
    assert limit.take() == 1
    now = 1.0
    assert (limit.take(), limit.take()) == (0, 1)
    now = 1000.0
    assert [limit.take() for _ in range(61)] == [0] * 60 + [1]


def test_no_limit_takes_everything():
    limit = RateLimit(None)
    assert not any(limit.take() for _ in range(1000)) and limit.grant(7) == '*'


def test_what_makes_no_sense_is_refused_at_once():
    with pytest.raises(ConfigurationError):
        RateLimit(0)
    with pytest.raises(ConfigurationError):
        AllowedOrigins('sender.example')


@pytest.mark.parametrize('host, expected', [
    ('127.0.0.1', True), ('127.9.9.9', True), ('localhost', True), ('::1', True), ('[::1]', True),
    ('0.0.0.0', False), ('::', False), ('', False), ('example.org', False), ('localhost.example', False),
])
def test_loopback_is_what_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected
