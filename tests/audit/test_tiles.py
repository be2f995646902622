"""The tiles of a tree, compared with the examples of https://c2sp.org/tlog-tiles."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
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
    """Two proofs in different halves of one tile of the level above. A changed tile has another root."""
    widths(70_000)
    tiles._root_of_subtree.cache_clear()
    hashed: list[int] = []
    plain = tree.root_of_subtree

    def noted(hashes: Sequence[bytes]) -> bytes:
        hashed.append(len(hashes))
        return plain(hashes)

    monkeypatch.setattr(tree, "root_of_subtree", noted)
    counts = []
    for index in (4_321, 4_321 + 256 * 2):
        hashed.clear()
        Tiles(TENANT, 0).inclusion(index, 70_000)
        counts.append(sum(hashed))
    # 254 hashes of the leaf's own tile, and for the first proof also those of the levels above, and of the right edge.
    assert counts[0] > 254 + 254
    assert counts[1] < 254 + 16
    Tile.objects.filter(level=0, number=273).update(hashes=bytes(32 * 112))
    hashed.clear()
    Tiles(TENANT, 0).inclusion(4_321, 70_000)
    assert sum(hashed) == 64 + 32 + 16
