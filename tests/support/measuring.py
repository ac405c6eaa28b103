"""A handler that heeds its parameters, in a module of its own so that other processes can import it."""

from __future__ import annotations

import os
from typing import Any

from pacifica.dispatcher.event_handlers import EventHandler
from pacifica.dispatcher.models import TransactionKeyValue
from pacifica.dispatcher.task_context import current_task


class Measure(EventHandler):
    """Makes a file of its parameters; ends its process if they say so."""

    def handle(self, event: Any) -> None:
        task = current_task()
        assert task is not None and task.parameters == event.parameters
        if event.parameters.get('crash'):
            os._exit(7)
        event.key_values += TransactionKeyValue.from_cloudevents_model(event)
        with event.create('result.txt') as file:
            file.write(str(event.parameters['threshold']))
