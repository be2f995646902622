"""Restores the demo world, which was built once, within milliseconds for each test of a process."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

#: The world's shortest window is half an hour; a world this old still lies well within it.
KEEPS_SECONDS = 300


class Keeper:
    """Copies the database's pages and the file of the heads, which belong together."""

    def __init__(self, build: Callable[[], None]) -> None:
        self._build, self._built_at = build, 0.0
        self._pages = sqlite3.connect(":memory:", check_same_thread=False)
        self._heads: bytes | None = None

    def bring(self) -> None:
        """Restore the database to its state just after the world was built."""
        if connection.vendor != "sqlite":
            self._build()
        elif self._built_at and time.monotonic() - self._built_at < KEEPS_SECONDS:
            self._bring_back()
        else:
            self._build()
            self._keep()

    def _keep(self) -> None:
        heads = Path(settings.LOG_HEADS_FILE)
        # Neither is in use now: nobody has seen the world yet.
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
