"""``demo``: one notification on its whole way, with no other service."""

from __future__ import annotations

import sys

import click

__all__ = ['command']


@click.command('demo')
@click.option('--keep', is_flag=True, help='Leave the receiver up afterwards, for events of your own.')
def command(keep: bool) -> None:
    """Show a notification on its whole way: received, stored, routed, its files fetched, processed, bundled.

    Needs no network, no other service and no configuration; everything lies in one temporary directory. The exit
    status is 0 if the event ended in "200 OK" and the bundle is what its metadata say, else 1.
    """
    from pacifica.dispatcher._cli.demo import run

    sys.exit(run(keep))
