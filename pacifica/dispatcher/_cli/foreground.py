"""One event handled in this process and thread, so that a debugger works; nothing is stored. What ``run`` does."""

from __future__ import annotations

import copy
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID, uuid4

import click

from pacifica.dispatcher._cli.output import EXIT_FAILED, UsageFault, notice
from pacifica.dispatcher._cli.show import stage_text
from pacifica.dispatcher._operate.words import printable

if TYPE_CHECKING:
    from pacifica.dispatcher._cli.check import CheckedEvent
    from pacifica.dispatcher.router import Route
    from pacifica.dispatcher.task_context import Stage, TaskContext
    from pacifica.dispatcher.uploader_runners import UploaderRunner

_WIDTH = 12


class _Recorder:
    """Uploads by *runner*, and keeps what that returned."""

    def __init__(self, runner: UploaderRunner) -> None:
        self._runner = runner
        self.made: list[tuple[Any, int | None, Any]] = []

    def upload(self, *arguments: Any, **settings: Any) -> tuple[Any, int | None, Any]:
        self.made.append(self._runner.upload(*arguments, **settings))
        return self.made[-1]


@dataclass
class ForegroundRun:
    """One run of an event by the route that it goes to, told on stdout.

    :param checked: the event, which has a route.
    :param application: whose route that is, as the lineage of uploads calls it.
    :param parameters: those of the event, in the place of the route's.
    :param keep: where the directory of the event, and the bundle of a dry run, are left.
    """

    checked: CheckedEvent
    route: Route
    application: str
    task_id: UUID
    parameters: Mapping[str, Any]
    dry_run: bool
    keep: Path | None

    def __post_init__(self) -> None:
        from pacifica.dispatcher._events import loads
        from pacifica.dispatcher._parameters import overlaid

        assert self.checked.received is not None
        self._received = self.checked.received
        self._event: Mapping[str, Any] = loads(self._received.event_json)
        self._parameters = overlaid(self.route.parameters, self.parameters)

    def __call__(self) -> None:
        from pacifica.dispatcher.task_context import task_context

        self._refuse()
        self._introduce()
        with self._logging(), self._prepared() as (route, uploads):
            task = self._task()
            try:
                with task_context(task):
                    route(self._event)
            except (Exception, SystemExit):  # a handler may end its event by either
                for line in traceback.format_exc().splitlines():  # it may quote the event, whoever wrote that
                    notice(f'  {line}')
                self._fail('the handler failed')
            self._tell_uploads(task, uploads)

    def _refuse(self) -> None:
        from pacifica.dispatcher.staging import StagedEventHandler

        if (self.dry_run or self.keep) and not isinstance(self.route.event_handler, StagedEventHandler):
            raise UsageFault(
                f'{self.route.handler_name} is not the handler of a StagedEventHandler, so that nothing keeps it from '
                'uploading by itself, and it has no directory to keep: run it without --dry-run and --keep, against '
                'services for tests')
        if self.checked.skipped and not self.dry_run:
            self._fail(f'a worker skips this event ({self.checked.skipped}): --dry-run runs it all the same')

    def _introduce(self) -> None:
        from pacifica.dispatcher._operate.routes import route_label

        route = self.route
        _say('event', f'{self._received.event_type}, id {self._received.event_id}')
        _say('route', f'{self.checked.winner}. {route_label(route)}')
        _say('handler', route.code)
        if self._parameters:
            _say('parameters', json.dumps(self._parameters, ensure_ascii=False))
        if self.checked.skipped:
            notice(f'a worker skips this event: {self.checked.skipped}')

    @staticmethod
    @contextmanager
    def _logging() -> Iterator[None]:
        """Show what the handler logs; of ours warnings alone, because the rest is said here."""
        from pacifica.dispatcher._cli.serving import configure_log

        configure_log()
        ours = logging.getLogger('pacifica.dispatcher')
        before = ours.level
        ours.setLevel(logging.WARNING)
        try:
            yield
        finally:
            ours.setLevel(before)

    @contextmanager
    def _prepared(self) -> Iterator[tuple[Route, _Recorder | None]]:
        """Yield the route with a handler that keeps and uploads as is wanted, and what records its uploads."""
        from pacifica.dispatcher.staging import StagedEventHandler
        from pacifica.dispatcher.uploader_runners import LocalUploaderRunner

        handler = self.route.event_handler
        if not isinstance(handler, StagedEventHandler):
            yield self.route, None
            return
        route, staged = copy.copy(self.route), copy.copy(handler)
        route.event_handler = staged
        staged.keep_downloads = 0  # which may be those of a worker that runs the event
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            staged.directory, staged.leaves, staged.keep_failed = self.keep, True, False
        runner, bundles = staged.uploader_runner, self.keep
        if runner is not None and self.dry_run:
            bundles = bundles or Path(tempfile.mkdtemp(prefix='pacifica-dispatcher-run-'))
            runner = LocalUploaderRunner(bundles)
        recorder = None if runner is None else _Recorder(runner)
        staged.uploader_runner = cast('UploaderRunner | None', recorder)  # to a handler it is one
        try:
            yield route, recorder
        finally:
            if self.keep is not None:
                _say('kept', self.keep.absolute())
            elif bundles is not None:
                with suppress(OSError):
                    bundles.rmdir()  # unless there is a bundle

    def _task(self) -> TaskContext:
        from pacifica.dispatcher._lineage import Lineage, made_by, step
        from pacifica.dispatcher._parameters import overlaid
        from pacifica.dispatcher.task_context import TaskContext

        route = self.route
        own = Lineage.of(self._event).key_values(step(self.application, route.name))
        task = TaskContext(
            task_id=self.task_id, event_id=self._received.event_id, route=route.name, handler=route.code.name,
            parameters=overlaid(self._parameters, {}), provenance={**own, **made_by(route.code, self._parameters)},
            run_id=uuid4().hex)
        task.tell = lambda what, value: self._tell(task, what, value)
        if self.dry_run:
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
            _say('bundle' if self.dry_run else 'uploaded', where)
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
