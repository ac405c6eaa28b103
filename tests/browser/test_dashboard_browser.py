"""The dashboard in a real browser: live, with the keyboard, for screen readers, on a phone, and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pacifica.dispatcher._queue.store import Store
from pacifica.dispatcher._queue.values import Outcome, QueueName, RunOutput
from pacifica.dispatcher._queue.writer import Writer
from pacifica.dispatcher.authentication import Basic, Secret
from pacifica.dispatcher.task_context import current_task, stage
from support.browsers import chromium
from support.dashboard import Site, dashboard_site
from support.databases import connections_to
from support.images import SCRIPTED, png
from support.queues import APPLICATION, TASK

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group('browser')]

SCREENSHOTS = Path(__file__).parents[2] / 'docs' / 'screenshots'
PAGES = ('overview', 'events', 'event', 'failed', 'previews', 'error')
LOOKS: dict[str, dict[str, Any]] = {
    'light': {'color_scheme': 'light', 'viewport': {'width': 1200, 'height': 800}},
    'dark': {'color_scheme': 'dark', 'viewport': {'width': 1200, 'height': 800}},
    'phone': {'color_scheme': 'light', 'viewport': {'width': 360, 'height': 740}},
}


class Lab:
    """A handler that can be fixed while it runs."""

    def __init__(self) -> None:
        self.calibrated = False

    def handle(self, event: Any) -> None:
        """Do what staging does, with a step that fails until it is fixed."""
        with stage('download', files=3, bytes=48_300_000):
            pass
        with stage('handle'):
            if not self.calibrated and event.event_type.endswith('acquired'):
                raise LookupError('no calibration file for instrument 54: add it to calibrations/')
        with stage('upload', files=1, bytes=1_200_000) as upload:
            upload.job_id = 4242
        task = current_task()
        assert task is not None
        for name, media, content in (('fit.png', 'image/png', png()), ('plot.svg', 'image/svg+xml', SCRIPTED)):
            assert task.keep_preview(name, media, content) is None
        task.save_result(uploads=[{
            'service': 'https://ingest.example.org', 'job_id': 4242, 'contents': 'x', 'attempt': task.attempt,
            'state': {'state': 'OK', 'task': 'ingest metadata'}}])


@pytest.fixture(scope='module')
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[Site]:
    with dashboard_site(tmp_path_factory.mktemp('browser'), lab.handle) as served:
        for number in range(60):
            kind = 'acquired' if number % 15 == 3 else 'ingest'
            served.accept(eventType=f'org.pacifica.metadata.{kind}')
        served.run()
        served.accept()
        served.show_worker('b', 'analysis-b:4711', 'processes', 4)
        served.model._meta.database.execute_sql(
            "UPDATE receivetaskworker SET seen = seen - 300 WHERE owner LIKE 'analysis-b%'")
        yield served


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def opened(browser: Any, **settings: Any) -> Iterator[Any]:
    """Yield a page of a new profile; fail if it reported an error, or anything that its policy blocked."""
    context = browser.new_context(**settings)
    page = context.new_page()
    faults: list[str] = []
    page.on('console', lambda message: faults.append(message.text) if message.type == 'error' else None)
    page.on('pageerror', lambda error: faults.append(str(error)))
    try:
        yield page
        assert not [fault for fault in faults if 'status of 4' not in fault], faults
    finally:
        context.close()


def address(site: Site, name: str) -> str:
    """Return the path of a page, by its name in ``PAGES``."""
    if name in ('event', 'failed'):
        status = '200 OK' if name == 'event' else '500 Internal Server Error'
        found = re.search(r'href="\./(events/[0-9a-f-]{36})"', site.text(f'events?status={status.replace(" ", "+")}'))
        assert found
        return found[1]
    return {'overview': '', 'events': 'events', 'previews': 'previews', 'error': 'events?status=unknown'}[name]


@pytest.mark.parametrize('look', LOOKS)
@pytest.mark.parametrize('name', PAGES)
def test_axe_finds_no_serious_fault(
    browser: Any, site: Site, name: str, look: str, pytestconfig: pytest.Config,
) -> None:
    from axe_playwright_python.sync_playwright import Axe
    site.show_worker('a', 'analysis-a:4711', 'threads', 4)  # so that it is not lost by now
    with opened(browser, **LOOKS[look]) as page:
        page.goto(site.url + address(site, name))
        if pytestconfig.getoption('--screenshots') and name != 'previews':
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f'{name}-{look}.png', full_page=name != 'events')
        for details in page.query_selector_all('details'):
            details.evaluate('each => { each.open = true; }')
        violations = Axe().run(page).response['violations']
        faults = [(each['id'], each['help'], [node['html'][:200] for node in each['nodes']][:3])
                  for each in violations if each['impact'] in ('serious', 'critical')]
        assert not faults


@pytest.mark.parametrize('name', PAGES)
def test_a_phone_shows_all_of_a_page_without_scrolling_sideways(browser: Any, site: Site, name: str) -> None:
    with opened(browser, **LOOKS['phone']) as page:
        page.goto(site.url + address(site, name))
        assert page.evaluate('document.documentElement.scrollWidth') <= 360


def test_an_operator_finds_out_why_and_sees_the_retry_end_well(browser: Any, site: Site, lab: Lab) -> None:
    """Tuesday's upload: found by its transaction, understood, fixed, retried, and watched without a reload."""
    task_id = site.accept(eventType='org.pacifica.metadata.acquired', data=[
        {'destinationTable': 'Transactions._id', 'value': 90210}])
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url)
        page.get_by_role('link', name='Events', exact=True).click()
        page.get_by_text('Filters').click()
        page.get_by_label('Transaction').fill('90210')
        page.get_by_role('button', name='Filter').click()
        page.click(f'#e-{task_id}')
        assert 'no calibration file for instrument 54' in page.inner_text('.error')
        page.get_by_text('Traceback', exact=True).click()
        assert 'LookupError' in page.inner_text('#traceback-scroll')
        lab.calibrated = True
        page.get_by_role('button', name='Retry').click()
        page.wait_for_selector('.notice')
        page.evaluate('window.sameDocument = true')
        site.run()
        page.wait_for_selector('dl .s200', timeout=20_000)
        assert '200 OK' in page.inner_text('#say')
        assert 'Attempt 1' in page.inner_text('.timeline') and '4242' in page.inner_text('.timeline')
        assert page.evaluate('window.sameDocument')
    lab.calibrated = False


