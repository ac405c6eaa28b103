"""Who may see the dashboard and who may press its buttons; what other sites can't make a browser do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import cherrypy
import pytest

from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret
from support.dashboard import SCRIPT_NAME, Site, basic, dashboard_site, ids_in
from support.front_door import Answer, wsgi_server

READER, OPERATOR = basic('reader', 'r'), basic('operator', 'o')
FAILED = '500 Internal Server Error'
RETRY_ALL = {'action': 'retry', 'all': '1', 'confirmed': '1'}


def handle(event: Any) -> None:
    """Fail, as long as the event says so."""
    if event.event_type != 'good':
        raise ValueError('broken')


@pytest.fixture(scope='module')
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with dashboard_site(tmp_path_factory.mktemp('guarded'), handle, authenticate=[
        Basic({'reader': Secret('r')}, {'read'}),
        Basic({'operator': Secret('o')}, rights={'read', 'operate'}),
        BearerTokens(Secret('sender'), rights={'send'}),
    ]) as served:
        yield served


def test_without_credentials_a_browser_is_asked_for_them(guarded: Site) -> None:
    for path in ('', 'events', 'events/x', 'nothing', '?fragment=1'):
        answer = guarded.get(path)
        assert answer.status == 401 and 'Basic' in answer.headers['WWW-Authenticate']
        assert answer.headers['Content-Type'] == 'text/html; charset=utf-8'
    assert guarded.get('static/dashboard.css').status == 200


def test_to_read_needs_the_right_to_read(guarded: Site) -> None:
    assert guarded.get('', Authorization='Bearer sender').status == 403
    assert guarded.get('', **READER).status == 200


def test_a_reader_sees_no_buttons_and_an_operator_does(guarded: Site) -> None:
    task_id = guarded.accept()
    for path in ('events', f'events/{task_id}'):
        assert 'method="post"' not in guarded.text(path, **READER)
        assert 'Set-Cookie' not in guarded.get(path, **READER).headers
        assert 'method="post"' in guarded.text(path, **OPERATOR)


def test_it_works_with_the_configuration_of_0_2_consumers(guarded: Site) -> None:
    scheme = Basic({'reader': Secret('r')}, {'read'})
    application = guarded.model.create_cherrypy_app(guarded.queue, authenticate=scheme)
    config = {'/': {'request.dispatch': cherrypy.dispatch.MethodDispatcher()}}
    application.merge(config)
    with wsgi_server(application) as client:
        task_id = guarded.accept()
        for path in ('', 'events', f'events/{task_id}'):
            assert client.get(f'/dashboard/{path}', **READER).status == 200
            assert client.get(f'/dashboard/{path}').status == 401
        assert client.get('/dashboard/static/dashboard.css').status == 200


def test_it_works_behind_a_proxy_that_takes_a_prefix_away(guarded: Site) -> None:
    """All addresses are relative to the page."""
    for path in ('', 'events', f'events/{guarded.accept()}', 'events?q=x'):
        html = guarded.text(path, **OPERATOR)
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', html):
            assert re.match(r'(\./|\.\./|#)', address), address


def failed(site: Site, **attributes: Any) -> str:
    """Return the id of a new event that has failed."""
    task_id = site.accept(**attributes)
    site.run()
    assert site.status(task_id) == FAILED
    return task_id


def test_retry_runs_the_event_again_and_tells_who_wanted_it(guarded: Site) -> None:
    task_id = failed(guarded)
    answer = guarded.press(f'events/{task_id}', {'action': 'retry'}, headers=OPERATOR)
    assert (answer.status, answer.headers['Location']) == (303, '?done=retry')
    assert guarded.status(task_id) == '202 Accepted'
    html = guarded.text(f'events/{task_id}?done=retry', **OPERATOR)
    assert 'The event runs again.' in html and re.search(r'Retried</strong> by <bdi>operator</bdi>', html)


def test_an_event_runs_again_with_other_parameters_those_that_were_changed(guarded: Site) -> None:
    task_id = failed(guarded)
    page = f'events/{task_id}'
    assert 'Run again with these' in guarded.text(page, **OPERATOR) and 'Run again with' not in guarded.text(
        page, **READER)

    answer = guarded.press(
        page, {'action': 'set', 'parameters': 'threshold = 5\r\nmode=fast\r\n\r\n'}, headers=OPERATOR)

    assert (answer.status, answer.headers['Location']) == (303, '?done=retry')
    guarded.run()
    html = guarded.text(page, **OPERATOR)
    assert '>threshold=5\nmode=fast</textarea>' in html
    assert 'by <bdi>operator</bdi>' in html and '{&#34;threshold&#34;: 5, &#34;mode&#34;: &#34;fast&#34;}' in html
    guarded.press(page, {'action': 'set', 'parameters': 'threshold=5\nmode=slow'}, headers=OPERATOR)
    acts = [entry['parameters'] for entry in guarded.client.get(
        f'{SCRIPT_NAME}/get/{task_id}', **OPERATOR).json()['history'] if 'action' in entry]
    assert acts == [{'threshold': 5, 'mode': 'fast'}, {'mode': 'slow'}]
    guarded.run()


@pytest.mark.parametrize('lines, said', [
    ('threshold', 'is not NAME=VALUE, for example threshold=5'), ('', 'no parameter is another than before'),
    ('=5', 'is no name of a parameter'), (f'a={"x" * 10_000}', '10000 are the most'),
])
def test_parameters_that_are_none_are_refused_with_the_reason(guarded: Site, lines: str, said: str) -> None:
    task_id = failed(guarded)

    answer = guarded.press(f'events/{task_id}', {'action': 'set', 'parameters': lines}, headers=OPERATOR)

    assert answer.status == 422 and said in answer.body.decode() and guarded.status(task_id) == FAILED


def test_cancel_ends_an_event_that_waits(guarded: Site) -> None:
    task_id = guarded.accept()
    assert guarded.press(f'events/{task_id}', {'action': 'cancel'}, headers=OPERATOR).status == 303
    assert guarded.status(task_id) == FAILED
    assert 'CancelledError' in guarded.text(f'events/{task_id}', **OPERATOR)


def test_a_program_cancels_by_a_call_of_its_own(guarded: Site) -> None:
    def call(task_id: str, **headers: str) -> Answer:
        return guarded.client.request('POST', f'{SCRIPT_NAME}/cancel/{task_id}', b'', headers)

    done, waiting, running = failed(guarded), guarded.accept(), guarded.accept()
    held = guarded.queue._store.claim_task(UUID(running), 'me', 60)

    ended, again = call(waiting, **OPERATOR), call(waiting, **OPERATOR)
    assert (ended.status, ended.json()) == (200, FAILED) and again.status == 409
    assert call(done, **OPERATOR).status == 409
    told = call(running, **OPERATOR)
    assert (told.status, told.json()) == (200, '102 Processing')
    assert guarded.queue._store.cancelled([held]) == [(held, 'operator')]
    assert call('00000000-0000-7000-8000-000000000000', **OPERATOR).status == 404
    assert (call(running, **READER).status, call(running).status) == (403, 401)
    assert call(running, **OPERATOR, **{'Sec-Fetch-Site': 'cross-site'}).status == 403


@pytest.mark.parametrize('action, status', [('cancel', 409), ('delete', 422), ('', 422)])
def test_what_can_not_be_done_changes_nothing(guarded: Site, action: str, status: int) -> None:
    task_id = failed(guarded)
    answer = guarded.press(f'events/{task_id}', {'action': action}, headers=OPERATOR)
    assert answer.status == status and answer.headers['Content-Type'] == 'text/html; charset=utf-8'
    assert guarded.status(task_id) == FAILED


def test_an_event_that_waits_is_not_retried(guarded: Site) -> None:
    task_id = guarded.accept()
    assert guarded.press(f'events/{task_id}', {'action': 'retry'}, headers=OPERATOR).status == 409


def test_an_unknown_event_is_not_found(guarded: Site) -> None:
    nowhere = 'events/00000000-0000-7000-8000-000000000000'
    assert guarded.press(nowhere, {'action': 'retry'}, on='events', headers=OPERATOR).status == 404


@pytest.mark.parametrize('headers', [READER, {}, {'Authorization': 'Bearer sender'}, basic('operator', 'wrong')])
def test_nobody_else_presses_a_button(guarded: Site, headers: dict[str, str]) -> None:
    task_id = failed(guarded)
    fields = {'action': 'retry', 'type': 'x'}
    for path in (f'events/{task_id}', 'events'):
        known = headers == READER or 'Bearer' in str(headers)
        assert guarded.post(path, fields, headers).status == (403 if known else 401)
    assert guarded.status(task_id) == FAILED


@pytest.mark.parametrize('headers, status', [
    ({'Sec-Fetch-Site': 'same-origin'}, 303),
    ({'Sec-Fetch-Site': 'cross-site'}, 403),
    ({'Sec-Fetch-Site': 'same-site'}, 403),
    ({'Sec-Fetch-Site': 'none'}, 403),
    ({'Origin': 'http://127.0.0.1:{port}'}, 303),
    ({'Origin': 'http://127.0.0.1:1'}, 403),
    ({'Origin': 'https://evil.example.org'}, 403),
    ({'Origin': 'null'}, 403),
    ({'Origin': 'https://dispatcher.example.org', 'X-Forwarded-Host': 'dispatcher.example.org'}, 303),
    ({'Origin': 'https://dispatcher.example.org', 'Host': 'dispatcher.example.org'}, 303),
    ({}, 303),
], ids=str)
def test_another_site_presses_no_button(guarded: Site, headers: dict[str, str], status: int) -> None:
    task_id = failed(guarded)
    sent = {name: value.format(port=guarded.client.port) for name, value in headers.items()}
    answer = guarded.press(f'events/{task_id}', {'action': 'retry'}, headers={**OPERATOR, **sent})
    assert answer.status == status
    assert guarded.status(task_id) == ('202 Accepted' if status == 303 else FAILED)


@pytest.mark.parametrize('body, content_type, status', [
    (b'{"action": "retry"}', 'application/json', 415), (b'action=retry', '', 415), (b'action=%FF', None, 400),
    (b'\xff', None, 400), (b'a=1&' * 100, None, 400), (b'x' * 70_000, None, 413),
])
def test_only_a_small_form_is_taken(guarded: Site, body: bytes, content_type: str | None, status: int) -> None:
    form = 'application/x-www-form-urlencoded' if content_type is None else content_type
    answer = guarded.client.request(
        'POST', SCRIPT_NAME + '/dashboard/events', body, {'Content-Type': form, **OPERATOR})
    assert answer.status == status and b'<h1>' in answer.body


def test_a_get_changes_nothing(guarded: Site) -> None:
    task_id = failed(guarded)
    assert guarded.get(f'events/{task_id}?action=retry', **OPERATOR).status == 404
    assert guarded.status(task_id) == FAILED


def test_all_failed_of_a_filter_run_again_and_no_others(guarded: Site) -> None:
    chosen = [failed(guarded, eventType='chosen') for _ in range(3)]
    other = failed(guarded, eventType='other')
    answer = guarded.press('events', {**RETRY_ALL, 'type': 'chosen'}, on='events?type=chosen', headers=OPERATOR)
    assert answer.status == 303
    assert {guarded.status(task_id) for task_id in chosen} == {'202 Accepted'}
    assert guarded.status(other) == FAILED
    html = guarded.text('events' + answer.headers['Location'], **OPERATOR)
    assert '3 events run again.' in html and 'None is left.' in html and set(ids_in(html)) == set(chosen)


def test_retrying_all_is_bounded_and_goes_on_where_it_stopped(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pacifica.dispatcher._operate.actions._MOST_AT_ONCE', 4)
    monkeypatch.setattr('pacifica.dispatcher._operate.actions.BATCH', 2)
    ids = [failed(guarded, eventType='many') for _ in range(7)]
    answer = guarded.press('events', {**RETRY_ALL, 'type': 'many'}, on='events', headers=OPERATOR)
    html = guarded.text('events' + answer.headers['Location'], **OPERATOR)
    assert '4 events run again.' in html and '3 are left.' in html and 'Retry the next ones' in html
    guarded.run()  # they fail again at once, which doesn't make them the next ones
    before = re.search(r'name="before" value="([^"]+)"', html)
    assert before
    answer = guarded.press('events', {**RETRY_ALL, 'type': 'many', 'before': before[1]}, on='events', headers=OPERATOR)
    html = guarded.text('events' + answer.headers['Location'], **OPERATOR)
    assert '3 events run again.' in html and 'None is left.' in html
    assert [guarded.status(each) for each in ids] == ['202 Accepted'] * 3 + [FAILED] * 4


def test_only_what_failed_is_retried_all_at_once(guarded: Site) -> None:
    answer = guarded.press('events', {**RETRY_ALL, 'status': '200 OK'}, on='events', headers=OPERATOR)
    assert answer.status == 422 and b'nly events in 422 Unprocessable Entity or 500' in answer.body


@pytest.mark.parametrize(('action', 'status', 'said'), [
    ('retry', '202 Accepted', '2 events run again.'), ('replay', '202 Accepted', 'run again from the beginning.'),
    ('cancel', FAILED, '0 events were told to end. 2 could not be cancelled'),
])
def test_what_is_chosen_is_done_once_it_is_confirmed(guarded: Site, action: str, status: str, said: str) -> None:
    chosen, other = [failed(guarded, eventType='picked') for _ in range(2)], failed(guarded, eventType='picked')
    fields = [('action', action), ('type', 'picked'), *(('id', task_id) for task_id in chosen)]

    asked = guarded.press('events', fields, on='events', headers=OPERATOR)

    assert asked.status == 200 and f'{action.capitalize()} 2 events?'.encode() in asked.body
    assert {guarded.status(task_id) for task_id in (*chosen, other)} == {FAILED}
    answer = guarded.press('events', [*fields, ('confirmed', '1')], on='events', headers=OPERATOR)
    assert [guarded.status(task_id) for task_id in (*chosen, other)] == [status, status, FAILED]
    html = guarded.text('events' + answer.headers['Location'], **OPERATOR)
    assert said in ' '.join(html.split())


@pytest.mark.parametrize(('action', 'number'), [('retry', 3), ('replay', 3), ('cancel', 1)])
def test_all_that_match_are_counted_before_anything_is_done(guarded: Site, action: str, number: int) -> None:
    for _ in range(3):
        failed(guarded, eventType=f'counted.{action}')
    guarded.accept(eventType=f'counted.{action}')

    asked = guarded.press('events', {'action': action, 'all': '1', 'type': f'counted.{action}'}, on='events',
                          headers=OPERATOR)

    assert f'<h1>{action.capitalize()} {number} event'.encode() in asked.body
    guarded.run()


@pytest.mark.parametrize('fields', [
    {'action': 'retry'}, {'action': 'burn', 'all': '1'}, {}, {'action': 'retry', 'id': 'x'},
    {'action': 'cancel', 'all': '1', 'status': 'ok'}, {'action': 'replay', 'all': '1', 'before': 'x'},
], ids=str)
def test_what_makes_no_sense_is_refused_before_anything_is_done(guarded: Site, fields: dict[str, str]) -> None:
    assert guarded.press('events', fields, on='events', headers=OPERATOR).status == 422
