"""The tiles of a tree, compared with the examples of https://c2sp.org/tlog-tiles."""

import hashlib
from collections import Counter
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit_app import tiles, tree
from audit_app.models import Tile
from audit_app.tiles import WIDTH, Tiles

pytestmark = pytest.mark.django_db

TENANT = UUID("6a1c7c1e-0000-4000-8000-000000000003")


def widths(size: int) -> Counter[tuple[int, int]]:
    """Let a log grow to this size in two steps. Return how many tiles of each level and width it has."""
    leaves = [sha256(b"%d" % index).digest() for index in range(size)]
    Tiles(TENANT, 0).extend(0, leaves[: size // 3])
    Tiles(TENANT, 0).extend(size // 3, leaves[size // 3 :])
    stored = Tile.objects.filter(tenant_id=TENANT, shard=0)
    return Counter((each.level, len(bytes(each.hashes)) // 32) for each in stored)


def test_a_tree_of_70000_leaves_has_the_tiles_of_the_example() -> None:
    assert widths(70_000) == {(0, WIDTH): 273, (0, 112): 1, (1, WIDTH): 1, (1, 17): 1, (2, 1): 1}


def test_a_full_tile_has_one_of_width_one_above_it() -> None:
    assert widths(256) == {(0, WIDTH): 1, (1, 1): 1}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has another statement")
def test_sqlite_finds_each_tile_of_a_proof_by_its_whole_key() -> None:
    """With another statement, it reads all tiles of the log: 9 ms in a log of 10,000,000 entries."""
    widths(70_000)
    with CaptureQueriesContext(connection) as queries:
        Tiles(TENANT, 0).inclusion(4_321, 70_000)
    [read] = [query["sql"] for query in queries if "hashes" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {read}")
        steps = [step for *_, step in cursor.fetchall() if "audit_app_tile " in step]
    assert len(steps) == 1
    assert steps[0].endswith("(tenant_id=? AND shard=? AND level=? AND number=?)")


@pytest.mark.dialect
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite makes no plans that depend on the values")
def test_postgresql_plans_the_statement_of_proofs_once() -> None:
    """Another plan for each proof takes as long as reading the tiles. PostgreSQL makes a few of them, to compare."""

    def without_values() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements WHERE statement LIKE %s",
                ["%AS wanted(level, number)%"],
            )
            return int(cursor.fetchone()[0])

    widths(70_000)
    before = without_values()
    for index in range(0, 70_000, 1000):
        Tiles(TENANT, 0).inclusion(index, 70_000)
    assert without_values() - before >= 50


def test_the_roots_that_many_proofs_need_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two proofs in different tiles, and two in one tile. A changed tile has other roots."""
    widths(70_000)
    tiles._levels.cache_clear()
    hashed: list[bytes] = []
    plain = hashlib.sha256

    def noted(content: bytes) -> Any:
        hashed.append(content)
        return plain(content)

    monkeypatch.setattr(hashlib, "sha256", noted)
    counts = []
    for index in (4_321, 4_321 + 256 * 2, 4_322):
        hashed.clear()
        Tiles(TENANT, 0).inclusion(index, 70_000)
        counts.append(len(hashed))
    # A full tile has 255 roots. The first proof also needs those of the level above, and of the right edge.
    assert counts[0] > 255 + 255
    assert 255 <= counts[1] < 255 + 16
    assert counts[2] < 16
    Tile.objects.filter(level=0, number=273).update(hashes=bytes(32 * 112))
    hashed.clear()
    changed = Tiles(TENANT, 0).inclusion(4_321, 70_000)
    assert len(hashed) >= 56 + 28 + 14 + 7 + 3 + 1
    monkeypatch.undo()
    tiles._levels.cache_clear()
    assert Tiles(TENANT, 0).inclusion(4_321, 70_000) == changed


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 17, 112, 255, 256])
@pytest.mark.parametrize("more", [b"", b"part of a hash"])
def test_the_roots_of_a_tile_are_those_of_its_complete_subtrees(count: int, more: bytes) -> None:
    leaves = [sha256(b"%d" % index).digest() for index in range(count)]
    whole, *levels = tiles._levels(b"".join(leaves) + more)
    assert whole == b"".join(leaves) + more
    assert len(levels) == max(count.bit_length() - 1, 0)
    for height, level in enumerate(levels, 1):
        parts = [leaves[index << height : (index + 1) << height] for index in range(count >> height)]
        assert level == b"".join(map(tree.root_of, parts))
