"""Which entries of a tenant's log go into a bundle, and which signed trees they are in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit_app.checkpoints import newest, origin_of
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard
from audit_app.notes import Note
from audit_app.older import signed
from audit_app.proofs import NotProven
from audit_app.tiles import MissingTile, Tiles

LOG, PERIOD, ACCESS_REQUEST = "log", "period", "access_request"
BATCH = 1000
#: So many entries may have more than 2 GiB, which a ZIP says in another way.
_BIG = 20_000
#: What the log says of itself goes with every access request: who has an old key learns of the new one, and a shard
#: that follows a damaged one begins with its tombstone.
_OF_THE_LOG = ("log.key_rotated", "log.tombstoned")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Of which entries evidence is wanted: of all, of a period (`until` not in it), or of one access request."""

    tenant_id: UUID
    tenant_name: str
    access_request: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def kind(self) -> str:
        if self.access_request:
            return ACCESS_REQUEST
        return PERIOD if self.since or self.until else LOG


@dataclass(frozen=True, kw_only=True)
class Part:
    """The entries of one shard, and the signed tree that they are in. `start` and `end` are indexes in it."""

    tenant_id: UUID
    shard: int
    origin: str
    first_seq: int
    checkpoint: Checkpoint
    note: Note
    witnesses: tuple[str, ...]
    start: int
    end: int
    count: int
    pruned: int
    closed_by: int | None
    access_request: UUID | None

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def is_contiguous(self) -> bool:
        return self.access_request is None

    @property
    def is_big(self) -> bool:
        return self.count > _BIG

    def sources(self) -> list[QuerySet[AuditEntry]]:
        """The rows, which overlap nowhere. Two queries, as each has an index and the two as one would have none."""
        first, end = self.first_seq + self.start, self.first_seq + self.end
        rows = AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=first, seq__lt=end).order_by("seq")
        if self.is_contiguous:
            return [rows]
        own = rows.filter(correlation_id=self.access_request)
        return [own, rows.filter(event__in=_OF_THE_LOG).exclude(correlation_id=self.access_request)]

    def batches(self) -> Iterator[list[AuditEntry]]:
        rows = merge(*map(_paged, self.sources()), key=lambda entry: entry.seq)
        while batch := list(islice(rows, BATCH)):
            yield batch

    def described(self) -> dict[str, Any]:
        place = {"start": self.start, "end": self.end} if self.is_contiguous else {}
        return {
            "shard": self.shard,
            "origin": self.origin,
            "first_seq": self.first_seq,
            "size": self.size,
            **place,
            "entries": self.count,
            "pruned": self.pruned,
            "closed_by": self.closed_by,
        }


def _paged(rows: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """A page at a time, each a query of its own: no cursor, and so no transaction, stays open while somebody reads."""
    next_seq = 0
    while page := list(rows.filter(seq__gte=next_seq)[:BATCH]):
        yield from page
        next_seq = page[-1].seq + 1


# --- Choosing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shard:
    number: int
    first_seq: int
    closed_by: int | None = None


@dataclass(frozen=True)
class Chosen:
    """What is in a bundle; `waiting` entries more would be, once a checkpoint covers them."""

    parts: tuple[Part, ...]
    waiting: int


def choose(wanted: Wanted) -> Chosen:
    """Settle what is in a bundle. Raises NotProven.

    `unsigned`: no checkpoint covers any of it yet; `absent`: the log has nothing of it, or not any more; `damaged`:
    the tree has lost what a proof needs.
    """
    head = ChainHead.objects.filter(pk=wanted.tenant_id).first() or ChainHead(tenant_id=wanted.tenant_id)
    closed = ClosedShard.objects.filter(tenant_id=wanted.tenant_id).order_by("shard")
    shards = [_Shard(each.shard, each.first_seq, closed_by=each.end_seq) for each in closed]
    shards.append(_Shard(head.shard, head.first_seq))
    found = [part for shard in shards if (part := _part(wanted, shard, head.pruned_to))]
    parts = [part for part in found if part.count or wanted.kind == LOG]
    if not parts and wanted.kind == PERIOD:
        # That nothing happened is shown by a signed tree that has nothing of that time.
        parts = found[-1:]
    is_open = bool(found) and found[-1].shard == head.shard
    signed_to = found[-1].first_seq + found[-1].size if is_open else head.first_seq
    waiting = _matching(wanted, signed_to, head.size).count()
    if not parts:
        raise NotProven("unsigned" if waiting or (head.size and not found) else "absent")
    for part in parts:
        _require_proofs(part)
    return Chosen(tuple(parts), waiting)


def _part(wanted: Wanted, shard: _Shard, pruned_to: int) -> Part | None:
    """What the shard has of what is wanted; nothing where nothing of the shard was ever signed."""
    checkpoint = newest(wanted.tenant_id, shard.number)
    if checkpoint is None:
        return None
    [(_checkpoint, note, witnesses)] = signed([checkpoint])
    pruned = min(max(pruned_to - shard.first_seq, 0), checkpoint.size)
    part = Part(
        tenant_id=wanted.tenant_id,
        shard=shard.number,
        origin=origin_of(wanted.tenant_id, shard.number),
        first_seq=shard.first_seq,
        checkpoint=checkpoint,
        note=note,
        witnesses=tuple(witnesses),
        start=pruned,
        end=checkpoint.size,
        count=checkpoint.size - pruned,
        pruned=pruned,
        closed_by=shard.closed_by,
        access_request=wanted.access_request,
    )
    if wanted.kind == PERIOD:
        start, end = _between(wanted, part)
        return replace(part, start=start, end=end, count=end - start)
    if wanted.kind == ACCESS_REQUEST:
        own, of_the_log = (rows.count() for rows in part.sources())
        # Of a shard that says nothing about the access request nothing is taken, not even what it says of itself.
        return replace(part, count=own + of_the_log if own else 0)
    return part


def _between(wanted: Wanted, part: Part) -> tuple[int, int]:
    """The indexes of the period's entries; within a shard no entry is older than the one before it."""
    [rows] = part.sources()
    otherwise = part.first_seq + part.end
    # By time, for which there is an index; by number alone a database would look through the log from its start.
    start = _first(rows.filter(at__gte=wanted.since), otherwise) if wanted.since else part.first_seq + part.start
    end = _first(rows.filter(at__gte=wanted.until), otherwise) if wanted.until else otherwise
    return start - part.first_seq, max(start, end) - part.first_seq


def _first(rows: QuerySet[AuditEntry], otherwise: int) -> int:
    found = rows.order_by("at", "seq").values_list("seq", flat=True).first()
    return otherwise if found is None else found


def _matching(wanted: Wanted, first: int, end: int) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.filter(tenant_id=wanted.tenant_id, seq__gte=first, seq__lt=end)
    if wanted.access_request:
        return rows.filter(correlation_id=wanted.access_request)
    if wanted.since:
        rows = rows.filter(at__gte=wanted.since)
    return rows.filter(at__lt=wanted.until) if wanted.until else rows


def _require_proofs(part: Part) -> None:
    """Fail before the first byte where the tree can't show even the first and the last entry."""
    try:
        tiles = Tiles(part.tenant_id, part.shard)
        for index in {part.start, max(part.end - 1, part.start)} if part.count else ():
            tiles.subtree(0, index)
            tiles.inclusion(index, part.size)
    except MissingTile as error:
        raise NotProven("damaged") from error
