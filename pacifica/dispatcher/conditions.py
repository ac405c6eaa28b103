"""Conditions of routes in plain terms, for those who don't want to write a JSONPath::

    router.add_route(
        event_type('org.pacifica.metadata.ingest') & instrument(54) & files('*.csv') & ~project('calibration'),
        handler)

A condition *is* a :class:`jsonpath2.path.Path`, so it goes wherever one does; ``&``, ``|`` and ``~`` combine conditions
with each other and with any such path. Its text is the JSONPath that gives the same answers, where there is one: files
have none.

Numbers and texts are compared as people expect: ``instrument(54)`` holds for 54 and for ``"54"``. What else an event
may have there, such as ``true``, a list or nothing, is neither; no event makes a condition raise.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from pacifica.dispatcher._conditions.kinds import EventType, Field, Files, KeyValue, comparable
from pacifica.dispatcher._conditions.logic import Condition
from pacifica.dispatcher._patterns import Patterns
from pacifica.dispatcher.exceptions import ConfigurationError

__all__ = ['Condition', 'event_type', 'files', 'instrument', 'key_value', 'project', 'submitter']


def event_type(*types: str) -> Condition:
    """Hold for events of one of these types: ``eventType`` of CloudEvents 0.1, ``type`` of later ones.

    :raises ConfigurationError: without any, or if one is no text.
    """
    for each in types:
        if not isinstance(each, str):
            raise ConfigurationError(f'the type of an event is a text, not {each!r}')
    return EventType(_some('type', types))


def project(*ids: str | int) -> Condition:
    """Hold for transactions of one of these projects; their ids are texts.

    :raises ConfigurationError: without any, or if one is neither text nor number.
    """
    return Field('project', _some('project', ids))


def instrument(*ids: int | str) -> Condition:
    """Hold for transactions from one of these instruments.

    :raises ConfigurationError: without any, or if one is neither text nor number.
    """
    return Field('instrument', _some('instrument', ids))


def submitter(*ids: int | str) -> Condition:
    """Hold for transactions that one of these users has uploaded.

    :raises ConfigurationError: without any, or if one is neither text nor number.
    """
    return Field('submitter', _some('submitter', ids))


def key_value(key: str, *values: str | int | float) -> Condition:
    """Hold for transactions with this key and one of these values; without any value, with this key.

    :raises ConfigurationError: if the key is no text, or a value neither text nor number.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f'the key of a key-value is a text, not {key!r}')
    return KeyValue(key, _checked(values))


def files(*patterns: str) -> Condition:
    """Hold for transactions with a file that one of these patterns matches, as they would in ``.gitignore``.

    ``*.csv`` is at any depth, ``raw/*.csv`` in the directory ``raw`` at the top, ``raw/**`` in it or below.

    :raises ConfigurationError: without any, or if one can't match.
    """
    if not patterns:
        raise ConfigurationError('files() needs a pattern, for example "*.csv"')
    Patterns(patterns)
    return Files(patterns)


def _some(what: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ConfigurationError(f'a condition of the {what} needs at least one to compare with')
    return _checked(values)


def _checked(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for each in values:
        if not comparable(each) or (isinstance(each, float) and not isfinite(each)):
            raise ConfigurationError(f'what a condition compares with is a text or a number, not {each!r}')
    return tuple(int(each) if isinstance(each, float) and each.is_integer() else each for each in values)
