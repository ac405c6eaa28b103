"""``send``: post event files to a receiver, and show what becomes of the events."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.credentials import credentials_options
from pacifica.dispatcher._cli.options import http_url
from pacifica.dispatcher._cli.output import (
    EXIT_FAILED, Column, console, notice, print_json, progress, rich_table, styled,
)
from pacifica.dispatcher._clients import ClientError
from pacifica.dispatcher._operate.words import printable
from pacifica.dispatcher._queue.status import Status

if TYPE_CHECKING:
    from pacifica.dispatcher._clients.event_files import FileEvent, Mode
    from pacifica.dispatcher._clients.http import Auth
    from pacifica.dispatcher._clients.receiver_client import ReceiverClient, Sent

_WAIT = 60.0


class _Send(click.Command):
    """Takes what follows ``--wait`` as its value only if that is a number, not if it is a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[:args.index('--')] if '--' in args else args
        for position, argument in enumerate(options):
            following = options[position + 1:position + 2]
            if argument == '--wait' and not (following and _is_number(following[0])):
                args = [*args[:position], f'--wait={_WAIT:g}', *args[position + 1:]]
        return super().parse_args(ctx, args)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@click.command('send', cls=_Send, short_help='Post event files to a receiver.')
@click.argument('files', metavar='FILE...', nargs=-1, required=True,
                type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option('--url', metavar='URL', callback=http_url, envvar='DISPATCHER_URL', show_envvar=True, show_default=True,
              default='http://127.0.0.1:8069/receive', help='Where events are received.')
@click.option('--mode', type=click.Choice(['structured', 'binary']), default='structured', show_default=True,
              help='How events are sent: as JSON, or their attributes in headers and their data as the body.')
@credentials_options
@click.option('--timeout', type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              metavar='SECONDS', help='How long the receiver may be silent.')
@click.option('--retry-for', type=click.FloatRange(min=0), default=60.0, show_default=True, metavar='SECONDS',
              help='How long to try again, for each event, when the receiver is busy and says when to (Retry-After).')
@click.option('--wait', type=click.FloatRange(min=0), default=None, metavar='[SECONDS]',
              help=f'Wait until all have ended, {_WAIT:g} seconds if no number follows, and show their statuses.')
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON array, with an object for each event.')
def send_command(
    files: tuple[str, ...], url: str, mode: Mode, auth: Auth | None, timeout: float, retry_for: float,
    wait: float | None, as_json: bool,
) -> None:
    """Post the events in each FILE to a receiver, and show the ids of their tasks.

    A FILE holds one event, a JSON array of events, or an event a line; "-" is stdin. CloudEvents 1.0 and 0.3 are sent
    as application/cloudevents+json, or in binary mode; 0.1 as application/json, as Pacifica does. Sending an event
    again is harmless: it is the same task.

    The exit status is 0 if all were accepted and, with --wait, ended in "200 OK", else 1; 2 if nothing can be sent, or
    nothing more.
    """
    from pacifica.dispatcher._clients.event_files import read_events
    from pacifica.dispatcher._clients.http import HttpClient
    from pacifica.dispatcher._clients.receiver_client import ReceiverClient

    events = read_events(files)
    done: list[Sent] = []
    with HttpClient(auth, timeout) as client:
        receiver = ReceiverClient(url, client, retry_for)
        if wait is not None:
            receiver.url_of('/status')  # before anything is sent
        try:
            _send(receiver, events, mode, wait, done)
        except ClientError as exc:
            if not done:
                raise
            raise ClientError(f'{exc} ({len(done)} of {len(events)} events were sent: see above)') from exc
        finally:
            if done:
                _show(done, wait is not None, as_json)
    fine = all(sent.refusal is None and (wait is None or sent.status == Status.OK) for sent in done)
    sys.exit(0 if fine else EXIT_FAILED)


def _send(
    receiver: ReceiverClient, events: Sequence[FileEvent], mode: Mode, wait: float | None, done: list[Sent],
) -> None:
    """Send *events*, wait for their ends if that is wanted, and add to *done* what came of each when it is known."""
    with progress('sending', len(events)) as advance:
        for sent in receiver.send(events, mode):
            done.append(sent)
            advance(1)
    if wait is not None:
        with progress('waiting', sum(not sent.finished for sent in done)) as advance:
            receiver.wait(done, wait, lambda: advance(1))


def _show(done: Sequence[Sent], waited: bool, as_json: bool) -> None:
    if as_json:
        print_json([_as_json(sent) for sent in done], indent=2)
    else:
        _show_table(done, waited)
    for sent in done:
        if sent.refusal is not None:
            refusal = sent.refusal.partition(':')[0] if sent.faults else sent.refusal  # the rest says the same of them
            notice(f'{sent.event.name} was refused: {refusal}')
            for name, reason in sent.faults:
                notice(f'  {name}: {reason}')
        elif waited and not sent.finished:
            notice(f'{sent.event.name} has not ended yet: {sent.status or "its status is not known"}')


def _as_json(sent: Sent) -> dict[str, Any]:
    return {
        'event': sent.event.name, 'eventID': sent.event.event_id or None, 'taskID': sent.task_id,
        'accepted': sent.refusal is None, 'taskStatus': sent.status, 'message': sent.refusal,
        'faults': [{'field': name, 'message': reason} for name, reason in sent.faults],
    }


def _show_table(done: Sequence[Sent], waited: bool) -> None:
    titles = ['event', 'id', 'task', *(['status'] if waited else [])]
    rows: list[list[object]] = []
    for sent in done:
        task = sent.task_id or 'accepted' if sent.refusal is None else styled(('refused', 'bold red'))
        style = 'green' if sent.status == Status.OK else 'bold red' if sent.finished else 'yellow'
        status = [styled((printable(sent.status or ''), style))] if waited else []
        rows.append([sent.event.name, sent.event.event_id, task, *status])
    console(wide=True).print(rich_table([Column(title, fold=True) for title in titles], rows))
