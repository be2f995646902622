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

from audit_app import own, tree
from audit_app.checkpoints import newest, origin_of
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard
from audit_app.notes import Note
from audit_app.older import older, signed
from audit_app.proofs import NotProven
from audit_app.tiles import MissingTile, Tiles
from audit_app.tree import BadProof

LOG, PERIOD, ACCESS_REQUEST = "log", "period", "access_request"
BATCH = 1000
#: So many entries may have more than 2 GiB, which a ZIP says in another way.
_BIG = 20_000


class RemovedMeanwhile(LookupError):
    """Entries of the bundle were removed, as they may be, before they were read: it is not to be completed."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Of which entries evidence is wanted: of all, of a period (`until` not in it), or of one access request."""

    tenant_id: UUID
    tenant_name: str
    access_request: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    #: The size of a checkpoint that the reader kept: the proof from there is in the bundle, whatever else is.
    kept: int | None = None

    @property
    def kind(self) -> str:
        if self.access_request:
            return ACCESS_REQUEST
        return PERIOD if self.since or self.until else LOG


@dataclass(frozen=True, kw_only=True)
class Part:
    """The entries of one shard, and the signed tree that they are in. `start` and `end` are indexes in it.

    `asked` of its entries are what was asked for. What the log says of itself comes with them: who has an old key
    learns of the new one, and a shard that follows a damaged one begins with its tombstone. `pruning` is the number of
    the entry that says what was removed, where it is in this shard.
    """

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
    asked: int = 0
    pruning: int | None = None

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def is_contiguous(self) -> bool:
        return self.access_request is None

    @property
    def neighbours(self) -> list[int]:
        """The indexes next to a period's entries: two that lie outside of it show that nothing of it was left out."""
        if not self.is_contiguous:
            return []
        return [index for index in (self.start - 1, self.end) if self.pruned <= index < self.size]

    @property
    def is_big(self) -> bool:
        return self.count > _BIG

    def sources(self) -> list[QuerySet[AuditEntry]]:
        """The rows, which overlap nowhere. Several queries: each has an index, and all as one would have none."""
        rows = self._rows(self.start, self.end)
        return [rows] if self.is_contiguous else [rows.filter(correlation_id=self.access_request), *self._of_the_log()]

    def batches(self) -> Iterator[list[AuditEntry]]:
        """Raises RemovedMeanwhile. What is missing for another reason is left to whoever verifies: it is damage."""
        rows, count = merge(*map(_paged, self.sources()), key=lambda entry: entry.seq), 0
        while batch := list(islice(rows, BATCH)):
            count += len(batch)
            yield batch
        if count < self.count and self._pruned_to(ChainHead.objects.get(pk=self.tenant_id)) > self.pruned:
            raise RemovedMeanwhile(f"entries of shard {self.shard} were removed while they were read")

    def beside(self) -> list[AuditEntry]:
        """What the log says of itself outside the entries from start to end, in its order; there is little of it."""
        first, end = self.first_seq + self.start, self.first_seq + self.end
        rows = [entry for found in self._of_the_log() for entry in found if not first <= entry.seq < end]
        return sorted(rows, key=lambda entry: entry.seq) if self.is_contiguous else []

    def _of_the_log(self) -> list[QuerySet[AuditEntry]]:
        rows = self._rows(0, self.size)
        if self.access_request:
            rows = rows.exclude(correlation_id=self.access_request)
        found = [rows.filter(event__in=own.KEPT)]
        return found if self.pruning is None else [*found, rows.filter(seq=self.pruning)]

    def _rows(self, start: int, end: int) -> QuerySet[AuditEntry]:
        first, end = self.first_seq + start, self.first_seq + end
        return AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=first, seq__lt=end).order_by("seq")

    def _pruned_to(self, head: ChainHead) -> int:
        return min(max(head.pruned_to - self.first_seq, 0), self.size)

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


@dataclass(frozen=True, kw_only=True)
class Unsigned:
    """A shard that was closed before anything of it was signed. That it was there is told, and nothing of it."""

    shard: int
    origin: str
    first_seq: int
    closed_by: int

    def described(self) -> dict[str, Any]:
        nothing = {"size": 0, "start": 0, "end": 0, "entries": 0, "pruned": 0}
        where = {"shard": self.shard, "origin": self.origin, "first_seq": self.first_seq}
        return {**where, **nothing, "closed_by": self.closed_by}


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
    is_short: bool = False


@dataclass(frozen=True)
class Chosen:
    """What is in a bundle; `waiting` entries more would be, once a checkpoint covers them."""

    parts: tuple[Part, ...]
    waiting: int
    unsigned: tuple[Unsigned, ...] = ()


