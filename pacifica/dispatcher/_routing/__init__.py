"""What the paths of routes select in an event, asked for many routes at once."""

from pacifica.dispatcher._routing.asked import AskedEvent
from pacifica.dispatcher._routing.compiling import selects

__all__ = ['AskedEvent', 'selects']
