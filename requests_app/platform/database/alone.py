"""Lets only one process at a time change the structure of a database."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import Error

from requests_app.domain import clock

#: The number of the lock in PostgreSQL, where each database has its own locks.
_NUMBER = int.from_bytes(b"lockbox!")
_LOOK_EVERY = 0.5


class StillBusy(Exception):
    """Another process still works on this database."""


@contextmanager
def alone(connection: Any, *, when_waiting: Callable[[], None], seconds: float) -> Iterator[None]:
    """Inside the block, no other process is in such a block for this database. Wait for one that is.

    Call `when_waiting` if it waits. Raise StillBusy if that takes longer than this number of seconds. If a process is
    killed, its lock ends with it.

    The process asks again and again. A statement that waited for the lock would keep a snapshot, and an index that the
    other process builds beside the running work would wait for this snapshot.
    """
    with _lock(connection) as try_to_take:
        if not try_to_take():
            when_waiting()
            pause, until = threading.Event(), clock.monotonic() + seconds
            while not try_to_take():
                if clock.monotonic() > until:
                    raise StillBusy
                pause.wait(_LOOK_EVERY)
        yield


@contextmanager
def _lock(connection: Any) -> Iterator[Callable[[], bool]]:
    if connection.vendor == "postgresql":
        with _of_server(connection) as try_to_take:
            yield try_to_take
    elif connection.is_in_memory_db():
        yield lambda: True
    else:
        with _of_file(f"{connection.settings_dict['NAME']}-migrate") as try_to_take:
            yield try_to_take


@contextmanager
def _of_server(connection: Any) -> Iterator[Callable[[], bool]]:
    def ask(function: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [_NUMBER])
            return bool(cursor.fetchone()[0])

    try:
        yield lambda: ask("pg_try_advisory_lock")
    finally:
        # If the connection is broken, the server has released the lock.
        with suppress(Error):
            ask("pg_advisory_unlock")


@contextmanager
def _of_file(path: str) -> Iterator[Callable[[], bool]]:
    """Use a file of its own: a process that closes SQLite's file would lose SQLite's locks on it."""
    with Path(path).open("a") as handle:

        def try_to_take() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield try_to_take
