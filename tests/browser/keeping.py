"""Restores the demo world for each test in milliseconds.

Each process builds the world once, and again after some time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

#: How long a copy can be used. The world's shortest window is half an hour, so it is still open then.
KEEPS_SECONDS = 300


class Keeper:
    """Stores a copy of the database's pages and of the file with the log's heads. The two must fit together."""

    def __init__(self, build: Callable[[], None]) -> None:
        self._build, self._built_at = build, 0.0
        self._pages = sqlite3.connect(":memory:", check_same_thread=False)
        self._heads: bytes | None = None

    def bring(self) -> None:
        """Put the database back into its state right after the world was built."""
        if connection.vendor != "sqlite":
            self._build()
        elif self._built_at and time.monotonic() - self._built_at < KEEPS_SECONDS:
            self._bring_back()
        else:
            self._build()
            self._keep()

    def _keep(self) -> None:
        heads = Path(settings.LOG_HEADS_FILE)
        # Nothing writes into the database and the file at this time.
        connection.ensure_connection()
        connection.connection.backup(self._pages)
        self._heads = heads.read_bytes() if heads.exists() else None
        self._built_at = time.monotonic()

    def _bring_back(self) -> None:
        connection.ensure_connection()
        self._pages.backup(connection.connection)
        heads = Path(settings.LOG_HEADS_FILE)
        if self._heads is None:
            heads.unlink(missing_ok=True)
        else:
            heads.write_bytes(self._heads)

    def close(self) -> None:
        self._pages.close()
