"""A handler that is a program: a script, MATLAB, R, a container; see :class:`CommandEventHandler`."""

from __future__ import annotations

import csv
import difflib
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from pacifica.dispatcher._handler import EventHandler
from pacifica.dispatcher._parameters import as_text
from pacifica.dispatcher._program import Ended, Limits, run_program
from pacifica.dispatcher._staged_event import StagedEvent
from pacifica.dispatcher.exceptions import CommandError, ConfigurationError, HandlerTimeoutError, RetryLater
from pacifica.dispatcher.models import Transaction, TransactionKeyValue
from pacifica.dispatcher.task_context import current_task, write_to_own

_NAMES = ('input', 'output', 'event', 'transaction', 'project', 'instrument', 'submitter', 'directory')
_PARAMETER = 'parameter:'
_PLACEHOLDER = re.compile(r'\{(' + '|'.join(_NAMES) + r'|(?:kv|parameter):[^{}]+)\}')
_NOT_IN_A_VARIABLE = re.compile('[^A-Z0-9]')
_WORD = re.compile(r'\{([a-z]+)\}')
_MOST_BYTES = 1 << 20  # of a file of key-values


@dataclass(eq=False)
class CommandEventHandler(EventHandler):
    """Runs a program on an event's files: the handler of a :class:`StagedEventHandler`.

    The program's working directory is its own; in it are ``download`` with the event's files (a runner may put them
    into a directory in there, see ``{input}``), ``output`` for what is to be uploaded, and ``event.json``, the event.
    In an argument, these are replaced, as they are: ``{input}`` the directory in which each file lies at its path,
    ``{output}``, ``{event}`` the path of ``event.json``, ``{transaction}``, ``{project}``, ``{instrument}``,
    ``{submitter}`` of the event, ``{kv:NAME}`` a key-value of it, ``{parameter:NAME}`` a parameter (a text as it is,
    all else as JSON), ``{directory}`` the *directory* below. The environment has all but the key-values too, as
    ``PACIFICA_INPUT``, ``PACIFICA_PARAMETER_NAME`` and so on, and ``PACIFICA_TASK_ID``, ``PACIFICA_ATTEMPT`` and
    ``PACIFICA_ROUTE``. Its stdin is empty.

    With exit code 0 the event is done, with 75 (``EX_TEMPFAIL`` of sysexits.h) it is tried again later. Key-values of
    the upload are read from ``output/kvp.csv``, a key and a value in each line, or ``output/key_values.json``, an
    object; neither is uploaded. When the program ends, its process group ends with it.

    :param command: the program and its arguments; if *shell*, a text for ``/bin/sh``.
    :param shell: whether a shell runs it. Nothing is replaced in it then: use ``"$PACIFICA_INPUT"`` and so on.
    :param timeout: seconds that it may run; then it gets SIGTERM, four seconds later SIGKILL, with all it started.
    :param memory: bytes of address space that it may have, and each program that it starts.
    :param nice: is added to its niceness.
    :param environment: variables that it gets besides, or instead of those of the service.
    :param directory: what the path of a program with ``/`` in it is relative to; the working directory if ``None``.
    :raises ConfigurationError: for a command or a limit that can't be.
    """

    command: Sequence[str] | str
    _: KW_ONLY
    shell: bool = False
    timeout: float | None = None
    memory: int | None = None
    nice: int = 0
    environment: Mapping[str, str] | None = None
    directory: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.command, str) != self.shell:
            raise ConfigurationError(
                'a command is a list of the program and its arguments, and with shell=True one text')
        if not self.command or not self.command[0] or not all(type(each) is str for each in self.command):
            raise ConfigurationError(f'a command has a program, and is of texts, not {self.command!r}')
        if (self.timeout is not None and self.timeout <= 0) or (self.memory is not None and self.memory <= 0):
            raise ConfigurationError('the timeout and the memory of a command are more than 0, or None')
        self._directory = Path(self.directory or os.curdir).absolute()
        for argument in self.command:
            for word in _WORD.findall(argument):
                if word not in _NAMES and (near := difflib.get_close_matches(word, _NAMES, 1, 0.7)):
                    raise ConfigurationError(f'{argument!r}: there is no {{{word}}}; {{{near[0]}}} is meant?')

    @property
    def program(self) -> str:
        """The name of the program, without directories."""
        return 'sh' if self.shell else Path(self.command[0]).name

    @property
    def files(self) -> list[Path]:
        """The program and those of its arguments that are files: what it is made of. What a shell runs isn't known."""
        if isinstance(self.command, str):
            return []
        first, *others = (each.replace('{directory}', str(self._directory)) for each in self.command)
        program = self._find(first, {**os.environ, **(self.environment or {})}) or first
        return [Path(program), *(Path(each) for each in others if os.path.isabs(each) and os.path.isfile(each))]

    def _find(self, program: str, environment: Mapping[str, str]) -> str | None:
        path = str(self._directory / program) if '/' in program else program
        return shutil.which(path, path=environment.get('PATH'))

    def handle(self, event: Any) -> None:
        """Run the program.

        :raises CommandError: if it can't be started, or ends in any way but those; has the end of its stderr.
        :raises RetryLater: if its exit code is 75.
        :raises HandlerTimeoutError: if it was killed at its timeout.
        """
        if not isinstance(event, StagedEvent):
            raise ConfigurationError('CommandEventHandler runs on files: make it the handler of a StagedEventHandler')
        work = event.output_directory.parent
        if not (work / 'download').exists():  # an event of StagedEvent.for_test()
            shutil.copytree(event.input_directory, work / 'download')
        (work / 'event.json').write_text(json.dumps(event.d))
        values = self._values(event, work)
        environment = {**os.environ, **_environment(values), **(self.environment or {})}
        arguments = self._arguments(event, values, environment)
        self._judge(self._run(arguments, work, environment))
        _take_key_values(event)

    def _values(self, event: StagedEvent, work: Path) -> dict[str, str]:
        """Return what placeholders stand for, as far as the event has it."""
        source = Transaction.from_cloudevents_model(event)
        known = {
            'input': event.input_directory, 'output': event.output_directory, 'event': work / 'event.json',
            'transaction': source._id, 'project': source.project, 'instrument': source.instrument,
            'submitter': source.submitter, 'directory': self._directory,
        }
        known.update({f'{_PARAMETER}{name}': as_text(value) for name, value in event.parameters.items()})
        return {name: _text(name, value) for name, value in known.items() if value is not None}

    def _arguments(
        self, event: StagedEvent, values: Mapping[str, str], environment: Mapping[str, str],
    ) -> Sequence[str]:
        if isinstance(self.command, str):
            return ['/bin/sh', '-c', self.command]
        pairs = {each.key: each.value for each in TransactionKeyValue.from_cloudevents_model(event)}

        def replace(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith('kv:') and name[3:] in pairs:
                return _text(name, pairs[name[3:]])
            if name not in values:
                whose = 'the route' if name.startswith(_PARAMETER) else 'the event'
                raise CommandError(f'{whose} has no {name}, which an argument of {self.program} wants')
            return values[name]

        first, *others = (_PLACEHOLDER.sub(replace, argument) for argument in self.command)
        program = self._find(first, environment)
        if program is None:
            raise CommandError(f'there is no program {first!r} that may be executed')
        return [program, *others]

    def _run(self, arguments: Sequence[str], work: Path, environment: Mapping[str, str]) -> Ended:
        task = current_task()
        output = write_to_own if task is None else task.output
        check = (lambda: None) if task is None else task.check_cancelled
        limits = Limits(self.timeout, self.memory, self.nice)
        try:
            return run_program(arguments, work, environment, limits, output, check)
        except TimeoutError as exc:
            raise HandlerTimeoutError(
                f'{self.program} ran longer than its timeout, {self.timeout:g} seconds, and was killed') from exc
        except (OSError, ValueError) as exc:
            raise CommandError(f'{self.program} can\'t be run: {exc}') from exc

    def _judge(self, ended: Ended) -> None:
        words = f': {ended.last_words}' if ended.last_words else ', and wrote nothing to stderr'
        if ended.code == os.EX_TEMPFAIL:
            raise RetryLater(reason=f'{self.program} asked to be run again later{words}')
        if ended.code < 0:
            names = {each.value: each.name for each in signal.Signals}
            raise CommandError(
                f'{self.program} was killed by {names.get(-ended.code, -ended.code)}{words}', ended.code)
        if ended.code:
            raise CommandError(f'{self.program} ended with exit code {ended.code}{words}', ended.code)


def _text(name: str, value: Any) -> str:
    """Return a value of the event as an argument, which is a text or a number and has no NUL."""
    if not isinstance(value, (str, int, float, os.PathLike)) or isinstance(value, bool):
        raise CommandError(f'the {name} of the event is no text and no number, and can be no argument of a program')
    text = str(value)
    try:
        if b'\0' in os.fsencode(text):
            raise ValueError('NUL')
    except ValueError as exc:  # UnicodeEncodeError too
        raise CommandError(f'the {name} of the event has characters that no argument can have') from exc
    return text


def _environment(values: Mapping[str, str]) -> dict[str, str]:
    found = {f'PACIFICA_{_NOT_IN_A_VARIABLE.sub("_", name.upper())}': value for name, value in values.items()}
    if task := current_task():
        found.update(PACIFICA_TASK_ID=str(task.task_id), PACIFICA_ATTEMPT=str(task.attempt))
        if task.route is not None:
            found['PACIFICA_ROUTE'] = _text('route', task.route)
    return found


def _take_key_values(event: StagedEvent) -> None:
    """Give the upload the key-values that the program has left; a key that was given before has the new value."""
    for name, read in (('kvp.csv', _from_csv), ('key_values.json', _from_json)):
        path = event.output_directory / name
        if not os.path.lexists(path):
            continue
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise CommandError(f'output/{name} is no file of at most {_MOST_BYTES} bytes')
        try:
            pairs = read(path.read_text('utf-8-sig'))
        except ValueError as exc:
            raise CommandError(f'output/{name} can\'t be read: {exc}') from exc
        path.unlink()
        event.key_values = [
            *(each for each in event.key_values if each.key not in pairs),
            *(TransactionKeyValue(key=key, value=value) for key, value in pairs.items()),
        ]


def _from_csv(text: str) -> dict[str, str]:
    pairs = {}
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        for row in rows:
            if len(row) not in (0, 2):
                raise ValueError(f'line {rows.line_num} has {len(row)} fields instead of a key and a value')
            if row:
                pairs[row[0]] = row[1]
    except csv.Error as exc:
        raise ValueError(f'line {rows.line_num}: {exc}') from exc
    return pairs


def _from_json(text: str) -> dict[str, str]:
    pairs = json.loads(text)
    if not isinstance(pairs, dict) or not all(type(value) in (str, int, float) for value in pairs.values()):
        raise ValueError('it is no object whose values are texts or numbers')
    return {key: str(value) for key, value in pairs.items()}