def test_an_event_runs_again_with_other_parameters_by_the_keyboard_alone(browser: Any, site: Site) -> None:
    task_id = site.accept(eventType='org.pacifica.metadata.acquired', eventID='parameters.1')
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url + f'events/{task_id}')

        def tab_to(selector: str) -> None:
            while not page.evaluate('selector => document.activeElement.matches(selector)', selector):
                page.keyboard.press('Tab')

        tab_to('#again summary')
        page.keyboard.press('Enter')
        tab_to('#parameters')
        page.keyboard.type('threshold=7')
        page.evaluate("window.old = document.querySelector('[data-part=facts]')")
        site.model.update(attempts=7).where(site.model.task_id == UUID(task_id)).execute()
        page.wait_for_function('() => !window.old.isConnected', timeout=20_000)
        page.keyboard.press('Enter')
        page.keyboard.type('mode=fast')
        tab_to('#set')
        page.keyboard.press('Enter')
        page.wait_for_selector('.notice')
        assert 'The event runs again.' in page.inner_text('.notice')
    site.run()
    assert site.text(f'events/{task_id}').count('{&#34;threshold&#34;: 7, &#34;mode&#34;: &#34;fast&#34;}') >= 2


def test_updates_keep_focus_and_what_is_open(browser: Any, site: Site) -> None:
    task_id = site.accept(eventType='org.pacifica.metadata.acquired', eventID='kept.1')
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url + f'events/{task_id}')
        page.click('#traceback summary')
        page.focus('#retry')
        site.model.update(exc_value='another error', attempts=7).where(
            site.model.task_id == UUID(task_id)).execute()
        page.wait_for_function("() => document.querySelector('.error').textContent.includes('another error')",
                               timeout=20_000)
        assert page.evaluate("document.getElementById('traceback').open")
        assert page.evaluate('document.activeElement.id') == 'retry'


