"""Chooses what an evidence bundle contains: entries of a tenant's log, and the signed trees that prove them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit_app import batches as stored
from audit_app import log_events, periods, tree
from audit_app.checkpoint_history import older, signed
from audit_app.checkpoints import newest, origin_of
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard
from audit_app.notes import Note
from audit_app.proofs import NotProven
from audit_app.tiles import MissingTile, Tiles
from audit_app.tree import BadProof

LOG, PERIOD, ACCESS_REQUEST = "log", "period", "access_request"
BATCH = 1000
#: The files of a shard with more entries than this may exceed 2 GiB, and then need the ZIP64 format.
_BIG = 20_000


class RemovedMeanwhile(LookupError):
    """Retention removed entries of the bundle before they were read, so the bundle can't be completed."""


@dataclass(frozen=True, kw_only=True)
class EvidenceScope:
    """What the evidence is about: the whole log, a period (which ends before `until`), or one access request."""

    tenant_id: UUID
    tenant_name: str
    access_request: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    #: The size of a checkpoint that the reader has. The bundle then contains the consistency proof from this size.
    previous_size: int | None = None
    #: Whether the access request is a practice request, whose content is made up. The bundle then says so.
    is_practice: bool = False

    @property
    def kind(self) -> str:
        if self.access_request:
            return ACCESS_REQUEST
        return PERIOD if self.since or self.until else LOG


@dataclass(frozen=True, kw_only=True)
class BundledShard:
    """The entries of one shard that are in the bundle, and the signed tree that contains them.

    `start` and `end` are indexes in that tree. `requested` counts the requested entries. The log's entries
    about itself are always added: from them, a reader who has only an old key learns the new key. One of them
    is the tombstone with which a shard begins after a damaged shard. `pruning` is the number of the entry that
    records a removal of old entries, if it is in this shard.
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
    requested: int = 0
    pruning: int | None = None

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def is_contiguous(self) -> bool:
        return self.access_request is None

    @property
    def neighbours(self) -> list[int]:
        """The indexes just before and just after the requested entries.

        With these two neighbours, the bundle proves that no entry of a period is missing.
        """
        if not self.is_contiguous:
            return []
        return [index for index in (self.start - 1, self.end) if self.pruned <= index < self.size]

    @property
    def is_big(self) -> bool:
        return self.count > _BIG

    def sources(self) -> list[QuerySet[AuditEntry]]:
        """Return queries that together return each row of the bundle once.

        Each query can use an index. A single query for all rows could not.
        """
        rows = self._rows(self.start, self.end)
        return [rows] if self.is_contiguous else [rows.filter(correlation_id=self.access_request), *self._of_the_log()]

    def batches(self) -> Iterator[list[AuditEntry]]:
        """Yield the entries in batches. Raise RemovedMeanwhile if retention removed some of them before they were read.

        Entries that are missing for another reason are skipped. The verifier then reports the damage.
        """
        count = 0
        for batch in self._ranges() if self.is_contiguous else self._merged():
            count += len(batch)
            yield batch
        self._require_all(count)

    def bodies(self) -> Iterator[list[tuple[int, bytes, bytes]]]:
        """Yield (number, bytes, stored leaf hash) of the entries, which must be contiguous. See `batches`."""
        count = 0
        for first in range(self.first_seq + self.start, self.first_seq + self.end, BATCH):
            batch = stored.bodies(self.tenant_id, first, min(first + BATCH, self.first_seq + self.end))
            count += len(batch)
            yield batch
        self._require_all(count)

    def _ranges(self) -> Iterator[list[AuditEntry]]:
        """Yield the entries with one query for each range of numbers.

        With LIMIT in place of a range, PostgreSQL expects fewer rows than there are. For each page, it then reads the
        whole table and sorts it.
        """
        for first in range(self.first_seq + self.start, self.first_seq + self.end, BATCH):
            yield stored.exported(self.tenant_id, first, min(first + BATCH, self.first_seq + self.end))

    def _merged(self) -> Iterator[list[AuditEntry]]:
        rows = merge(*map(_paged, self.sources()), key=lambda entry: entry.seq)
        while batch := list(islice(rows, BATCH)):
            yield batch

    def _require_all(self, count: int) -> None:
        if count < self.count and self._pruned_to(ChainHead.objects.get(pk=self.tenant_id)) > self.pruned:
            raise RemovedMeanwhile(f"entries of shard {self.shard} were removed while they were read")

    def beside(self) -> list[AuditEntry]:
        """Return the log's few entries about itself that are outside `start` and `end`, in order."""
        first, end = self.first_seq + self.start, self.first_seq + self.end
        rows = [entry for found in self._of_the_log() for entry in found if not first <= entry.seq < end]
        return sorted(rows, key=lambda entry: entry.seq) if self.is_contiguous else []

    def _of_the_log(self) -> list[QuerySet[AuditEntry]]:
        rows = self._rows(0, self.size)
        if self.access_request:
            rows = rows.exclude(correlation_id=self.access_request)
        found = [rows.filter(event__in=log_events.RETAINED)]
        return found if self.pruning is None else [*found, rows.filter(seq=self.pruning)]

    def _rows(self, start: int, end: int) -> QuerySet[AuditEntry]:
        first, end = self.first_seq + start, self.first_seq + end
        rows = AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=first, seq__lt=end).order_by("seq")
        return rows.only(*stored.EXPORTED)

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
class UnsignedShard:
    """A shard that was closed before anything in it was signed. The bundle names it, and has no entry of it."""

    shard: int
    origin: str
    first_seq: int
    closed_by: int

    def described(self) -> dict[str, Any]:
        nothing = {"size": 0, "start": 0, "end": 0, "entries": 0, "pruned": 0}
        where = {"shard": self.shard, "origin": self.origin, "first_seq": self.first_seq}
        return {**where, **nothing, "closed_by": self.closed_by}


