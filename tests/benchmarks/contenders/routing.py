"""The router of this project's service, in a module that handlers' processes can import."""

from jsonpath2.path import Path
from notifying import Notify

from pacifica.dispatcher.router import Router

router = Router()
router.add_route(Path.parse_str('$[?(@["eventType"] = "org.pacifica.metadata.ingest")]'), Notify())
