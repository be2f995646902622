"""Worlds of grants that are made once and stay for later runs: one of each size, for each database.

A world is a directory with the data of an installation. With PostgreSQL, its rows are in a database of the server,
whose data must stay, too (DATA_STAYS_IN of bin/_with_postgres.py).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

#: What the rows of a world depend on, apart from the product, whose migrations are applied to an older world.
_MADE_BY = ("grants.py", "world.py")
#: Has the fingerprint of the program that made the world. It is written last.
_MARK = "made"


def settle(place: Path, size: int) -> bool:
    """Point the settings at the world of this size. Return whether it is there, and not only its empty place.

    Call this before Django is set up.
    """
    address = os.environ.get("DATABASE_URL", "")
    is_postgresql = address.startswith("postgres")
    home = (place / "worlds" / f"{'postgresql' if is_postgresql else 'sqlite'}-{size}").absolute()
    mark = home / _MARK
    is_there = mark.exists() and mark.read_text() == _fingerprint()
    if not is_there:
        # An older one, or one whose making did not come to its end.
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
    if is_postgresql:
        name = f"bench_{size}"
        is_there = _database(address, name, is_there) and is_there
        os.environ["DATABASE_URL"] = f"{address.rpartition('/')[0]}/{name}"
    os.environ["DATA_DIR"] = str(home)
    return is_there


def _database(address: str, name: str, is_there: bool) -> bool:
    """Create the database, unless it is there and belongs to a world. Return whether it was there."""
    with psycopg.connect(address, autocommit=True) as server:
        found = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None
        if found and is_there:
            return True
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return False


def world(size: int, is_there: bool, bar: Any) -> tuple[Any, list[Any]]:
    """Return the cast of the world and its live pairs. Make the world first if it is not there."""
    from bench import grants
    from bench import world as making
    from tests.cast import find

    home = Path(os.environ["DATA_DIR"])
    if is_there:
        return find(), grants.open_again()
    cast = making.make(home / "content")
    pairs = grants.ensure(cast, size, bar)
    (home / _MARK).write_text(_fingerprint())
    return cast, pairs


def _fingerprint() -> str:
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in _MADE_BY)).hexdigest()
