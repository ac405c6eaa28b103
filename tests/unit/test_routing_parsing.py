"""A path that jsonpath2 refuses is refused with the form to write instead, and nothing is printed."""

from __future__ import annotations

import pytest
from jsonpath2.path import Path

from pacifica.dispatcher._routing import parse
from pacifica.dispatcher._routing.cures import CURES
from pacifica.dispatcher.event_handlers import NoopEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.router import Route

# What people write, what they are told of it, and what they are to write instead, if that can be said.
REFUSED = [
    ('$[?(@["a"] == "b")]', 'write = for ==', '$[?(@["a"] = "b")]'),
    ('$[?(@["a"] = "b" && @["c"] = 1)]', 'write and for &&', '$[?(@["a"] = "b" and @["c"] = 1)]'),
    ('$[?(@["a"] = "b" || @["c"] = 1)]', 'write or for ||', '$[?(@["a"] = "b" or @["c"] = 1)]'),
    ('$[?(!@.a)]', 'write not for !', '$[?(not @.a)]'),
    ("$[?(@.a = 'b')]", 'write "…" for \'…\'', '$[?(@.a = "b")]'),
    ("$['a','b']", 'write "…" for \'…\'', '$["a","b"]'),
    (r"$[?(@.a = 'it\'s')]", 'write "…" for \'…\'', '$[?(@.a = "it\'s")]'),
    ('$[“a”]', 'write "…" with straight quotes', '$["a"]'),
    ('$[?@.a]', 'write a filter as ?(…), with parentheses', '$[?(@.a)]'),
    ('$.data[?@.a[?@.b = 1]]', 'write a filter as ?(…), with parentheses', '$.data[?(@.a[?(@.b = 1)])]'),
    ('@.a', 'begin with $, the event', '$.a'),
    ('eventType', 'begin with $, the event', '$.eventType'),
    ('$[?(@.a <> 3)]', 'write != for is not equal', '$[?(@.a != 3)]'),
    ('$[?(@.a = 1 AND NOT @.b)]', 'write and, or and not in small letters', '$[?(@.a = 1 and not @.b)]'),
    ('$[?(@.a = True)]', 'write true and false in small letters', '$[?(@.a = true)]'),
    ('$[?(@.a = None)]', 'write null for no value', '$[?(@.a = null)]'),
    ('$[?(@.a is not null)]', 'write != for is not', '$[?(@.a != null)]'),
    ('$[?(@.a is null)]', 'write = for is', '$[?(@.a = null)]'),
    ('$[?(length(@.a) = 3)]', 'write a function after its value, as in @["name"][length()]', '$[?(@.a[length()] = 3)]'),
    ('$[?(value(@.a) = 3)]', 'write the path alone for value(…)', '$[?(@.a = 3)]'),
    ('$.data[(@.length-1)]', 'write [-1] for the last element', '$.data[-1]'),
    ('$.café.a-b', 'write a name that has more than letters, digits and _ as ["…"]', '$["café"]["a-b"]'),
    ('$[?(@.a = b)]', 'write text that is compared as "…"', '$[?(@.a = "b")]'),
    ('$.a = 1', 'a comparison is in a filter, as in $[?(@["eventType"] = "…")]', None),
    ('$[?match(@.a, "b.*")]', 'there are no regular expressions: compare the end or beginning, as in '
     '@["name"][substring(-4)] = ".csv"', None),
    ('$[?(count(@.a) = 3)]', 'there is no count(): @["data"][length()] is how many elements an array has', None),
    ('$[?(@.a in ["b"])]', 'there is no in: compare with each, as in @["key"] = "a" or @["key"] = "b"', None),
    ('$[?(@.a.endsWith(".csv"))]',
     'there is no endsWith(): there are charAt(N), entries(), keys(), length(), substring(FROM,TO) and values()', None),
    ("$.data[?@.a=='x && y' && (@.b>3 || !@.c)]",
     'write "…" for \'…\'; write = for ==; write and for &&; write or for ||; write not for !; '
     'write a filter as ?(…), with parentheses', '$.data[?(@.a="x && y" and (@.b>3 or not @.c))]'),
    ('$[', "line 1:2 mismatched input '<EOF>' expecting {'@', '$', '*', ':', '?', ID, STRING, NUMBER}", None),
]


@pytest.mark.parametrize('path, says, instead', REFUSED)
def test_a_refused_path_is_told_what_to_write(
    path: str, says: str, instead: str | None, capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Route.parse(path, NoopEventHandler())
    assert str(error.value) == f'{path!r} is no JSONPath: {says}' + (f'; so: {instead}' if instead else '')
    assert capfd.readouterr() == ('', '')
    if instead:
        assert parse(instead) == Path.parse_str(instead)


def test_each_cure_is_tried() -> None:
    assert {cure.says for cure in CURES} <= {each for _, says, _ in REFUSED for each in says.split('; ')}


@pytest.mark.parametrize('path', [
    '$[?(@["a"] = "== && || !")]', '$.data[*].in', '$[?(@.is = 1 and not @.None)]', '$.a[::-1]', ' $ .a', '$..*',
    '$.a[?(@.b), ?(@.c != -5e3)]', '$[?(@.a[substring(-4)] = ".csv")]', '$[?(@["it\'s"] = 1)]', '$[$.a, @.b]',
])
def test_what_jsonpath2_reads_is_read(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert parse(path) == Path.parse_str(path)
    assert capfd.readouterr() == ('', '')
