"""The page of an event as a scientist opens it: what it is, where it comes from, what came of it, and its images."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonpath2.path import Path as JsonPath

from pacifica.dispatcher._cli import main
from pacifica.dispatcher.authentication import BearerTokens, Secret
from pacifica.dispatcher.event_handlers import EventHandler, StagedEventHandler
from pacifica.dispatcher.exceptions import ConfigurationError
from pacifica.dispatcher.router import Router
from pacifica.dispatcher.staging import StagedEvent
from pacifica.dispatcher.task_context import current_task, stage
from support.dashboard import SCRIPT_NAME, Site, dashboard_site
from support.databases import model_in
from support.events import wait_until
from support.images import SCRIPTED, png
from support.queues import queue_of

HOSTILE = '"><script>alert(1)</script>\u202e.png'
READER, SENDER = {'Authorization': 'Bearer reader'}, {'Authorization': 'Bearer sender'}


def transaction(number: int, files: int = 0, **key_values: Any) -> list[dict[str, Any]]:
    """Return the data of an ingest."""
    return [
        *({'destinationTable': f'Transactions.{name}', 'value': value}
          for name, value in (('submitter', 10), ('instrument', 54), ('project', '1234a'))),
        *({'destinationTable': 'TransactionKeyValue', 'key': key, 'value': value} for key, value in key_values.items()),
        *({'destinationTable': 'Files', '_id': each, 'name': f'run-{each}.csv', 'subdir': 'spectra/a', 'size': 1500,
           'mimetype': 'text/csv'} for each in range(files)),
        {'destinationTable': 'Transactions._id', 'value': number},
    ]


def made_from(number: int) -> dict[str, Any]:
    return {'Pacifica.Dispatcher.source_transaction': number}


class Plots(EventHandler):
    """Makes three images, one of them hostile."""

    def handle(self, event: StagedEvent) -> None:
        """Plot."""
        for name, content in (('fit.png', png()), ('plot.svg', SCRIPTED), (HOSTILE.replace('/', '_'), png(1))):
            (event.output_directory / name).write_bytes(content)
            event.preview(name)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A dashboard for senders and readers, with links to an archive."""
    with dashboard_site(tmp_path, authenticate=[
        BearerTokens(Secret('reader'), rights={'read'}), BearerTokens(Secret('sender'), rights={'send'}),
    ], transaction_url='https://archive.example/t/{transaction}') as served:
        yield served


def handle_with(site: Site, handler: EventHandler, name: str = 'plot') -> None:
    """Have the events of *site* handled by a staged handler."""
    router = Router()
    router.add_route(JsonPath.parse_str('$'), StagedEventHandler(None, handler, None), name=name)
    site.queue = queue_of(site.model, router)
    site.worker = site.queue.create_worker()


def text_of(html: str) -> str:
    return re.sub(r'\s+', ' ', re.sub('<[^>]*>', ' ', html))


def test_it_says_what_the_event_is_about(site: Site) -> None:
    task_id = site.accept(data=transaction(67, 3, **{'Sample': 'Fe₂O₃', '<b>': {'nested': 1}}))

    html = site.text(f'events/{task_id}', **READER)

    text = text_of(html)
    assert 'Project 1234a' in text and 'Instrument 54' in text and 'Submitter 10' in text and 'Files 3 , 4.5 kB' in text
    assert 'spectra/a/run-0.csv 1.5 kB text/csv' in text
    assert 'Sample Fe₂O₃' in text and '&lt;b&gt; {&#39;nested&#39;: 1}' in text
    assert 'href="https://archive.example/t/67" rel="noreferrer"' in html


def test_of_many_files_the_first_are_shown_and_a_search_finds_the_others(site: Site) -> None:
    task_id = site.accept(data=transaction(67, 1000))

    first = site.text(f'events/{task_id}', **READER)
    assert 'These are the first 200 of 1000.' in first and 'spectra/a/run-199.csv' in first
    assert 'spectra/a/run-200.csv' not in first
    assert '1 of 1000 match.' in text_of(site.text(f'events/{task_id}?file=RUN-200.', **READER))
    assert '11 of 1000 match.' in text_of(site.text(f'events/{task_id}?file=run-99*', **READER))
    assert '0 of 1000 match.' in text_of(site.text(f'events/{task_id}?file=%3Cb%3E', **READER))
    assert 'run-1.csv' not in site.text(f'events/{task_id}?fragment=1&file=run', **READER)


def test_it_leads_to_where_it_comes_from_and_what_came_of_it(site: Site) -> None:
    parent = site.accept(data=transaction(1))
    task_id = site.accept(data=transaction(2, **made_from(1)))
    result = site.accept(data=transaction(3, 7, **made_from(2), quality='good'))

    html = site.text(f'events/{task_id}?fragment=1', **READER)

    made, results = (re.search(f'data-part="{part}".*?</section>', html, re.DOTALL) for part in ('parents', 'results'))
    assert made and results
    assert f'href="../events/{parent}"' in made[0] and f'href="../events/{result}"' in results[0]
    assert re.search('3 , in the archive 202 Accepted 7 2 ', text_of(results[0]))
    assert 'https://archive.example/t/3' in results[0]


@pytest.mark.parametrize('data', ['text', {'obj_type': 'files'}, [1, None, {'destinationTable': 5}], None])
def test_an_event_about_nothing_has_a_page_all_the_same(site: Site, data: Any) -> None:
    task_id = site.accept(data=data)

    assert 'What it is about' not in site.text(f'events/{task_id}', **READER)


