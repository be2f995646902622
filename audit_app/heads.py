"""The heads that were signed last, kept outside the database that they vouch for.

A database that was restored, cut or exchanged can't know that a longer log was signed once; this file does. It is an
SQLite file of its own, because that is what writes a row whole or not at all. Nothing in it is secret.
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
    """The file can't be read or written. Nothing is signed without it."""


class HeadConflict(RuntimeError):
    """A head was to be kept that does not follow from the one that is: somebody signed meanwhile, or worse."""


@dataclass(frozen=True)
class Kept:
    head: Head
    frontier: Frontier
    note: str


def get(origin: str) -> Kept | None:
    """The head of this log that was signed last; None if none ever was, as far as this file knows."""
    with _opened() as file:
        row = file.execute(f"{_SELECT} = ?", (origin,)).fetchone()
    return _kept(*row) if row else None


def get_many(origins: Sequence[str]) -> dict[str, Kept]:
    """The heads of these logs; one that is damaged is left out, and told by get()."""
    found = {}
    with _opened() as file:
        marks = ", ".join("?" * len(origins))
        for row in file.execute(f"{_SELECT} IN ({marks})", list(origins)):
            with suppress(HeadsUnavailable):
                found[row[0]] = _kept(*row)
    return found


def every() -> list[Kept]:
    """All that is kept. Raises HeadsUnavailable where one is damaged."""
    with _opened() as file:
        return [_kept(*row) for row in file.execute(f"{_SELECT} IS NOT NULL ORDER BY origin")]


def _kept(origin: str, size: int, root: bytes, frontier: bytes, note: str) -> Kept:
    hashes = [frontier[at : at + 32] for at in range(0, len(frontier), 32)]
    try:
        kept = Kept(Head(origin, size, root), Frontier(size, hashes), note)
    except ValueError as error:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged") from error
    if kept.frontier.root() != root:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged")
    return kept


@contextmanager
def turn() -> Iterator[bool]:
    """Take the signer's turn; False where another process of this machine has it. It ends with the process."""
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
    """Raise HeadsUnavailable if the file can't be opened and locked for writing, as on a full or missing disk."""
    with _opened() as file:
        file.execute("BEGIN IMMEDIATE")
        file.execute("ROLLBACK")


def put(head: Head, frontier: Frontier, note: str, *, after: Head | None) -> None:
    """Keep this head in place of `after`, on the disk before it returns; raises HeadConflict if another one is kept."""
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
            # FULL: a head is on the disk before its signature leaves the house.
            file.execute("PRAGMA synchronous=FULL")
            file.execute(_TABLE)
            yield file
        finally:
            file.close()
    except (OSError, sqlite3.Error) as error:
        raise HeadsUnavailable(f"{path.name} can't be used ({error})") from error