def test_output_is_seen_within_two_seconds_and_moves_nothing_else(browser: Any, site: Site) -> None:
    task_id = site.accept(eventID='printing.1')
    with connections_to(site.model) as connections, opened(browser, **LOOKS['light']) as page:
        store = Store(Writer(connections), QueueName(APPLICATION, TASK))
        claimed = store.claim_task(UUID(task_id), 'me', 600)
        assert claimed
        store.keep_output(claimed, RunOutput('[[1, "stdout", "first\\n", 0]]', '[]', 0, 0.4, 'fitting'))
        page.goto(site.url + f'events/{task_id}')
        page.evaluate("window.facts = document.querySelector('[data-part=facts]')")

        store.keep_output(claimed, RunOutput('[[1, "stdout", "first\\nsecond\\n", 0]]', '[]', 0, 0.5, 'fitting'))

        page.wait_for_function("() => document.querySelector('[data-follow]').textContent.includes('second')",
                               timeout=2000)
        page.wait_for_function("() => document.querySelector('progress').value === 0.5")
        assert page.evaluate('window.facts.isConnected')
        store.finish(claimed, Outcome.succeeded())


def test_times_are_those_of_the_readers_zone_and_stay_so(browser: Any, site: Site) -> None:
    """Shown where those in UTC were, none wider or higher; UTC is in their titles."""
    task_id = site.accept(eventType='org.pacifica.metadata.acquired', eventID='zone.1')
    site.run()
    site.model.update(created='2026-11-28 20:00:00.000000').where(site.model.task_id == UUID(task_id)).execute()
    boxes = """() => [...document.querySelectorAll('time')].map(each => {
        const {x, y, width, height} = each.getBoundingClientRect(); return [x, y, width, height]; })"""
    first = '.timeline time >> nth=0'
    with opened(browser, **LOOKS['light'], java_script_enabled=False) as page:
        page.goto(site.url + f'events/{task_id}')
        before = page.evaluate(boxes)
        assert page.inner_text(first) == '2026-11-28 20:00:00' and 'All times are UTC.' in page.inner_text('footer')

    with opened(browser, **LOOKS['light'], timezone_id='Australia/Darwin') as page:
        page.goto(site.url + f'events/{task_id}')

        assert page.inner_text(first) == '2026-11-29 05:30:00' and page.evaluate(boxes) == before
        assert page.get_attribute(first, 'title') == '2026-11-28 20:00:00 UTC'
        assert 'Australia/Darwin' in page.inner_text('footer')
        page.evaluate("window.old = document.querySelector('[data-part=timeline]')")
        site.model.update(created='2026-11-28 21:00:00.000000').where(site.model.task_id == UUID(task_id)).execute()
        page.wait_for_function('() => !window.old.isConnected', timeout=20_000)
        assert page.inner_text(first) == '2026-11-29 06:30:00'


def test_the_plots_and_their_table_say_the_time_of_the_readers_zone(browser: Any, site: Site) -> None:
    with opened(browser, **LOOKS['light'], timezone_id='Australia/Darwin') as page:
        page.goto(site.url)

        for shown, utc in page.locator('svg [data-time]').evaluate_all(
                'found => found.map(each => [each.textContent, each.dataset.time])'):
            local = datetime.fromisoformat(utc.rstrip('Z')) + timedelta(hours=9, minutes=30)
            assert shown == f'{local:%H:%M}'
        page.click('#rows-1 summary')
        title = page.get_attribute('#rows-1 time', 'title').removesuffix(':00 UTC')
        local = datetime.fromisoformat(title) + timedelta(hours=9, minutes=30)
        assert page.inner_text('#rows-1 time >> nth=0') == f'{local:%Y-%m-%d %H:%M}'


