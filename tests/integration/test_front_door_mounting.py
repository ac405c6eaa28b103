"""Where the front door can be mounted, and what happens when CherryPy's engine starts with it."""

import cherrypy
import pytest

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher.authentication import BearerTokens, Secret
from pacifica.dispatcher.exceptions import ConfigurationError
from support.front_door import INGEST, MemoryStore, cherrypy_server, wsgi_server


class Other:
    @cherrypy.expose
    def index(self):
        return b'x'


def test_it_works_under_a_script_name_beside_other_applications():
    store = MemoryStore()
    other = cherrypy.Application(Other(), '', {'/': {'tools.encode.on': False}})
    with cherrypy_server(other, create_application(store.accept, store, script_name='/events')) as client:
        task_id = client.post(INGEST, path='/events/receive').json()
        assert client.get(f'/events/status/{task_id}').json() == '202 Accepted'
        assert client.get('/events').json() == client.get('/events/').json() != []
        assert client.get('/receive').status == 404
        assert client.get('/').body == b'x'


def test_it_works_with_the_configuration_of_0_2_consumers():
    store = MemoryStore()
    config = {'/': {'request.dispatch': cherrypy.dispatch.MethodDispatcher()}}
    with cherrypy_server(create_application(store.accept, store), config=config) as client:
        task_id = client.post(INGEST).json()
        assert client.get(f'/status/{task_id}').json() == '202 Accepted'
        assert client.get('/get/x').status == 422
        assert client.get('/status').status == 404
        assert client.request('PUT', '/receive').status == 405


def test_rights_hold_with_the_configuration_of_0_2_consumers_too():
    store = MemoryStore()
    config = {'/': {'request.dispatch': cherrypy.dispatch.MethodDispatcher()}}
    application = create_application(store.accept, store, authenticate=[
        BearerTokens(Secret('sends'), {'send'}), BearerTokens(Secret('reads'), {'read'})])
    with cherrypy_server(application, config=config) as client:
        for path in ('/', '/status/x', '/get/x', '/openapi.json', '/receive'):
            statuses = [client.get(path, **headers).status for headers in (
                {}, {'Authorization': 'Bearer sends'}, {'Authorization': 'Bearer reads'})]
            assert statuses[0] == 401
            assert (statuses[1] == 403, statuses[2] == 403) == (path != '/receive', path == '/receive')
        assert client.post(INGEST).status == 401


def test_it_works_under_another_wsgi_server_without_the_engine():
    store = MemoryStore()
    with wsgi_server(create_application(store.accept, store)) as client:
        task_id = client.post(INGEST).json()
        assert client.get(f'/status/{task_id}').json() == '202 Accepted'
        assert client.post({}).status == 400


@pytest.mark.parametrize('script_name, mounted, found, not_found', [
    ('', '/a/b', '/a/b/receive', '/receive'),
    ('/events', '', '/events/receive', '/receive'),
    ('/events', '/events', '/events/receive', '/events/events/x'),
    ('/events', '/outer', '/outer/events/receive', '/receive'),
    ('/events', '/elsewhere', '/elsewhere/receive', '/receive'),
])
def test_middleware_may_mount_it_anywhere(script_name, mounted, found, not_found):
    store = MemoryStore()
    application = create_application(store.accept, store, script_name=script_name)

    def outer(environ, start_response):
        if mounted and environ['PATH_INFO'].startswith(mounted + '/'):
            environ['SCRIPT_NAME'] = mounted
            environ['PATH_INFO'] = environ['PATH_INFO'][len(mounted):]
        elif mounted:
            start_response('404 Not Found', [])
            return [b'']
        return application(environ, start_response)

    with wsgi_server(outer) as client:
        assert client.post(INGEST, path=found).status == 200
        assert client.post(INGEST, path=not_found).status == 404
        assert client.post(INGEST, path='/1234567/receive').status == 404


def test_the_schema_is_made_when_the_engine_starts_with_it_mounted():
    calls = []
    store = MemoryStore()
    mounted = create_application(store.accept, store, on_start=lambda: calls.append('mounted'))
    elsewhere = create_application(store.accept, store, on_start=lambda: calls.append('elsewhere'))
    assert calls == []
    with cherrypy_server(mounted):
        assert calls == ['mounted']
    assert elsewhere.script_name == ''


def test_an_impossible_database_keeps_the_engine_from_starting():
    def refuse():
        raise ConfigurationError('sqlite:///:memory: can\'t be served: use a file')

    store = MemoryStore()
    application = create_application(store.accept, store, on_start=refuse)
    with pytest.raises(ConfigurationError, match='use a file'), cherrypy_server(application):
        pass
    assert cherrypy.engine.state == cherrypy.engine.states.EXITING
