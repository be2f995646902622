"""Stores the heads in an SQLite file on this host, because SQLite writes a row completely or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from audit_app.stored_heads import HeadsUnavailable, Move, StoredHead, stored

_TABLE = """
CREATE TABLE IF NOT EXISTS heads (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, frontier BLOB NOT NULL, note TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""
_MOVED = "CREATE TABLE IF NOT EXISTS moved (place TEXT NOT NULL)"
_IDENTITY = "CREATE TABLE IF NOT EXISTS place (identity TEXT NOT NULL)"
_ADDED = "ALTER TABLE heads ADD COLUMN generation INTEGER NOT NULL DEFAULT 0"
_SELECT = "SELECT origin, size, root, frontier, note, generation FROM heads WHERE origin"


@dataclass(frozen=True)
class File:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return self.path.exists()

    def get(self, origin: str) -> StoredHead | None:
        with self._opened() as file:
            row = file.execute(f"{_SELECT} = ?", (origin,)).fetchone()
        return stored(*row) if row else None

    def get_many(self, origins: Sequence[str]) -> dict[str, StoredHead]:
        found = {}
        with self._opened() as file:
            marks = ", ".join("?" * len(origins))
            for row in file.execute(f"{_SELECT} IN ({marks})", list(origins)):
                with suppress(HeadsUnavailable):
                    found[row[0]] = stored(*row)
        return found

    def every(self) -> list[StoredHead]:
        with self._opened() as file:
            return [stored(*row) for row in file.execute(f"{_SELECT} IS NOT NULL ORDER BY origin")]

    def put_many(self, moves: Sequence[Move]) -> dict[str, StoredHead]:
        with self._opened() as file:
            file.execute("BEGIN IMMEDIATE")
            _require_here(file)
            done = {move.after.head.origin: move.after for move in moves if _is_moved(file, move)}
            file.execute("COMMIT")
        return done

    def require_usable(self) -> None:
        with self._opened() as file:
            file.execute("BEGIN IMMEDIATE")
            _require_here(file)
            file.execute("ROLLBACK")

    def identity(self, new: str = "") -> str:
        with self._opened() as file:
            if new:
                file.execute("INSERT INTO place SELECT ? WHERE NOT EXISTS (SELECT * FROM place)", (new,))
            row = file.execute("SELECT identity FROM place").fetchone()
        return str(row[0]) if row else ""

    def moved_to(self) -> str:
        """Return the place to which the heads were moved, or ""."""
        with self._opened() as file:
            row = file.execute("SELECT place FROM moved").fetchone()
        return str(row[0]) if row else ""

    def leave(self, place: str) -> None:
        """Let nobody change these heads any more, because they are moved to this place."""
        with self._opened() as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("DELETE FROM moved")
            file.execute("INSERT INTO moved VALUES (?)", (place,))
            file.execute("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(self.path, timeout=20, isolation_level=None)
            try:
                # FULL: a head must be on the disk before it is signed.
                file.execute("PRAGMA synchronous=FULL")
                _prepare(file)
                yield file
            finally:
                file.close()
        except (OSError, sqlite3.Error) as error:
            raise HeadsUnavailable(f"{self.path.name} can't be used ({error})") from error


def _prepare(file: sqlite3.Connection) -> None:
    file.execute(_TABLE)
    file.execute(_MOVED)
    file.execute(_IDENTITY)
    if "generation" not in {row[1] for row in file.execute("PRAGMA table_info(heads)")}:
        # The file is of a version without generations. If another process adds the column now, this fails.
        with suppress(sqlite3.OperationalError):
            file.execute(_ADDED)


def _require_here(file: sqlite3.Connection) -> None:
    if row := file.execute("SELECT place FROM moved").fetchone():
        raise HeadsUnavailable(f"the heads were moved to {row[0]}: set LOG_HEADS={row[0]} on this host")


def _is_moved(file: sqlite3.Connection, move: Move) -> bool:
    new, old = move.after, move.before
    values = (new.head.size, new.head.root, b"".join(new.frontier.hashes), new.note, new.generation, new.head.origin)
    if old is None:
        words = "INSERT INTO heads (size, root, frontier, note, generation, origin) VALUES (?, ?, ?, ?, ?, ?)"
        return file.execute(f"{words} ON CONFLICT DO NOTHING", values).rowcount == 1
    # All columns are compared: a former version, which still runs during an upgrade, writes no generation.
    same = (old.generation, old.head.size, old.head.root, old.note)
    words = "UPDATE heads SET size = ?, root = ?, frontier = ?, note = ?, generation = ? WHERE origin = ?"
    found = file.execute(f"{words} AND generation = ? AND size = ? AND root = ? AND note = ?", (*values, *same))
    return found.rowcount == 1
