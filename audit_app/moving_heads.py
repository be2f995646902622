"""Moves the heads from the file of one host to a place that several hosts can share.

The file is closed for writing before the last copy is made, so no signer that still uses the file can move a head that
the new place has already. If the move ends in the middle, it can be repeated.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from audit_app import heads
from audit_app.head_file import File
from audit_app.stored_heads import HeadsUnavailable, Move, Store, StoredHead


@dataclass(frozen=True)
class Moved:
    total: int


def move(place: str) -> Moved:
    """Move all heads to the place, which is written as in LOG_HEADS. Raise HeadsUnavailable if it can't take them."""
    source, target = heads.store(), heads.store(place)
    if not isinstance(source, File):
        raise HeadsUnavailable("the heads are not in a file of this host, so there is nothing to move")
    target.require_usable()
    identity = source.identity(secrets.token_hex(16))
    _require_free(target, identity)
    _copy(source, target)
    source.leave(place)
    moved = Moved(_copy(source, target))
    # Last, so that no host signs at the new place before all heads are there.
    target.identity(identity)
    _require_free(target, identity)
    return moved


def _require_free(target: Store, identity: str) -> None:
    if target.identity() not in ("", identity):
        raise HeadsUnavailable(f"{target.name} has the heads of another installation")


def _copy(source: File, target: Store) -> int:
    rows = source.every()
    there = target.get_many([row.head.origin for row in rows])
    moves = [move for row in rows if (move := _move(row, there.get(row.head.origin), source, target))]
    if len(target.put_many(moves)) < len(moves):
        raise HeadsUnavailable(f"somebody else writes to {target.name}: nothing may sign there yet")
    return len(rows)


def _move(row: StoredHead, found: StoredHead | None, source: File, target: Store) -> Move | None:
    if found is None:
        return Move(None, row)
    if found.head == row.head or (found.head.size > row.head.size and source.moved_to()):
        # A repeated move: other hosts may sign at the new place already.
        return None
    if found.head.size >= row.head.size:
        raise HeadsUnavailable(
            f"{target.name} has another head of {row.head.origin}, which {source.name} does not lead to: one of the "
            "two is an older copy, or of another installation"
        )
    return Move(found, replace(row, generation=max(row.generation, found.generation + 1)))
