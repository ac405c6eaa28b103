"""``check``: a router's routes, and for each event of some files which of them it goes to, and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from pacifica.dispatcher._cli.configuration import config_option
from pacifica.dispatcher._cli.output import EXIT_FAILED, print_json, say
from pacifica.dispatcher._cli.references import ROUTER, RouterReference, router_reference
from pacifica.dispatcher._operate.words import one_line
from pacifica.dispatcher.exceptions import InvalidEventError

if TYPE_CHECKING:
    from pacifica.dispatcher._clients.event_files import FileEvent
    from pacifica.dispatcher._events import ReceivedEvent
    from pacifica.dispatcher.router import Route


@dataclass(frozen=True)
class CheckedRoute:
    """Whether a route matches an event, and why; ``matches`` is ``None`` if asking it failed."""

    matches: bool | None
    explanation: list[str]


@dataclass
class CheckedEvent:
    """An event, as the receiver sees it."""

    name: str
    received: ReceivedEvent | None = None  # what would be stored
    faults: list[str] = field(default_factory=list)  # else what it would be refused for
    routes: list[CheckedRoute] = field(default_factory=list)
    winner: int | None = None  # the number of the route it goes to, from 1
    skipped: str | None = None  # why that route won't handle it


@click.command('check', short_help='Show where events go, and why.')
@click.argument('reference', metavar=ROUTER, callback=router_reference)
@click.argument('files', metavar='[EVENT_FILE]...', nargs=-1,
                type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@config_option
@click.option('--name', metavar='NAME', default=None, envvar=['PACIFICA_DISPATCHER_NAME'],
              help='The application that would receive them, which skips its routes\' own results.  '
                   '[default: MODULE, FILE]')
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON object.')
def check_command(reference: RouterReference, files: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Show the routes of ROUTER in MODULE, or of FILE.toml, and which of them each event goes to, and why.

    An EVENT_FILE holds one event, a JSON array of events, or an event a line; "-" is stdin. Nothing is sent, and no
    handler runs: an event is validated as the receiver does it, and shown with what each route says to it.

    The exit status is 0 if every event has a route, 1 if one has none or would be refused.
    """
    from pacifica.dispatcher._clients.event_files import read_events
    from pacifica.dispatcher._operate.never import why_never

    routes = list(reference.router)
    hidden = _unreachable(routes)
    checked = [check_event(routes, event, name or reference.application) for event in read_events(files)]
    if as_json:
        print_json(_as_json(reference, routes, hidden, checked), indent=2)
    else:
        click.echo(reference.described())
        for warning in reference.router.warnings:
            say(f'warning: {warning}', 'yellow')
        for number, before in hidden.items():
            say(f'warning: no event reaches route {number}: route {before} takes all that it matches', 'yellow')
        for number, route in enumerate(routes, 1):
            for why in why_never(route.path):
                say(f'warning: route {number} matches no event of Pacifica Metadata: {why}', 'yellow')
        for each in checked:
            show_event(each, routes)
    sys.exit(0 if all(each.winner for each in checked) else EXIT_FAILED)


def _unreachable(routes: Sequence[Route]) -> dict[int, int]:
    """Return the numbers of routes that no event reaches, from 1, each with that of the route that takes them all."""
    hidden: dict[int, int] = {}
    for number, route in enumerate(routes):
        for before, other in enumerate(routes[:number]):
            if other.path == route.path or str(other.path) == '$':  # which matches everything
                hidden[number + 1] = before + 1
                break
    return hidden


def check_event(routes: Sequence[Route], event: FileEvent, application: str) -> CheckedEvent:
    """Return what the receiver would make of *event*, as ``send`` sends it, and what each of *routes* makes of it."""
    from pacifica.dispatcher._clients.event_files import request_for
    from pacifica.dispatcher._events import decode

    checked = CheckedEvent(event.name)
    message = request_for(event, 'structured')
    try:
        [checked.received] = decode(message.headers, message.body)
    except InvalidEventError as exc:
        checked.faults = [f'{name}: {what}' for name, what in exc.faults] or [str(exc)]
        return checked
    return _ask_all(routes, checked, checked.received, application)


