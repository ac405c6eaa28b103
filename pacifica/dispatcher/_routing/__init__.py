"""Paths as people write them, and what the paths of routes select in an event, asked for many routes at once."""

from pacifica.dispatcher._routing.asked import AskedEvent
from pacifica.dispatcher._routing.compiling import selects
from pacifica.dispatcher._routing.parsing import parse

__all__ = ['AskedEvent', 'parse', 'selects']
