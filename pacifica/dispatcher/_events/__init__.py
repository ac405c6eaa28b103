"""What was received over HTTP → validated events; and an event ⇄ its stored JSON.

Called by the front door and by ``queue.delay`` (validate and store), and by the router and the engine (restore and hand
to a handler). Knows the CloudEvents specifications and JSON; knows nothing of databases, HTTP frameworks or Pacifica's
tables.
"""

from __future__ import annotations

from pacifica.dispatcher._events.decoding import decode, from_dict, is_batch
from pacifica.dispatcher._events.received import ReceivedEvent
from pacifica.dispatcher._events.schemas import SCHEMAS
from pacifica.dispatcher._events.stored import Identity, identify, to_event
from pacifica.dispatcher._events.strict_json import dumps, loads

__all__ = [
    'SCHEMAS', 'Identity', 'ReceivedEvent', 'decode', 'dumps', 'from_dict', 'identify', 'is_batch', 'loads', 'to_event',
]
