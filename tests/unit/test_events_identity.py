"""Which event it is, out of its JSON, for each version of the specification."""

from __future__ import annotations

import pytest

from pacifica.dispatcher._events import Identity, identify
from support.events import dumps, ingest_event

TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'


def test_of_0_1() -> None:
    event = ingest_event(eventID='7', source='/s', extensions={'traceparent': TRACEPARENT, 'subject': 'x'})
    assert identify(dumps(event)) == Identity('7', 'org.pacifica.metadata.ingest', '/s', '0.1', 'x', TRACEPARENT)


def test_of_1_0() -> None:
    event = {'specversion': '1.0', 'id': '7', 'type': 't', 'source': '/s', 'traceparent': TRACEPARENT,
             'tracestate': 'a=b', 'data': {'id': 8}}
    assert identify(dumps(event)) == Identity('7', 't', '/s', '1.0', None, TRACEPARENT, 'a=b')


@pytest.mark.parametrize('data', ['"\\ud800"', '1' + '0' * 400])
def test_data_that_few_can_read_does_not_matter(data: str) -> None:
    assert identify('{"specversion": "1.0", "id": "7", "type": "t", "source": "/s", "data": %s}' % data).event_id == '7'


def test_what_is_no_text_is_left_out() -> None:
    event = ingest_event(extensions={'traceparent': 7})
    assert identify(dumps(event)).traceparent is None
    assert identify(dumps({**event, 'extensions': None})).traceparent is None
