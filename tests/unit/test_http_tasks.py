"""What the parameters of the list mean."""

import pytest

from pacifica.dispatcher._http.answers import Refusal
from pacifica.dispatcher._http.tasks import ListQuery


@pytest.mark.parametrize('text, since', [
    ('2026-11-24', '2026-11-24 00:00:00.000000'),
    ('2026-11-24T08:54:35Z', '2026-11-24 08:54:35.000000'),
    ('2026-11-24 08:54:35.7', '2026-11-24 08:54:35.700000'),
    ('2026-11-24T08:54:35.1234567z', '2026-11-24 08:54:35.123456'),
    ('2026-11-24T08:54:35.5+02:00', '2026-11-24 06:54:35.500000'),
])
def test_a_time_is_utc_unless_it_says_otherwise(text, since):
    assert ListQuery.parse({'since': text}).since == since


def test_all_parameters_that_make_no_sense_are_named():
    with pytest.raises(Refusal) as caught:
        ListQuery.parse({'limit': '0', 'after': 'x', 'status': 'lost', 'since': 'y'})
    assert [field for field, _ in caught.value.faults] == ['limit', 'after', 'status', 'since']


@pytest.mark.parametrize('text', ['failed', 'Failed', '500', '500 Internal Server Error'])
def test_a_status_may_be_called_as_people_call_it(text):
    assert ListQuery.parse({'status': text}).status == '500 Internal Server Error'
