"""Worlds: databases with many rows that are made once, and stay for later runs. A part works in a world, or in a copy.

A world is a directory with the data of an installation. With PostgreSQL, its rows are in a database of the server,
whose data must stay, too (DATA_STAYS_IN of bin/_with_postgres.py).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

#: Has the facts about a world that is complete. It is written last.
_MARK = "made"
#: What earlier runs have left in the directory of a world: pipes, sockets, output of servers, and static files.
_OF_SERVERS = ("chimes", "run", "log-*", "static")
#: How often it is tried to delete a database, once a second.
DROPS = 30
#: Increase the number of a kind of world when its rows change, so that the worlds that are there are made again. The
#: product's migrations are applied to an older world, and are no reason.
_SHAPES = {"grants": 2, "customer": 1, "log": 1, "evidence": 1, "tree": 1, "empty": 1}


@dataclass(frozen=True)
class World:
    """A world of one kind, such as "grants", and of one or more sizes."""

    kind: str
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return "-".join((self.kind, *map(str, self.sizes)))

    @classmethod
    def named(cls, name: str) -> World:
        kind, *sizes = name.split("-")
        return cls(kind, tuple(map(int, sizes)))

    @property
    def size(self) -> int:
        return self.sizes[0] if self.sizes else 0

    def home(self, place: Path) -> Path:
        return (place / "worlds" / f"{vendor()}-{self}").absolute()

    @property
    def database(self) -> str:
        return f"bench_{self}".replace("-", "_")


def vendor() -> str:
    return "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"


def facts(world: World, place: Path) -> dict[str, Any] | None:
    """Return the facts about the world, or None if a part of it is missing."""
    mark = world.home(place) / _MARK
    if not mark.exists():
        return None
    known: dict[str, Any] = json.loads(mark.read_text())
    return known if known.pop("shape", 0) == _SHAPES[world.kind] else None


def begin(world: World, place: Path) -> None:
    """Make an empty place for the world, and point the settings to it. Call this before Django is set up."""
    home = world.home(place)
    # An older one, or one whose making did not come to its end.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    _database(world.database, "")
    _point(home, world.database)


def end(world: World, place: Path, facts: dict[str, Any]) -> None:
    """Say that the world is there as a whole, and with which facts."""
    (world.home(place) / _MARK).write_text(json.dumps({**facts, "shape": _SHAPES[world.kind]}))


def enter(world: World, place: Path) -> None:
    """Point the settings to the world. Call this before Django is set up."""
    for output in world.home(place).glob("log-*"):
        output.unlink()
    _point(world.home(place), world.database)


def enter_copy(world: World, place: Path, name: str) -> Path:
    """Copy the world, and point the settings to the copy, which `leave` deletes. Call this before Django is set up."""
    home = place.absolute() / "copies" / f"{vendor()}-{name}"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(world.home(place), home, ignore=shutil.ignore_patterns(*_OF_SERVERS))
    database = f"bench_copy_{name}".replace("-", "_")
    _database(database, world.database)
    _point(home, database)
    return home


def leave(home: Path) -> None:
    """Delete a copy."""
    shutil.rmtree(home, ignore_errors=True)
    address, _slash, name = os.environ.get("DATABASE_URL", "").rpartition("/")
    if address:
        with psycopg.connect(f"{address}/postgres", autocommit=True) as server:
            _drop(server, name)


def _drop(server: psycopg.Connection, name: str) -> None:
    for attempt in range(DROPS):
        try:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            # PostgreSQL may be cleaning up in it, with a process that only a superuser can end.
            if attempt == DROPS - 1:
                raise
            time.sleep(1)
        else:
            return


def _point(home: Path, database: str) -> None:
    os.environ["DATA_DIR"] = str(home)
    if vendor() == "postgresql":
        os.environ["DATABASE_URL"] = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{database}"


def _database(name: str, template: str) -> None:
    """Create a database in the place of an older one, as a copy of the template if there is one. SQLite has none."""
    if vendor() != "postgresql":
        return
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        # Copying the files is faster than writing each page to the log of the server.
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template or "template1")
            )
        )
