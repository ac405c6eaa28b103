"""A request → validated events; and an event ⇄ its stored JSON.

The front door and ``queue.delay`` validate and store; the router and the engine restore and hand to a handler. Neither
databases nor HTTP frameworks nor Pacifica's tables are known here.
"""

from __future__ import annotations

from pacifica.dispatcher._events.decoding import decode, from_dict, is_batch
from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.restoring import Identity, identify, to_event
from pacifica.dispatcher._events.schemas import SCHEMAS
from pacifica.dispatcher._events.strict_json import dumps, loads

__all__ = [
    'SCHEMAS', 'Identity', 'ReceivedEvent', 'decode', 'dumps', 'from_dict', 'identify', 'is_batch', 'loads', 'to_event',
]
