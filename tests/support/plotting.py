"""A handler that makes images, in a module of its own so that other processes can import it."""

from __future__ import annotations

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.staging import StagedEvent
from support.images import SVG, png


class Plotting(EventHandler):
    """Makes an image that it keeps, one for the route to keep, and a text; nothing if the event says so."""

    def handle(self, event: StagedEvent) -> None:
        """Plot."""
        if event.data == 'nothing':
            return
        with event.create('fit.png', 'wb') as file:
            file.write(png())
        assert event.preview('fit.png')
        with event.create('plots/a.svg', 'wb') as file:
            file.write(SVG)
        with event.create('plots/notes.txt') as file:
            file.write('no image')
