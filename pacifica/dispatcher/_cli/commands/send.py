"""``send``: post event files to a receiver."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pacifica.dispatcher._cli.client import credentials_options, http_url

if TYPE_CHECKING:
    from requests.auth import AuthBase

    from pacifica.dispatcher._cli.binding import Mode

__all__ = ['command']

_WAIT = 60.0


class _Send(click.Command):
    """Takes what follows ``--wait`` as its value only if that is a number, not if it is a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*, with the value of a ``--wait`` that has none."""
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
def command(
    files: tuple[str, ...], url: str, mode: Mode, auth: AuthBase | None, timeout: float, retry_for: float,
    wait: float | None, as_json: bool,
) -> None:
    """Post the events in each FILE to a receiver, and show the ids of their tasks.

    A FILE holds one event, a JSON array of events, or an event a line; "-" is stdin. CloudEvents 1.0 and 0.3 are sent
    as application/cloudevents+json, or in binary mode; 0.1 as application/json, as Pacifica does. Sending an event
    again is harmless: it is the same task.

    The exit status is 0 if all were accepted and, with --wait, ended in "200 OK", else 1; 2 if nothing can be sent, or
    nothing more.
    """
    from pacifica.dispatcher._cli.client import HttpClient
    from pacifica.dispatcher._cli.event_files import read_events
    from pacifica.dispatcher._cli.sending import Receiver
    from pacifica.dispatcher._cli.sent_shown import run

    events = read_events(files)
    with HttpClient(auth, timeout) as client:
        sys.exit(run(Receiver(url, client, retry_for), events, mode, wait, as_json))
