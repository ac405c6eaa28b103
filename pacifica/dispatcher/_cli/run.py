"""``run``: one event, stored or in a file, handled in this process and thread; nothing is stored, a debugger works."""

from __future__ import annotations

import copy
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID, uuid4

import click

from pacifica.dispatcher._cli.check import check_event, check_stored, show_event
from pacifica.dispatcher._cli.events import stage_text
from pacifica.dispatcher._cli.options import database_option, set_option
from pacifica.dispatcher._cli.output import EXIT_FAILED, UsageFault, notice
from pacifica.dispatcher._cli.references import RouterReference, router_reference
from pacifica.dispatcher._cli.table import existing_table
from pacifica.dispatcher._operate.words import printable, route_label

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.check import CheckedEvent
    from pacifica.dispatcher.router import Route
    from pacifica.dispatcher.task_context import Stage, TaskContext
    from pacifica.dispatcher.uploader_runners import UploaderRunner

_WIDTH = 12


@click.command('run', short_help='Run one event here and now.')
@click.argument('reference', metavar='MODULE:ROUTER', callback=router_reference)
@click.argument('event', metavar='ID|EVENT_FILE')
@database_option
@click.option('--name', metavar='NAME', default=None, envvar=['PACIFICA_DISPATCHER_NAME'],
              help='The application that runs it, as uploads name it.  [default: that of the stored event, or MODULE]')
@set_option
@click.option('--dry-run', is_flag=True, help='Upload nothing: make the bundle, and say where it is.')
@click.option('--keep', metavar='DIR', type=click.Path(file_okay=False, path_type=Path), default=None,
              help='Keep the directory with the files and the results in DIR, and the bundle of --dry-run.')
def run_command(
    reference: RouterReference, event: str, database: Any, name: str | None, parameters: Mapping[str, Any],
    dry_run: bool, keep: Path | None,
) -> None:
    """Run one event by ROUTER of MODULE, in the foreground: a stored one by its task ID, or the one of an EVENT_FILE.

    It runs in this process and thread, so that a debugger works, print() is seen and Ctrl-C ends it. The database is
    only read, nothing is stored, and the limits of the route are not kept. Without --dry-run its result is uploaded, as
    a worker does it. A stored event has the parameters that were set for it, and those of --set in their place.

    The exit status is 0 if the handler returned, 1 if it failed or the event has no route.
    """
    routes = list(reference.router)
    given = _read(event, database)
    application = name or given.application or reference.application
    checked = given.check(routes, application)
    if checked.winner is None:
        show_event(checked, routes)
        sys.exit(EXIT_FAILED)
    _Run(given, checked, routes[checked.winner - 1], application, parameters, dry_run, keep)()


@dataclass
class _Given:
    """The event that is to run; ``stored`` is its record, if it has one."""

    name: str
    text: str
    stored: Mapping[str, Any] | None = None

    @property
    def application(self) -> str | None:
        return None if self.stored is None else str(self.stored['taskApplicationName'])

    @property
    def task_id(self) -> UUID:
        return uuid4() if self.stored is None else UUID(self.stored['taskID'])

    def check(self, routes: Sequence[Route], application: str) -> CheckedEvent:
        from pacifica.dispatcher._clients.event_files import read_events

        if self.stored is not None:
            return check_stored(routes, self.name, self.text, application)
        events = read_events([self.name])
        if len(events) != 1:
            raise UsageFault(f'{self.name} has {len(events)} events, and one at a time is run: put that into a file')
        return check_event(routes, events[0], application)


def _read(event: str, database: Any) -> _Given:
    try:
        task_id = UUID(event)
    except ValueError:
        if event != '-' and not Path(event).is_file():
            raise UsageFault(f'{event!r} is no task id, which is a UUID, and no file') from None
        return _Given(event, '')
    with existing_table(database) as table:
        record = table.records.get(task_id)
    if record is None:
        raise UsageFault(f'there is no event {task_id}')
    return _Given(str(task_id), record['eventData'], record)


class _Recorder:
    """Uploads by *runner*, and keeps what that returned."""

    def __init__(self, runner: UploaderRunner) -> None:
        self._runner = runner
        self.made: list[tuple[Any, int | None, Any]] = []

    def upload(self, *arguments: Any, **settings: Any) -> tuple[Any, int | None, Any]:
        self.made.append(self._runner.upload(*arguments, **settings))
        return self.made[-1]


