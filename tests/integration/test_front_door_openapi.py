"""The OpenAPI document is valid, complete, and true: schemathesis calls every operation as it says."""

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from pacifica.dispatcher._http import create_application
from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret
from support.front_door import INGEST, MemoryStore, cherrypy_server, wsgi_server

STORE = MemoryStore()
SCHEMATHESIS = Path(sys.executable).with_name('schemathesis')


@pytest.fixture(scope='module')
def url():
    with cherrypy_server(create_application(STORE.accept, STORE, script_name='/events')) as client:
        client.post(INGEST, path='/events/receive')
        yield f'http://127.0.0.1:{client.port}/events'


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason='schemathesis is not installed: the extra test-openapi has it')
@pytest.mark.slow
def test_every_operation_does_what_its_description_says(url, tmp_path):
    """In a process of its own: schemathesis's pytest plugin lags behind pytest. A failure prints its seed and curl."""
    run = subprocess.run(
        [SCHEMATHESIS, 'run', url + '/openapi.json', '--max-examples', '10',
         '--phases', 'coverage,fuzzing',
         '--no-color', '--warnings', 'off'],
        capture_output=True, text=True, timeout=150, check=False, cwd=tmp_path,  # where it keeps a cache
    )
    assert run.returncode == 0, run.stdout + run.stderr
    paths = requests.get(url + '/openapi.json', timeout=9).json()['paths']
    operations = sum(method in ('get', 'head', 'post') for path in paths.values() for method in path)
    assert f'Tested: {operations}' in run.stdout, run.stdout


def test_the_document_names_every_path_and_status(url):
    document = requests.get(url + '/openapi.json', timeout=9).json()
    assert document['openapi'] == '3.1.0' and document['servers'] == [{'url': '/events'}]
    assert set(document['paths']) == {
        '/', '/receive', '/status/{task_id}', '/get/{task_id}', '/output/{task_id}', '/openapi.json', '/health/live',
        '/health/ready',
    }
    assert set(document['paths']['/receive']) == {'post', 'options'}
    assert set(document['paths']['/']) == {'get', 'head'}
    assert 'security' not in document
    assert {'400', '413', '415', '429', '503'} < set(document['paths']['/receive']['post']['responses'])


def test_the_document_names_the_authentication_that_is_configured():
    schemes = [BearerTokens(Secret('t')), Basic({'u': Secret('p')})]
    with wsgi_server(create_application(STORE.accept, STORE, authenticate=schemes)) as client:
        document = client.get('/openapi.json', Authorization='Bearer t').json()
    assert set(document['components']['securitySchemes']) == {'Bearer', 'access_token', 'Basic'}
    assert document['security'] == [{'Bearer': []}, {'access_token': []}, {'Basic': []}]
    assert document['paths']['/receive']['options']['security'] == []
    assert {'401', '403'} <= set(document['paths']['/']['get']['responses'])
