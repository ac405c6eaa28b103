"""Follows the file of a worker's routes, also while no event comes."""

from __future__ import annotations

from pacifica.dispatcher._engine.turns import Periodic
from pacifica.dispatcher.router import Router


class RoutesFollower(Periodic):
    """Has the router look at its file once a second, and so say what it takes and refuses. A stranger's has none.

    A thread of its own: what the file names is imported in it, which may take longer than a lease.
    """

    def __init__(self, router: object) -> None:
        super().__init__('routes', 1.0, patience=1.0)
        self._router = router

    def start(self) -> None:
        """Start the thread, if the routes are of a file."""
        if isinstance(self._router, Router) and self._router.file is not None:
            super().start()

    def _turn(self) -> None:
        assert isinstance(self._router, Router)
        self._router.refresh()  # which logs what is wrong, and raises nothing