class _Run:
    """One run of an event by a route, told on stdout."""

    def __init__(
        self, given: _Given, checked: CheckedEvent, route: Route, application: str, parameters: Mapping[str, Any],
        dry_run: bool, keep: Path | None,
    ) -> None:
        from pacifica.dispatcher._events import loads
        from pacifica.dispatcher._parameters import overlaid, require_declared

        assert checked.received is not None
        require_declared(parameters, route.parameters)
        self._given, self._checked, self._route, self._application = given, checked, route, application
        self._dry_run, self._keep = dry_run, keep
        self._event: Mapping[str, Any] = loads(checked.received.event_json)
        stored = (given.stored or {}).get('parameters') or {}
        self._parameters = overlaid({**route.parameters, **stored}, parameters)

    def __call__(self) -> None:
        from pacifica.dispatcher.task_context import task_context

        self._refuse()
        self._introduce()
        self._show_log()
        with self._prepared() as (route, uploads):
            task = self._task()
            try:
                with task_context(task):
                    route(self._event)
            except (Exception, SystemExit):  # a handler may end its event by either
                traceback.print_exc()
                self._fail('the handler failed')
            self._tell_uploads(task, uploads)

    def _refuse(self) -> None:
        from pacifica.dispatcher.staging import StagedEventHandler

        if self._dry_run and not isinstance(self._route.event_handler, StagedEventHandler):
            raise UsageFault(
                f'{self._route.handler_name} is not the handler of a StagedEventHandler, so that nothing keeps it from '
                'uploading by itself: run it without --dry-run, against services for tests')
        if self._checked.skipped and not self._dry_run:
            self._fail(f'a worker skips this event ({self._checked.skipped}): --dry-run runs it all the same')

    def _introduce(self) -> None:
        received, route = self._checked.received, self._route
        assert received is not None
        _say('event', f'{received.event_type}, id {received.event_id}')
        _say('route', f'{self._checked.winner}. {route_label(route)}')
        _say('handler', route.code)
        if self._parameters:
            _say('parameters', json.dumps(self._parameters, ensure_ascii=False))
        if self._checked.skipped:
            notice(f'a worker skips this event: {self._checked.skipped}')

    @staticmethod
    def _show_log() -> None:
        from pacifica.dispatcher._cli.serving import configure_log

        configure_log()
        logging.getLogger('pacifica.dispatcher').setLevel(logging.WARNING)  # the rest is said here

    @contextmanager
    def _prepared(self) -> Iterator[tuple[Route, _Recorder | None]]:
        """Yield the route with a handler that keeps and uploads as is wanted, and what records its uploads."""
        from pacifica.dispatcher.staging import StagedEventHandler
        from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

        handler = self._route.event_handler
        if not isinstance(handler, StagedEventHandler):
            yield self._route, None
            return
        route, staged = copy.copy(self._route), copy.copy(handler)
        route.event_handler = staged
        staged.keep_downloads = 0  # which may be those of a worker that runs the event
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            staged.directory, staged.leaves, staged.keep_failed = self._keep, True, False
        runner, bundles = staged.uploader_runner, self._keep
        if runner is not None and self._dry_run:
            bundles = bundles or Path(tempfile.mkdtemp(prefix='pacifica-dispatcher-run-'))
            runner = LocalUploaderRunner(bundles)
        recorder = None if runner is None else _Recorder(runner)
        staged.uploader_runner = cast('UploaderRunner | None', recorder)  # to a handler it is one
        try:
            yield route, recorder
        finally:
            if self._keep is not None:
                _say('kept', self._keep.absolute())
            elif bundles is not None:
                with suppress(OSError):
                    bundles.rmdir()  # unless there is a bundle

    def _task(self) -> TaskContext:
        from pacifica.dispatcher._lineage import Lineage, made_by, step
        from pacifica.dispatcher._parameters import overlaid
        from pacifica.dispatcher.task_context import TaskContext

        route, received = self._route, self._checked.received
        assert received is not None
        own = Lineage.of(self._event).key_values(step(self._application, route.name))
        task = TaskContext(
            task_id=self._given.task_id, event_id=received.event_id, route=route.name, handler=route.code.name,
            parameters=overlaid(self._parameters, {}), provenance={**own, **made_by(route.code, self._parameters)},
            run_id=uuid4().hex)
        task.tell = lambda what, value: self._tell(task, what, value)
        if self._dry_run:
            task.save = _refuse_uploads
        return task

    @staticmethod
    def _tell(task: TaskContext, what: str, value: Stage | str) -> None:
        if any(value is each for each in task.stages):  # it has ended
            click.echo(f'  {stage_text(asdict(task.stages[-1]))}')

    def _tell_uploads(self, task: TaskContext, uploads: _Recorder | None) -> None:
        from pacifica.dispatcher._operate.timeline import uploads as uploads_of

        if uploads is None:
            for each in uploads_of({'result': task.result}):
                _say('uploaded', f'job {each.job_id} of {each.service}')
            return
        for bundler, job_id, _ in uploads.made:
            where = f'transaction {job_id}' if job_id is not None else str(getattr(bundler, 'path', 'nowhere'))
            _say('bundle' if self._dry_run else 'uploaded', where)
            for line in _contents(bundler):
                click.echo(f'  {printable(line)}')
        if not uploads.made:
            _say('uploaded', 'nothing: the handler made no files')

    @staticmethod
    def _fail(message: str) -> NoReturn:
        notice(message)
        sys.exit(EXIT_FAILED)


def _say(what: str, value: object) -> None:
    click.echo(f'{what:<{_WIDTH}}{printable(value)}')


def _refuse_uploads(result: Mapping[str, Any]) -> None:
    """Keep what a handler saves to itself; an upload is saved before its first byte is sent."""
    if result.get('uploads'):
        raise RuntimeError('the handler uploads by a runner of its own, which --dry-run does not let it do')


def _contents(bundler: Any) -> Iterator[str]:
    """Yield what an upload has in its metadata, a line each; a runner of the user's may return what it likes."""
    for item in getattr(bundler, 'md_obj', ()):
        if item.destinationTable == 'Files':
            yield f'{"/".join(filter(None, [item.subdir, item.name]))}, {item.size:,} bytes'
        else:
            yield f'{getattr(item, "key", None) or item.destinationTable} = {item.value}'
