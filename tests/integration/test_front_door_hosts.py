"""Under which names the front door is answered without authentication, so that no web site's page gets at it."""

import os
import stat

import pytest

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher._http.hosts import AllowedHosts
from pacifica.dispatcher.authentication import BearerTokens, Secret
from pacifica.dispatcher.exceptions import ConfigurationError
from support.databases import model_in
from support.front_door import MemoryStore, cherrypy_server, wsgi_server

SITE = {'Host': 'site.example:8069'}
BROWSER = {'Accept-Language': 'en', **SITE}
#: What a page of a site whose name leads here now has the browser send with a POST, over plain HTTP.
PAGE = {'Origin': 'http://site.example:8069', **BROWSER}


@pytest.fixture(scope='module', params=['127.0.0.1', '0.0.0.0'], ids=['loopback', 'everywhere'])
def served(request):
    store = MemoryStore()
    application = create_application(store.accept, store, allowed_hosts=['Dispatcher.lab'])
    settings = {'server.socket_host': request.param}
    with cherrypy_server(application, **settings) as client:
        client.store, client.on_loopback = store, request.param == '127.0.0.1'
        yield client


def status(client, headers, path='/'):
    return client.request('GET', path, headers=headers).status


def post(client, headers):
    return client.request('POST', '/receive', b'{}', {'Content-Type': 'application/json', **headers}).status


@pytest.mark.parametrize('path', ['/', '/openapi.json', '/get/x', '/status/x', '/nothing'])
def test_a_page_of_another_site_reads_nothing(served, path):
    answer = served.request('GET', path, headers=BROWSER)
    assert answer.status == 403 and "'site.example:8069'" in answer.json()['message']
    assert '--allow-host' in answer.json()['message']


def test_a_page_of_another_site_sends_nothing(served):
    assert post(served, PAGE) == 403
    assert served.request('OPTIONS', '/receive', headers=PAGE).status == 403
    assert not served.store.events


@pytest.mark.parametrize('host', [
    'localhost', 'LOCALHOST:8069', 'localhost.', '127.0.0.1', '127.1.2.3:80', '[::1]:8069', '10.0.0.7:8069',
    'dispatcher.lab:8069', 'DISPATCHER.lab.',
])
def test_addresses_and_allowed_names_are_answered(served, host):
    assert status(served, {**BROWSER, 'Host': host}) == 200
    assert post(served, {**PAGE, 'Host': host}) == 400  # for its body


@pytest.mark.parametrize('host', ['site.example', 'x.dispatcher.lab', 'localhost.site.example', '127.0.0.1.example'])
def test_other_names_are_refused(served, host):
    assert status(served, {**BROWSER, 'Host': host}) == 403


def test_programs_send_under_any_name_and_probes_ask_under_any(served):
    assert served.request('POST', '/receive', b'{}', {'Content-Type': 'application/json', **SITE}).status == 400
    assert served.request('OPTIONS', '/receive', headers=SITE).status == 200
    assert status(served, BROWSER, '/health/live') == 200


def test_programs_read_under_any_name_where_other_machines_reach_the_server(served):
    assert status(served, SITE) == (403 if served.on_loopback else 200)


def test_with_authentication_any_name_is_answered():
    store = MemoryStore()
    application = create_application(store.accept, store, authenticate=BearerTokens(Secret('s')))
    with wsgi_server(application) as client:  # CherryPy's engine may be in use
        assert status(client, {**BROWSER, 'Authorization': 'Bearer s'}) == 200


def test_any_name_is_answered_if_that_is_wanted():
    hosts = AllowedHosts(['*'])
    assert not hosts.refuse(PAGE, '', '127.0.0.1')


@pytest.mark.parametrize('names', ['dispatcher.lab', ['http://dispatcher.lab'], ['dispatcher.lab:8069'], ['']])
def test_what_is_no_list_of_names_is_refused(names):
    with pytest.raises(ConfigurationError, match='dispatcher.lab|no name'):
        AllowedHosts(names)


@pytest.mark.parametrize('path', ['//receive', '///receive', '//receive?', '//receive/'])
def test_slashes_before_the_path_mean_nothing(served, path):
    assert served.request('POST', path, b'{}', {'Content-Type': 'application/json'}).status == 400


@pytest.mark.parametrize('script_name', [None, 'events', 1])
def test_a_script_name_that_is_no_path_is_refused_at_once(script_name):
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match='script_name must be a path such as "/events"'):
        create_application(store.accept, store, script_name=script_name)


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no such modes')
def test_a_new_sqlite_file_is_its_owner_s_alone_and_one_that_is_there_stays_as_it_is(tmp_path):
    there = tmp_path / 'there.db'
    there.touch()
    there.chmod(0o664)
    modes = {}
    for name in ('new.db', 'there.db'):
        with model_in(f'sqlite:///{tmp_path}/{name}') as model:
            model.create_table()
            modes[name] = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob(f'{name}*')}
            assert len(list(tmp_path.glob(f'{name}*'))) == 3  # with -wal and -shm
    assert modes == {'new.db': {0o600}, 'there.db': {0o664}}