def choose(wanted: Wanted) -> Chosen:
    """Settle what is in a bundle. Raises NotProven.

    `unsigned`: no checkpoint covers any of it yet, or the entry that says what was removed; `absent`: the log has
    nothing of it, or not any more; `damaged`: the tree has lost what a proof needs.
    """
    head = ChainHead.objects.filter(pk=wanted.tenant_id).first() or ChainHead(tenant_id=wanted.tenant_id)
    closed = ClosedShard.objects.filter(tenant_id=wanted.tenant_id).order_by("shard")
    shards = [_closed(each) for each in closed]
    shards.append(_Shard(head.shard, head.first_seq))
    said = own.pruning_entry(head) if head.pruned_to else None
    found = [part for shard in shards if (part := _part(wanted, shard, head, said))]
    parts = [part for part in found if part.asked or wanted.kind == LOG]
    if wanted.kind == PERIOD:
        parts = _of_the_period(found)
    is_open = bool(found) and found[-1].shard == head.shard
    signed_to = found[-1].first_seq + found[-1].size if is_open else head.first_seq
    waiting = _matching(wanted, signed_to, head.size).count()
    if not parts:
        raise NotProven("unsigned" if waiting or (head.size and not found) else "absent")
    for part in parts:
        _require_proofs(part)
    unsigned = () if wanted.kind == ACCESS_REQUEST else tuple(_unsigned(wanted, shards, found, parts))
    short = {shard.number for shard in shards if shard.is_short}
    settled = short | {part.shard for part in parts}
    joined = [part for part in found if part.shard not in settled and _belongs(part, parts, newest=found[-1])]
    parts = sorted([*parts, *joined], key=lambda part: part.shard)
    if said is not None and said.seq >= signed_to and any(part.pruned for part in parts):
        raise NotProven("unsigned")
    return Chosen(tuple(parts), waiting, unsigned)


def _of_the_period(found: list[Part]) -> list[Part]:
    """The shards that show what there is of a period, and that there is no more: from the last one that has something
    older up to the first one that has something newer. An entry is no older than one of the shard before it."""
    first = max((place for place, part in enumerate(found) if part.start > 0), default=0)
    end = next((place for place in range(first, len(found)) if found[place].end < found[place].size), len(found))
    return found[first : end + 1]


def _unsigned(wanted: Wanted, shards: list[_Shard], found: list[Part], parts: list[Part]) -> Iterator[Unsigned]:
    """Those among the shards of the bundle that nothing was signed of; a period that has something older in its first
    shard begins with it."""
    signed, last = {part.shard for part in found}, parts[-1].shard
    first = 0 if wanted.kind == LOG or parts[0].start == 0 else parts[0].shard
    for shard in shards:
        if shard.number not in signed and first <= shard.number <= last and shard.closed_by is not None:
            yield Unsigned(
                shard=shard.number,
                origin=origin_of(wanted.tenant_id, shard.number),
                first_seq=shard.first_seq,
                closed_by=shard.closed_by,
            )


def _closed(row: ClosedShard) -> _Shard:
    # Of one that lacks entries that were signed, no bundle is good; it joins none that it is not asked for.
    is_short = row.end_seq - row.first_seq > row.found_size
    return _Shard(row.shard, row.first_seq, closed_by=row.end_seq, is_short=is_short)


def _belongs(part: Part, parts: list[Part], *, newest: Part) -> bool:
    """Whether a shard that was not asked for has what the others need to be judged: a key, or what was removed.

    The newest tree always comes along: it was dated within the hour, which a shard that was closed was not. Its key may
    have been told in any shard before it.
    """
    of_keys = AuditEntry.objects.filter(
        tenant_id=part.tenant_id,
        event__in=(own.KEY_ROTATED, *own.OF_PEOPLES_KEYS),
        seq__gte=part.first_seq,
        seq__lt=part.first_seq + part.size,
    )
    says_key = part.shard < newest.shard and of_keys.exists()
    says_removed = part.pruning is not None and any(each.pruned for each in parts)
    return (says_key or says_removed or part is newest) and _is_sound(part)


def _is_sound(part: Part) -> bool:
    """Whether all that a bundle has of it leads to the root: what is damaged spoils no other shard's evidence."""
    tiles, root = Tiles(part.tenant_id, part.shard), bytes(part.checkpoint.root)
    entries = part.beside() if part.is_contiguous else [entry for batch in part.batches() for entry in batch]
    try:
        for entry in entries:
            index, leaf = entry.seq - part.first_seq, tree.leaf(bytes(entry.canonical))
            tree.check_inclusion(index, part.size, leaf, tiles.inclusion(index, part.size), root)
        for batch in older(part.checkpoint):
            for old, _note, _witnesses in batch:
                path = tiles.consistency(old.size, part.size)
                tree.check_consistency(old.size, part.size, bytes(old.root), root, path)
    except (BadProof, MissingTile):
        return False
    return True


def _part(wanted: Wanted, shard: _Shard, head: ChainHead, said: AuditEntry | None) -> Part | None:
    """What the shard has of what is wanted; nothing where nothing of the shard was ever signed."""
    checkpoint = newest(wanted.tenant_id, shard.number)
    if checkpoint is None:
        return None
    [(_checkpoint, note, witnesses)] = signed([checkpoint])
    end = shard.first_seq + checkpoint.size
    pruned = min(max(head.pruned_to - shard.first_seq, 0), checkpoint.size)
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
        asked=checkpoint.size - pruned,
        pruned=pruned,
        closed_by=shard.closed_by,
        access_request=wanted.access_request,
        pruning=said.seq if said is not None and shard.first_seq <= said.seq < end else None,
    )
    if wanted.kind == PERIOD:
        start, end = _between(wanted, part)
        return replace(part, start=start, end=end, count=end - start, asked=end - start)
    if wanted.kind == ACCESS_REQUEST:
        asked, *of_the_log = (rows.count() for rows in part.sources())
        return replace(part, count=asked + sum(of_the_log), asked=asked)
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
        ends = {part.start, max(part.end - 1, part.start)} if part.count else set()
        for index in ends.union(part.neighbours):
            tiles.subtree(0, index)
            tiles.inclusion(index, part.size)
    except MissingTile as error:
        raise NotProven("damaged") from error