def check_stored(routes: Sequence[Route], name: str, text: str, application: str) -> CheckedEvent:
    """Return what each of *routes* makes of an event that was accepted once, which is not judged again."""
    from pacifica.dispatcher._events import ReceivedEvent, identify

    told = identify(text)
    received = ReceivedEvent(
        event_type=told.event_type or '', cloud_events_version=told.spec_version or '', source=told.source or '',
        event_id=told.event_id or '', event_json=text, data_json='')
    return _ask_all(routes, CheckedEvent(name, received), received, application)


def _ask_all(
    routes: Sequence[Route], checked: CheckedEvent, received: ReceivedEvent, application: str,
) -> CheckedEvent:
    from pacifica.dispatcher._events import loads
    from pacifica.dispatcher._lineage import Lineage, step

    seen = loads(received.event_json)
    for number, route in enumerate(routes, 1):
        found = _ask(route, seen)
        checked.routes.append(found)
        if found.matches is None:
            break
        if found.matches and checked.winner is None:
            checked.winner = number
            checked.skipped = Lineage.of(seen).loop(step(application, route.name), route.loops == 'allow')
    return checked


def _ask(route: Route, seen: dict[str, Any]) -> CheckedRoute:
    """Return what *route* says to an event: its path may be anybody's, and what it raises would end the event."""
    from pacifica.dispatcher._operate.explain import explain

    matches = None
    try:
        matches = route.match(seen)
        return CheckedRoute(matches, explain(route.path, seen))
    except Exception as exc:
        return CheckedRoute(matches, [one_line(f'asking it fails: {type(exc).__name__}: {exc}')])


def show_event(checked: CheckedEvent, routes: Sequence[Route]) -> None:
    received = checked.received
    click.echo()
    if received is None:
        say(f'{checked.name}: the receiver refuses it', 'red')
        for fault in checked.faults:
            say(f'  {fault}')
        return
    say(f'{checked.name}: CloudEvents {received.cloud_events_version}, type {received.event_type}, '
        f'id {received.event_id}')
    for number, found in enumerate(checked.routes, 1):
        verdict = {True: 'matches', False: 'doesn\'t match', None: 'can\'t be asked'}[found.matches]
        if found.matches and number != checked.winner:
            verdict += f', but route {checked.winner} comes first'
        first, *rest = found.explanation
        say(f'  {number}. {verdict}: {first}')
        for line in rest:
            say(f'       {line}')
    if checked.winner is None:
        say('  → no route: it will end in 422', 'red')
    else:
        handler = routes[checked.winner - 1].handler_name
        say(f'  → route {checked.winner}, {handler}', 'green')
        if checked.skipped:
            say(f'    which skips it: {checked.skipped}', 'yellow')


def _as_json(
    reference: RouterReference, routes: Sequence[Route], hidden: dict[int, int], checked: Sequence[CheckedEvent],
) -> dict[str, Any]:
    from pacifica.dispatcher._operate.never import why_never

    return {
        'router': str(reference),
        'warnings': reference.router.warnings,
        'routes': [
            {'route': number, 'name': route.name, 'path': str(route.path),
             'handler': route.handler_name, 'hiddenBy': hidden.get(number), 'neverMatches': why_never(route.path)}
            for number, route in enumerate(routes, 1)
        ],
        'events': [_event_as_json(each) for each in checked],
    }


def _event_as_json(checked: CheckedEvent) -> dict[str, Any]:
    received = checked.received
    return {
        'event': checked.name,
        'cloudEventsVersion': received.cloud_events_version if received else None,
        'eventType': received.event_type if received else None,
        'eventID': received.event_id if received else None,
        'faults': checked.faults,
        'route': checked.winner,
        'skipped': checked.skipped,
        'routes': [
            {'route': number, 'matches': found.matches, 'explanation': found.explanation}
            for number, found in enumerate(checked.routes, 1)
        ],
    }
