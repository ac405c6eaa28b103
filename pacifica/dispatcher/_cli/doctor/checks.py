"""All that ``doctor`` looks at, in the order of its report."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pacifica.dispatcher._cli.doctor import broker, databases, local, services
from pacifica.dispatcher._cli.doctor.finding import Finding
from pacifica.dispatcher._cli.doctor.settings import Settings

__all__ = ['CHECKS', 'Check']


class Check(NamedTuple):
    """A check.

    ``run`` returns what it found; ``in_main_thread`` is for what runs code of the user's, which may want signals.
    """

    name: str
    run: Callable[[Settings], Finding]
    in_main_thread: bool = False


CHECKS = (
    Check('router', local.check_router, in_main_thread=True),
    Check('database', databases.check_database),
    Check('schema', databases.check_schema),
    Check('clock', databases.check_clock),
    Check('sqlite-file', local.check_sqlite_file),
    Check('filesystem', local.check_filesystem),
    Check('temporary-directory', local.check_temporary_directory),
    Check('broker', broker.check_broker),
    Check('cartd', services.check_cartd),
    Check('ingest', services.check_ingest),
    Check('policy', services.check_policy),
    Check('notifications', services.check_notifications),
    Check('subscription', services.check_subscription),
    Check('receiver-alive', services.check_receiver_alive),
    Check('receiver-ready', services.check_receiver_ready),
)