def test_updates_pause_at_a_button_and_go_on(browser: Any, site: Site) -> None:
    site.accept(eventType='org.pacifica.metadata.ingest')  # a count of none is not shown
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url)
        requests: list[str] = []
        page.on('request', lambda request: requests.append(request.url))
        page.get_by_role('button', name='Pause updates').click()
        assert page.get_attribute('#pause', 'aria-pressed') == 'true'
        before = page.inner_text('#count-202 strong')
        site.accept(eventType='org.pacifica.metadata.ingest')
        requests.clear()
        page.wait_for_timeout(4000)  # longer than the pause between updates: what doesn't happen can't be waited for
        assert not requests and page.inner_text('#count-202 strong') == before
        page.get_by_role('button', name='Pause updates').click()
        page.wait_for_function("text => document.querySelector('#count-202 strong').textContent !== text", arg=before,
                               timeout=20_000)
    site.run()


def test_a_server_that_does_not_answer_is_told(browser: Any, site: Site) -> None:
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url)
        page.route(re.compile('fragment=1'), lambda route: route.fulfill(status=400, body='no'))
        page.wait_for_function("() => document.getElementById('live-state').textContent.startsWith('Not up to date')",
                               timeout=20_000)


def test_the_counts_are_announced_politely(browser: Any, site: Site) -> None:
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url)
        assert page.get_attribute('#say', 'role') == 'status'
        page.evaluate("window.region = document.getElementById('say')")
        before = page.inner_text('#say')
        site.accept(eventType='org.pacifica.metadata.ingest')
        page.wait_for_function('text => window.region.isConnected && window.region.innerText !== text', arg=before,
                               timeout=20_000)
    site.run()


def test_everything_can_be_reached_with_the_keyboard(browser: Any, site: Site) -> None:
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url + 'events')
        page.keyboard.press('Tab')
        assert page.evaluate('document.activeElement.className') == 'skip'
        page.keyboard.press('Enter')
        assert page.evaluate('document.activeElement.id') == 'main'
        page.keyboard.press('Tab')
        assert page.evaluate('document.activeElement.id') == 'q'
        page.keyboard.type('no-such-text')
        page.keyboard.press('Enter')
        page.wait_for_url('**/events?q=no-such-text**')


def test_a_screen_shows_a_line_for_each_of_fifteen_events_at_least(browser: Any, site: Site) -> None:
    with opened(browser, viewport={'width': 1280, 'height': 900}) as page:
        page.goto(site.url + 'events')

        assert page.evaluate("""() => [...document.querySelectorAll('.events tbody tr')]
            .filter((row) => row.getBoundingClientRect().bottom <= window.innerHeight).length""") >= 15


def test_ids_however_long_leave_room_for_the_rest_of_the_line(browser: Any, site: Site) -> None:
    site.accept(eventType='org.pacifica.metadata.long', eventID='x' * 200, data=[
        {'destinationTable': f'Transactions.{name}', 'value': name * 5}
        for name in ('project', 'instrument', 'submitter')])
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url + 'events?type=org.pacifica.metadata.long')

        assert page.evaluate('document.documentElement.scrollWidth') <= 1200
        assert page.locator('.events').bounding_box()['width'] <= page.locator('section.list').bounding_box()['width']


def test_a_phone_shows_an_event_without_scrolling_and_filters_behind_a_button(browser: Any, site: Site) -> None:
    with opened(browser, viewport={'width': 390, 'height': 844}) as page:
        page.goto(site.url + 'events')

        first = page.locator('.events tbody tr').first.bounding_box()
        assert first['y'] + first['height'] < 844 and page.evaluate('document.documentElement.scrollWidth') <= 390
        assert not page.is_visible('#project')
        page.get_by_text('Filters').click()
        assert page.is_visible('#project')


