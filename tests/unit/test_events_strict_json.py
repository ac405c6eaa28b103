"""JSON that is accepted is JSON to the letter; what is refused says why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher._events.strict_json import MAX_DEPTH, dumps, loads, parse, parse_event, raw_members
from pacifica.dispatcher.exceptions import InvalidEventError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8,
)


@pytest.mark.parametrize('body', [
    b'', b' ', b'{', b'{"a":1,}', b'[1]x', b'nul', b"{'a':1}", b'"\x00"', b'"a\nb"', b'01', b'+1', b'.5', b'"\\x"',
    b'NaN', b'[Infinity]', b'-Infinity', b'\xef\xbb\xbf{}', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"',
    b'1e999', b'-1e999', b'1' * 5000, b'["\\ud800", NaN]', b'["\\ud800", 1e999]', b'{} {}',
])
def test_what_is_not_json_is_refused(body):
    with pytest.raises(InvalidEventError):
        parse(body)


@pytest.mark.parametrize('body', [
    b'{"a":1,"a":1}', b'{"a":{"b":1,"c":{"b":2,"b":3}}}', b'[{"a":1},[{"x":[],"x":[]}]]', b'{"a":1,"\\u0061":2}',
    b'{"":1,"":2}', b'{"a":"\\u003a","b":1,"b":2}', b'{":":1,":":2}', b'{"a":"\\ud800","a":1}', b'{"a" : 1, "a" :2}',
    b'{"a":"x\\u003A","a":"x"}',
])
def test_a_key_that_appears_twice_is_refused_wherever_it_is(body):
    with pytest.raises(InvalidEventError, match='twice'):
        parse(body)


@pytest.mark.parametrize('opening, closing', [(b'[', b']'), (b'{"a":', b'}'), (b'["]",{"}":', b'}]')])
def test_nesting_is_limited(opening, closing):
    levels = MAX_DEPTH // (opening.count(b'{') + opening.count(b'[') if b'"]"' not in opening else 2)
    parse(opening * levels + b'1' + closing * levels)
    for more in (levels + 1, 100_000):
        with pytest.raises(InvalidEventError, match='deep'):
            parse(opening * more + b'1' + closing * more)
        with pytest.raises(InvalidEventError):
            parse(opening * more)


def test_brackets_in_strings_are_not_nesting():
    body = json.dumps(['[' * 1000, '\\"[{' * 500, ']'] * 300).encode()
    assert parse(body).value == json.loads(body)


@given(JSON)
def test_good_json_is_what_the_standard_library_makes_of_it(value):
    for ensure_ascii in (True, False):
        try:
            body = json.dumps(value, ensure_ascii=ensure_ascii).encode()
        except UnicodeEncodeError:
            continue  # a lone surrogate, which has no UTF-8
        document = parse(body)
        assert document.value == value and document.text.encode() == body
        assert loads(document.text) == value


@given(st.lists(st.tuples(st.text(':ab\\"\x00é'), JSON), max_size=6), st.booleans())
def test_a_key_twice_is_found_whatever_is_around_it(pairs, ensure_ascii):
    def write(value):
        return json.dumps(value, ensure_ascii=ensure_ascii)

    body = ('{' + ','.join(f'{write(name)}:{write(value)}' for name, value in pairs) + '}').encode()
    if len({name for name, _ in pairs}) == len(pairs):
        assert parse(body).value == dict(pairs)
    else:
        with pytest.raises(InvalidEventError, match='twice'):
            parse(body)


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0123 \n-eE.truefalsn').map(str.encode))
def test_any_bytes_are_a_document_or_an_error(body):
    try:
        document = parse(body)
    except InvalidEventError:
        return
    json.loads(document.text)


ITEMS = st.lists(st.dictionaries(
    st.sampled_from(['_id', 'name', 'value', 'ctime', 'odd', ':']), st.text(':[]{}\\"é') | st.integers() | JSON,
    max_size=4), min_size=1, max_size=5)


@given(ITEMS, st.sampled_from([{}, {'a': ':'}, {'b': [1, {'c': [':']}]}]), st.booleans())
def test_large_events_are_read_as_small_ones(items, rest, ensure_ascii):
    event = {**rest, 'data': items + [{'name': 'x' * 20_000}], 'z': 1}
    try:
        body = json.dumps(event, ensure_ascii=ensure_ascii).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate, which has no UTF-8
    document = parse_event(body)
    assert document.text.encode() == body
    assert {name: value for name, value in document.value.items() if name != 'data'} == {**rest, 'z': 1}
    assert isinstance(document.value['data'], list)
    assert json.loads(raw_members(document)['data']) == event['data']


@pytest.mark.parametrize('item', [
    b'{"name":1,"name":2}', b'{"name":":","name":":"}', b'{"name":"\\u003a","_id":1,"_id":2}', b'{"name":NaN}',
    b'{"name":1e999}', b'{"name":"\xff"}', b'{"name":' + b'[' * 250 + b']' * 250 + b'}', b'{"name":1,}',
    b'{"odd":1,"odd":1}',
])
@pytest.mark.parametrize('rest', [b'"a":1', b'"a":":","b":{"c":[]}'])
def test_large_events_are_refused_as_small_ones(item, rest):
    padding = b'{"name":"' + b'x' * 20_000 + b'"}'
    parse_event(b'{' + rest + b',"data":[' + padding + b']}')
    for body in (b'{%b,"data":[%b,%b]}', b'{"data":[%b,%b],%b}', b'{"data":[],%b,"data":[%b,%b]}'):
        order = (rest, padding, item) if not body.startswith(b'{"data":[%') else (padding, item, rest)
        with pytest.raises(InvalidEventError):
            parse_event(body % order)
    with pytest.raises(InvalidEventError):
        parse_event(b'{%b,"data":[%b],%b}' % (rest, padding, rest))
    with pytest.raises(InvalidEventError):
        parse_event(b'{"deep":%b,"data":[%b]}' % (b'[' * 250 + b']' * 250, padding))


def test_lone_surrogates_nul_and_large_integers_are_kept():
    body = b'{"a": "\\ud800", "b": "\\u0000", "c": 123456789012345678901234567890}'
    document = parse(body)
    assert document.value == {'a': '\ud800', 'b': '\x00', 'c': 123456789012345678901234567890}
    assert document.text.encode() == body
    assert raw_members(document)['a'] == '"\\ud800"'
    assert loads(dumps(document.value)) == document.value
