"""Stores the hashes of the tree as tiles of 256 hashes (C2SP tlog-tiles), so that a proof needs only a few reads.

The tile (level, number) has the hashes of complete subtrees with 256**level leaves. The last tile of a level grows.
When it is full, its root is added to the level above, and the tile never changes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from uuid import UUID

from django.db import connection
from django.db.models import UUIDField

from audit_app import tree
from audit_app.models import Tile
from audit_app.tree import Frontier, Range

BITS = 8
WIDTH = 1 << BITS
_HASH = 32

_Place = tuple[int, int]
_TENANT = UUIDField()
_TILES = Tile._meta.db_table
#: A proof reads a few tiles. Django took longer to make this text than the database takes to answer.
_READ = f"SELECT level, number, hashes FROM {_TILES} WHERE tenant_id = %s AND shard = %s"  # noqa: S608 - the model's name
#: PostgreSQL plans this statement once, however many tiles a proof needs. Without the two SELECT, it would count the
#: values of each array, and make another plan for each proof, which takes as long as reading the tiles.
_READ_ALL = f"""
    SELECT tile.level, tile.number, tile.hashes
    FROM unnest((SELECT %s::smallint[]), (SELECT %s::bigint[])) AS wanted(level, number)
    JOIN {_TILES} AS tile USING (level, number)
    WHERE tile.tenant_id = %s AND tile.shard = %s
"""  # noqa: S608 - the model's name


class MissingTile(LookupError):
    """A hash that must be in the tiles is missing."""


class Tiles:
    """The tiles of one shard.

    Tiles are cached once they are read, so use an instance for only one proof or one signature.
    """

    def __init__(self, tenant_id: UUID, shard: int) -> None:
        self.tenant_id = tenant_id
        self.shard = shard
        self._read: dict[_Place, bytes] = {}

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree (see tree.Subtree)."""
        tile_level, height = divmod(level, BITS)
        first = index << height
        place = (tile_level, first >> BITS)
        hashes = self._hashes(place)
        start = (first & (WIDTH - 1)) * _HASH
        if len(hashes) < start + (_HASH << height):
            raise MissingTile(f"tile {place} of shard {self.shard} is too short")
        start >>= height
        return _levels(hashes)[height][start : start + _HASH]

    def hashes_of(self, parts: Iterable[Range]) -> list[bytes]:
        """Return the hash of each range. All tiles are read with one query."""
        parts = list(parts)
        self._fetch({place for part in parts for place in places(part)})
        return [tree.hash_of(part, self.subtree) for part in parts]

    def frontier(self, size: int) -> Frontier:
        self._fetch(set(places((0, size))))
        return tree.frontier_at(size, self.subtree)

    def leaves(self, number: int) -> bytes:
        """Return the leaf hashes in one tile of the lowest level."""
        return self._hashes((0, number))

    def root(self, level: int, number: int) -> bytes:
        """Return the root over the hashes of one tile. The tile need not be full."""
        return root_of(self._hashes((level, number)))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return self.hashes_of(tree.inclusion(index, size))

    def consistency(self, old: int, new: int) -> list[bytes]:
        return self.hashes_of(tree.consistency(old, new))

    def extend(self, size: int, leaf_hashes: Sequence[bytes]) -> None:
        """Add leaves to the tree, which now has `size` leaves. Call it in a transaction that has the signer's lock."""
        level, count, added = 0, size, list(leaf_hashes)
        rows = []
        while added:
            number, width = count >> BITS, count & (WIDTH - 1)
            # Cut to the width that follows from the size, so that nothing depends on the rest of a crashed write.
            start = self._hashes((level, number))[: width * _HASH] if width else b""
            if len(start) != width * _HASH:
                raise MissingTile(f"tile {(level, number)} of shard {self.shard} is too short")
            whole = start + b"".join(added)
            above = []
            for offset in range(0, len(whole), WIDTH * _HASH):
                hashes = whole[offset : offset + WIDTH * _HASH]
                rows.append(self._row(level, number, hashes))
                self._read[level, number] = hashes
                if len(hashes) == WIDTH * _HASH:
                    above.append(root_of(hashes))
                number += 1
            level, count, added = level + 1, count >> BITS, above
        Tile.objects.bulk_create(
            rows,
            batch_size=200,
            update_conflicts=True,
            unique_fields=["tenant_id", "shard", "level", "number"],
            update_fields=["hashes"],
        )

    def give(self, place: _Place, hashes: bytes) -> None:
        """Put a tile into the cache. The caller has read this tile together with other tiles."""
        self._read[place] = hashes

    def _row(self, level: int, number: int, hashes: bytes) -> Tile:
        return Tile(tenant_id=self.tenant_id, shard=self.shard, level=level, number=number, hashes=hashes)

    def _hashes(self, place: _Place) -> bytes:
        if place not in self._read:
            self._fetch({place})
        if place not in self._read:
            raise MissingTile(f"tile {place} of shard {self.shard} is not there")
        return self._read[place]

    def _fetch(self, places: set[_Place]) -> None:
        wanted = sorted(places - self._read.keys())
        if not wanted:
            return
        tenant_id = _TENANT.get_db_prep_value(self.tenant_id, connection)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # With SQLite, the driver need not be in memory.
                from psycopg.pq import Format

                # As text, the driver would get two digits for each byte of a tile.
                cursor.cursor.format = Format.BINARY
                text = connection.prepared(_READ_ALL)  # type: ignore[attr-defined]  # our own
                # The driver would look at the type of each number.
                arrays = [f"{{{','.join(map(str, numbers))}}}" for numbers in zip(*wanted, strict=True)]
                cursor.execute(text, [*arrays, tenant_id, self.shard])
            else:
                # With OR, SQLite would read all tiles of the log.
                pairs = ", ".join(["(%s, %s)"] * len(wanted))
                values = [tenant_id, self.shard, *chain.from_iterable(wanted)]
                cursor.execute(f"{_READ} AND (level, number) IN (VALUES {pairs})", values)
            for level, number, hashes in cursor.fetchall():
                self._read[level, number] = bytes(hashes)


def root_of(hashes: bytes) -> bytes:
    """Return the root over the hashes of a tile."""
    return tree.root_of(_parts(hashes))


@lru_cache(maxsize=512)
def _levels(hashes: bytes) -> list[bytes]:
    """Return the hashes of all complete subtrees of a tile, one text of bytes for each height.

    One proof needs nearly all of them, and other proofs need the same ones: those at the right edge of the tree, of its
    largest parts, and of entries beside each other. They depend on the tile's hashes alone, so none is outdated. A tile
    and its subtrees have 16 KiB, so this needs 9 MB at most.
    """
    sha256, levels = hashlib.sha256, [hashes]
    while len(below := levels[-1]) >= 2 * _HASH:
        pairs = [below[at : at + 2 * _HASH] for at in range(0, len(below) - 2 * _HASH + 1, 2 * _HASH)]
        levels.append(b"".join([sha256(b"\x01" + pair).digest() for pair in pairs]))
    return levels


def _parts(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + _HASH] for at in range(0, len(hashes), _HASH)]


def places(part: Range) -> Iterable[_Place]:
    """Return the tiles that have the hashes of a range of leaves, as (level, number)."""
    for level, index in tree.subtrees(part):
        tile_level, height = divmod(level, BITS)
        yield tile_level, (index << height) >> BITS
