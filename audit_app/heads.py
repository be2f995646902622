"""Stores, outside the database, the heads that were signed last.

A database that was restored, cut or replaced can't show that a longer log was signed before. This file can. It is a
separate SQLite file, because SQLite writes a row completely or not at all. Nothing in it is secret.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from audit_app.notes import Head
from audit_app.tree import Frontier

_TABLE = """
CREATE TABLE IF NOT EXISTS heads (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, frontier BLOB NOT NULL, note TEXT NOT NULL
) WITHOUT ROWID
"""
_SELECT = "SELECT origin, size, root, frontier, note FROM heads WHERE origin"


class HeadsUnavailable(RuntimeError):
    """The file of heads can't be read or written. Nothing is then signed."""


class HeadConflict(RuntimeError):
    """The head does not continue the stored head: another process has signed meanwhile, or the log was changed."""


@dataclass(frozen=True)
class StoredHead:
    head: Head
    frontier: Frontier
    note: str


def get(origin: str) -> StoredHead | None:
    """Return the last signed head of this log, or None if no head is stored."""
    with _opened() as file:
        row = file.execute(f"{_SELECT} = ?", (origin,)).fetchone()
    return _stored(*row) if row else None


def get_many(origins: Sequence[str]) -> dict[str, StoredHead]:
    """Return the stored heads of these logs. A damaged head is left out here, while `get` raises an error for it."""
    found = {}
    with _opened() as file:
        marks = ", ".join("?" * len(origins))
        for row in file.execute(f"{_SELECT} IN ({marks})", list(origins)):
            with suppress(HeadsUnavailable):
                found[row[0]] = _stored(*row)
    return found


def every() -> list[StoredHead]:
    """Return all stored heads. Raise HeadsUnavailable if one of them is damaged."""
    with _opened() as file:
        return [_stored(*row) for row in file.execute(f"{_SELECT} IS NOT NULL ORDER BY origin")]


def _stored(origin: str, size: int, root: bytes, frontier: bytes, note: str) -> StoredHead:
    hashes = [frontier[at : at + 32] for at in range(0, len(frontier), 32)]
    try:
        stored = StoredHead(Head(origin, size, root), Frontier(size, hashes), note)
    except ValueError as error:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged") from error
    if stored.frontier.root() != root:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged")
    return stored


@contextmanager
def turn() -> Iterator[bool]:
    """Take the lock of the signer and yield True, or yield False if another process of this machine has the lock.

    The operating system releases the lock when the process ends.
    """
    path = Path(settings.LOG_HEADS_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise HeadsUnavailable(f"{path.name} can't be used ({error})") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def require_usable() -> None:
    """Raise HeadsUnavailable if the file can't be opened and locked for writing, as on a full disk."""
    with _opened() as file:
        file.execute("BEGIN IMMEDIATE")
        file.execute("ROLLBACK")


def put(head: Head, frontier: Frontier, note: str, *, after: Head | None) -> None:
    """Replace the stored head `after` by this head. When this returns, the new head is on the disk.

    Raise HeadConflict if the stored head is not `after`.
    """
    expected = (after.size, after.root) if after else None
    values = (head.size, head.root, b"".join(frontier.hashes), note, head.origin)
    with _opened() as file:
        file.execute("BEGIN IMMEDIATE")
        found = file.execute("SELECT size, root FROM heads WHERE origin = ?", (head.origin,)).fetchone()
        if found != expected:
            file.execute("ROLLBACK")
            raise HeadConflict(f"another head of {head.origin} is kept than was read")
        if found is None:
            file.execute("INSERT INTO heads (size, root, frontier, note, origin) VALUES (?, ?, ?, ?, ?)", values)
        else:
            file.execute("UPDATE heads SET size = ?, root = ?, frontier = ?, note = ? WHERE origin = ?", values)
        file.execute("COMMIT")


@contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    path = Path(settings.LOG_HEADS_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(path, timeout=20, isolation_level=None)
        try:
            # FULL: a head must be on the disk before its signature is published.
            file.execute("PRAGMA synchronous=FULL")
            file.execute(_TABLE)
            yield file
        finally:
            file.close()
    except (OSError, sqlite3.Error) as error:
        raise HeadsUnavailable(f"{path.name} can't be used ({error})") from error