def test_a_running_event_says_who_runs_it_and_since_when_which_does_not_move(tmp_path: Path) -> None:
    go_on = threading.Event()
    with dashboard_site(tmp_path, lambda event: go_on.wait(60)) as site:
        task_id = site.accept(data=transaction(1))
        site.worker.start()
        try:
            wait_until(lambda: site.status(task_id) == '102 Processing')
            looks = [site.text(f'events/{task_id}?fragment=1') for _ in range(2)]
        finally:
            go_on.set()
            site.worker.stop()

    assert re.search(r'Runs since [-\d]+ [:\d]+ , for \d', text_of(looks[0]))
    assert re.search(r'Worker \S+:\d+ , its lease holds', text_of(looks[0]))
    assert 'none so far' not in looks[0]
    timelines = [re.search('data-part="timeline".*', html, re.DOTALL) for html in looks]
    assert timelines[0] and timelines[1] and timelines[0][0] == timelines[1][0]


def test_stages_have_their_rate_and_what_the_handler_saved_is_shown_here_and_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    def handle(_event: object) -> None:
        task = current_task()
        assert task is not None
        task.save_result(peak='<b>12.5</b>')
        with stage('download', files=1) as done:
            wait_until(lambda: not threading.Event().wait(0.01))
            done.bytes = 3_000_000

    with dashboard_site(tmp_path, handle) as site:
        task_id = site.accept(data=transaction(1, 3, Sample='Fe'))
        site.run()
        html = site.text(f'events/{task_id}')

    assert re.search(r'download</bdi></strong> \S+ m?s, 1 file, 3.0 MB, [\d.,]+ MB/s', html)
    assert '&#34;peak&#34;: &#34;&lt;b&gt;12.5&lt;/b&gt;&#34;' in html
    with pytest.raises(SystemExit):
        main(['show', task_id, '--database', f'sqlite:///{tmp_path / "events.db"}'])
    shown = capsys.readouterr().out
    assert re.search(r'download: \S+ m?s, 1 file, 3.0 MB, [\d.,]+ MB/s', shown)
    assert re.search(r'Project +1234a\n', shown) and re.search(r'Files +3\nBytes +4500\n', shown)
    assert '\nFiles\n  spectra/a/run-0.csv' in shown and '\nKey-values\n  Sample  Fe\n' in shown


def test_images_are_on_the_page_and_served_inert_to_who_may_read(site: Site) -> None:
    handle_with(site, Plots())
    task_id = site.accept(data=transaction(67))
    site.run()

    html = site.text(f'events/{task_id}', **READER)

    assert len(re.findall('<img src="../../preview/', html)) == 3
    assert '<script>alert' not in html and '\\u202e' in html
    for number, media in ((1, 'image/png'), (2, 'image/svg+xml'), (3, 'image/png')):
        answer = site.client.get(f'{SCRIPT_NAME}/preview/{task_id}/{number}', **READER)
        assert (answer.status, answer.headers['content-type']) == (200, media)
        assert answer.headers['content-security-policy'] == (
            "default-src 'none'; style-src 'unsafe-inline'; sandbox")
        assert answer.headers['x-content-type-options'] == 'nosniff'
    svg = site.client.get(f'{SCRIPT_NAME}/preview/{task_id}/2', **READER)
    assert svg.body == SCRIPTED
    again = site.client.get(f'{SCRIPT_NAME}/preview/{task_id}/2', **{**READER, 'If-None-Match': svg.headers['etag']})
    assert again.status == 304


@pytest.mark.parametrize('path, status', [
    ('9', 404), ('0', 404), ('x', 422), ('', 422), ('1/2', 404), ('99999999999999', 422), ('²', 422),
])
def test_what_is_no_image_of_the_event_is_refused(site: Site, path: str, status: int) -> None:
    task_id = site.accept(data=transaction(67))

    from urllib.parse import quote

    assert site.client.get(f'{SCRIPT_NAME}/preview/{task_id}/{quote(path)}', **READER).status == status
    assert site.client.get(f'{SCRIPT_NAME}/preview/{task_id}/1', **SENDER).status == 403
    assert site.get('previews', **SENDER).status == 403


def test_the_gallery_has_the_latest_of_all_of_a_route_and_of_an_instrument(site: Site) -> None:
    assert 'No image is kept.' in site.text('previews', **READER)
    handle_with(site, Plots(), 'plot <b>')
    task_id = site.accept(data=transaction(67))
    site.run()

    html = site.text('previews', **READER)

    assert len(re.findall('<img loading="lazy" src="./../preview/', html)) == 3
    assert f'href="./events/{task_id}"' in html and 'plot &lt;b&gt;' in html and '<script>alert' not in html
    assert site.text('previews?route=plot+%3Cb%3E&instrument=54', **READER).count('<img') == 3
    assert 'No image is kept of this choice.' in site.text('previews?instrument=104', **READER)
    assert site.get('previews?before=x', **READER).status == 422
    assert site.get('previews/x', **READER).status == 404


@pytest.mark.parametrize('template', [
    'https://archive.example/', 'javascript:alert({transaction})', '{transaction}', 'https:///{transaction}'])
def test_what_is_no_address_of_transactions_is_refused(tmp_path: Path, template: str) -> None:
    with model_in(f'sqlite:///{tmp_path / "events.db"}') as model:
        with pytest.raises(ConfigurationError, match='write https://HOST/PATH/{transaction}'):
            model.create_cherrypy_app(queue_of(model), transaction_url=template)
