"""The handler that the demo runs and shows: written as a user writes one, without annotations."""

from pacifica.dispatcher.event_handlers import EventHandler


class Uppercase(EventHandler):
    """Turn every file of the transaction into capitals."""

    def handle(self, event):
        """Read each file, and create one of the same path to be uploaded."""
        for file in event.files:
            with event.open(file) as source, event.create(file.path) as target:
                target.write(source.read().upper())
