"""Keeps threads for the proxy's work with the database, and closes their connections at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Threads(ThreadPoolExecutor):
    """Threads that each keep their own connection to the database."""

    def __init__(self, count: int, name: str) -> None:
        self._held: list[BaseDatabaseWrapper] = []
        super().__init__(count, thread_name_prefix=name, initializer=self._keep)

    def _keep(self) -> None:
        self._held.append(connections[DEFAULT_DB_ALIAS])

    def end(self) -> None:
        """Wait for the work that has begun, end the threads, and close their connections."""
        self.shutdown(cancel_futures=True)
        for held in self._held:
            # Their threads are gone, so nobody else uses them.
            held.inc_thread_sharing()
            held.close()