def _paged(rows: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """Yield the rows page by page, with one query for each page.

    Otherwise a transaction would stay open for as long as the reader downloads.
    """
    next_seq = 0
    while page := list(rows.filter(seq__gte=next_seq)[:BATCH]):
        yield from page
        if len(page) < BATCH:
            return
        next_seq = page[-1].seq + 1


# --- Choosing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shard:
    number: int
    first_seq: int
    closed_by: int | None = None
    is_short: bool = False


@dataclass(frozen=True)
class BundleSelection:
    """What a bundle contains.

    `waiting` counts requested entries that are not in it, because no checkpoint covers them yet.
    """

    parts: tuple[BundledShard, ...]
    waiting: int
    unsigned: tuple[UnsignedShard, ...] = ()


def choose(wanted: EvidenceScope) -> BundleSelection:
    """Choose what a bundle contains. Raise NotProven if the wanted entries can't be proven.

    NotProven has one of three codes. `unsigned`: no checkpoint covers the entries yet, or none covers the entry
    that records the removal of old entries. `absent`: the log never had the entries, or no longer has them.
    `damaged`: the tree has lost hashes that a proof needs.
    """
    head = ChainHead.objects.filter(pk=wanted.tenant_id).first() or ChainHead(tenant_id=wanted.tenant_id)
    closed = ClosedShard.objects.filter(tenant_id=wanted.tenant_id).order_by("shard")
    shards = [_closed(each) for each in closed]
    shards.append(_Shard(head.shard, head.first_seq))
    pruning = log_events.pruning_entry(head) if head.pruned_to else None
    found = [part for shard in shards if (part := _part(wanted, shard, head, pruning))]
    parts = [part for part in found if part.requested or wanted.kind == LOG]
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
    if pruning is not None and pruning.seq >= signed_to and any(part.pruned for part in parts):
        raise NotProven("unsigned")
    return BundleSelection(tuple(parts), waiting, unsigned)


def _of_the_period(found: list[BundledShard]) -> list[BundledShard]:
    """Return the shards that prove which entries a period has, and that it has no others.

    They begin with the last shard that has an entry from before the period, and end with the first shard that has an
    entry from after it. This is enough, because entries are in the order of time over all shards.
    """
    first = max((place for place, part in enumerate(found) if part.start > 0), default=0)
    end = next((place for place in range(first, len(found)) if found[place].end < found[place].size), len(found))
    return found[first : end + 1]


def _unsigned(
    wanted: EvidenceScope, shards: list[_Shard], found: list[BundledShard], parts: list[BundledShard]
) -> Iterator[UnsignedShard]:
    """Yield the shards before the bundle's last shard that were never signed.

    If the bundle's first shard has an entry from before the period, unsigned shards before it are left out.
    """
    signed, last = {part.shard for part in found}, parts[-1].shard
    first = 0 if wanted.kind == LOG or parts[0].start == 0 else parts[0].shard
    for shard in shards:
        if shard.number not in signed and first <= shard.number <= last and shard.closed_by is not None:
            yield UnsignedShard(
                shard=shard.number,
                origin=origin_of(wanted.tenant_id, shard.number),
                first_seq=shard.first_seq,
                closed_by=shard.closed_by,
            )


def _closed(row: ClosedShard) -> _Shard:
    # A bundle with a shard that lacks signed entries can't be verified. So such a shard is added only if it is
    # requested.
    is_short = row.end_seq - row.first_seq > row.found_size
    return _Shard(row.shard, row.first_seq, closed_by=row.end_seq, is_short=is_short)


def _belongs(part: BundledShard, parts: list[BundledShard], *, newest: BundledShard) -> bool:
    """Return whether a shard that was not requested is needed to verify the requested ones.

    It is needed if it has an entry about a new key, or the entry about a removal. The newest shard is always needed:
    its checkpoint is at most an hour old, while that of a closed shard can be old. Any earlier shard may have the entry
    about the key that signed the newest checkpoint.
    """
    of_keys = AuditEntry.objects.filter(
        tenant_id=part.tenant_id,
        event__in=(log_events.KEY_ROTATED, *log_events.OF_PEOPLES_KEYS),
        seq__gte=part.first_seq,
        seq__lt=part.first_seq + part.size,
    )
    says_key = part.shard < newest.shard and of_keys.exists()
    says_removed = part.pruning is not None and any(each.pruned for each in parts)
    return (says_key or says_removed or part is newest) and _is_sound(part)


def _is_sound(part: BundledShard) -> bool:
    """Return whether this shard's entries and older checkpoints in the bundle fit the shard's signed root.

    A damaged shard is left out if it was not requested, because it would make the whole bundle fail.
    """
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


def _part(wanted: EvidenceScope, shard: _Shard, head: ChainHead, pruning: AuditEntry | None) -> BundledShard | None:
    """Return what the bundle needs of a shard, or None if no part of the shard was ever signed."""
    checkpoint = newest(wanted.tenant_id, shard.number)
    if checkpoint is None:
        return None
    [(_checkpoint, note, witnesses)] = signed([checkpoint])
    end = shard.first_seq + checkpoint.size
    pruned = min(max(head.pruned_to - shard.first_seq, 0), checkpoint.size)
    part = BundledShard(
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
        requested=checkpoint.size - pruned,
        pruned=pruned,
        closed_by=shard.closed_by,
        access_request=wanted.access_request,
        pruning=pruning.seq if pruning is not None and shard.first_seq <= pruning.seq < end else None,
    )
    if wanted.kind == PERIOD:
        start, end = _between(wanted, part)
        return replace(part, start=start, end=end, count=end - start, requested=end - start)
    if wanted.kind == ACCESS_REQUEST:
        requested, *of_the_log = (rows.count() for rows in part.sources())
        return replace(part, count=requested + sum(of_the_log), requested=requested)
    return part


def _between(wanted: EvidenceScope, part: BundledShard) -> tuple[int, int]:
    """Return the index of the period's first entry, and the index after its last entry.

    Within a shard, the entries are in the order of time.
    """
    first, end = part.first_seq + part.start, part.first_seq + part.end
    found = partial(periods.first_since, wanted.tenant_id, first=first, end=end)
    start = found(wanted.since) if wanted.since else first
    end = found(wanted.until) if wanted.until else end
    return start - part.first_seq, max(start, end) - part.first_seq


def _matching(wanted: EvidenceScope, first: int, end: int) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.filter(tenant_id=wanted.tenant_id, seq__gte=first, seq__lt=end)
    if wanted.access_request:
        return rows.filter(correlation_id=wanted.access_request)
    return periods.within(rows, wanted.tenant_id, since=wanted.since, until=wanted.until)


def _require_proofs(part: BundledShard) -> None:
    """Raise NotProven if the tree can't prove the first and the last entry. Call it before the first byte is sent."""
    try:
        tiles = Tiles(part.tenant_id, part.shard)
        ends = {part.start, max(part.end - 1, part.start)} if part.count else set()
        for index in ends.union(part.neighbours):
            tiles.subtree(0, index)
            tiles.inclusion(index, part.size)
    except MissingTile as error:
        raise NotProven("damaged") from error