def test_what_is_chosen_stays_so_while_the_list_changes_and_is_done_once_confirmed(browser: Any, site: Site) -> None:
    kind = 'org.pacifica.metadata.chosen.acquired'
    chosen, other = site.accept(eventType=kind), site.accept(eventType=kind)
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(f'{site.url}events?type={kind}')
        page.check(f'#c-{chosen}')
        newer = site.accept(eventType=kind)
        page.wait_for_selector(f'#c-{newer}', timeout=20_000)
        page.click('#choose button[value=retry]')
        assert page.inner_text('h1') == 'Retry 1 event?'
        page.click('#confirm')
        assert '1 event runs again. None is left.' in page.inner_text('.notice')
    assert (site.status(chosen), site.status(other)) == ('202 Accepted', '500 Internal Server Error')
    site.run()


def test_it_works_without_javascript(browser: Any, site: Site) -> None:
    task_id = site.accept(eventType='org.pacifica.metadata.acquired')
    site.run()
    with opened(browser, **LOOKS['light'], java_script_enabled=False) as page:
        page.goto(site.url + 'events?status=500+Internal+Server+Error')
        assert not page.is_visible('#pause')
        page.click(f'#e-{task_id}')
        page.click('#retry')
        assert 'The event runs again.' in page.inner_text('.notice')
        assert site.status(task_id) == '202 Accepted'
        page.goto(site.url + 'events?status=500+Internal+Server+Error')
        page.check('input[name=all]')
        page.click('#choose button[value=retry]')
        assert 'Retry' in page.inner_text('h1')
        page.click('#confirm')
        assert 'run again' in page.inner_text('.notice')
    site.run()


def test_what_an_event_says_runs_in_no_browser(browser: Any, site: Site) -> None:
    hostile = '"><script>window.hit = 1</script><img src=x onerror="window.hit = 1">'
    task_id = site.accept(eventType=hostile, eventID=hostile, source='http://x/' + hostile, data=[
        {'destinationTable': 'Transactions._id', 'value': hostile[:60]}])
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        for path in (f'events/{task_id}', 'events'):
            with page.expect_response(re.compile('fragment=1'), timeout=20_000):
                page.goto(site.url + path)
            assert page.evaluate('window.hit') is None
            assert hostile[:60] in page.inner_text('#main')


@pytest.fixture
def guarded(tmp_path: Path, site: Site) -> Callable[[], Any]:
    """Return the WSGI application of a dashboard that wants a password."""
    return lambda: site.model.create_cherrypy_app(site.queue, authenticate=Basic({'operator': Secret('pässword')}))


def test_a_browser_logs_in_with_a_password_and_stays_so(browser: Any, guarded: Callable[[], Any]) -> None:
    from support.front_door import wsgi_server
    with wsgi_server(guarded()) as client:
        credentials = {'username': 'operator', 'password': 'pässword'}
        with opened(browser, **LOOKS['light'], http_credentials=credentials) as page:
            with page.expect_response(re.compile('fragment=1'), timeout=20_000) as answered:
                page.goto(f'http://127.0.0.1:{client.port}/dashboard/')
            assert 'Overview' in page.inner_text('h1') and answered.value.status == 200


def test_the_script_of_an_image_runs_neither_in_a_page_nor_by_itself(browser: Any, site: Site) -> None:
    task_id = site.accept()
    site.run()
    loaded = '() => [...document.images].every(each => each.complete && each.naturalWidth > 0)'
    task_id = site.accept()
    site.run()
    with opened(browser, **LOOKS['light']) as page:
        page.goto(site.url + f'events/{task_id}')
        page.wait_for_function(loaded)
        assert page.locator('.images img').count() == 2
        assert page.title().startswith('Event metadata.ingest.')
        [by_itself] = page.locator('img[alt="plot.svg"]').evaluate_all('found => found.map(each => each.src)')
        page.goto(site.url + 'previews')
        page.wait_for_function('() => document.images[0].naturalWidth > 0')

    context = browser.new_context()
    page = context.new_page()
    page.goto(by_itself)
    assert page.locator('rect').count() == 1 and page.title() != 'taken'
    context.close()
