"""Recompute a tenant's log: dense sequence, hashes, columns that say what the bytes say, and every signed root.

It begins where the entries begin: after what was pruned, and with the shard that is in use. A shard that a tombstone
closed is known to be damaged, and is not looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.utils import dateparse

from audit_app import checkpoints, keys, notes, own, queries
from audit_app.entries import flaws_of
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogKey
from audit_app.notes import BadNote, Head, Note
from audit_app.tiles import MissingTile, Tiles
from audit_app.tree import Frontier


@dataclass(frozen=True)
class Flaw:
    """What is wrong, and at which sequence number it shows first."""

    tenant_id: UUID
    seq: int
    why: str

    def __str__(self) -> str:
        return f"{self.tenant_id} entry {self.seq}: {self.why}"


@dataclass(frozen=True)
class Verdict:
    tenant_id: UUID
    size: int
    flaw: Flaw | None

    @property
    def is_good(self) -> bool:
        return self.flaw is None


def verify(tenant_id: UUID, *, progress: Callable[[int], None] | None = None) -> Verdict:
    """Check the whole log as it stands and stop at the first flaw. An entry that is added meanwhile is not read."""
    found = Verification.begin(tenant_id)
    while not found.has_ended:
        found.advance(queries.BATCH)
        if progress:
            progress(found.seq)
    return Verdict(tenant_id, found.size, found.flaw)


@dataclass
class Verification:
    """A check under way, which can be put down (`kept`) and taken up again by another process (`resume`)."""

    tenant_id: UUID
    shard: int
    first_seq: int
    size: int
    seq: int
    frontier: Frontier
    last_at: dt.datetime | None = None
    flaw: Flaw | None = None
    has_ended: bool = False

    @classmethod
    def begin(cls, tenant_id: UUID) -> Self:
        head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
        start = max(head.first_seq, head.pruned_to)
        found = cls(tenant_id, head.shard, head.first_seq, head.size, start, Frontier())
        try:
            found.frontier = Tiles(tenant_id, head.shard).frontier(start - head.first_seq)
        except MissingTile:
            found._end(start, "missing: the hashes of what was pruned are not there")
        if not own.is_pruning_said(head):
            found._end(head.first_seq, "missing: no entry says that it was removed")
        if head.shard:
            closes = checkpoints.origin_of(tenant_id, head.shard - 1)
            if why := own.flaw_of_tombstone(head, closes=closes):
                found._end(head.first_seq, why)
        return found

    @classmethod
    def resume(cls, tenant_id: UUID, kept: dict[str, Any]) -> Self:
        hashes = [bytes.fromhex(each) for each in kept["frontier"]]
        last_at = dateparse.parse_datetime(kept["last_at"]) if kept["last_at"] else None
        frontier = Frontier(kept["seq"] - kept["first_seq"], hashes)
        return cls(tenant_id, kept["shard"], kept["first_seq"], kept["size"], kept["seq"], frontier, last_at)

    def kept(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "first_seq": self.first_seq,
            "size": self.size,
            "seq": self.seq,
            "frontier": [each.hex() for each in self.frontier.hashes],
            "last_at": self.last_at.isoformat() if self.last_at else "",
        }

    def advance(self, limit: int) -> None:
        """Check the next entries, and the signed heads on the way; `has_ended` says whether that was all."""
        if self.has_ended:
            return
        end = min(self.size, self.seq + limit)
        signed = self._heads(self.seq, end)
        rows = AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=self.seq, seq__lt=end).order_by("seq")
        for entry in rows:
            if why := next(flaws_of(entry, self.seq, self.last_at), None):
                return None if self._was_pruned() else self._end(self.seq, why)
            self.frontier.append(bytes(entry.leaf_hash))
            self.seq, self.last_at = self.seq + 1, entry.at
            if (root := signed.get(self.frontier.size)) is not None and root != self.frontier.root():
                return self._end(self.seq - 1, "the signed root is another one: an entry up to here was changed")
        if self.seq != end:
            return (
                None if self._was_pruned() else self._end(self.seq, f"missing: the log should have {self.size} entries")
            )
        if end == self.size:
            self._at_the_end()
        return None

    def _was_pruned(self) -> bool:
        """Go on behind what was removed, as it may be, while this check is under way."""
        head = ChainHead.objects.get(pk=self.tenant_id)
        if head.shard != self.shard or head.pruned_to <= self.seq or not own.is_pruning_said(head):
            return False
        try:
            self.frontier = Tiles(self.tenant_id, self.shard).frontier(head.pruned_to - self.first_seq)
        except MissingTile:
            return False
        self.seq, self.last_at = head.pruned_to, None
        self.size = max(self.size, self.seq)
        return True

    def _heads(self, start: int, end: int) -> dict[int, bytes]:
        rows = Checkpoint.objects.filter(
            tenant_id=self.tenant_id,
            shard=self.shard,
            size__gt=start - self.first_seq,
            size__lte=end - self.first_seq,
        )
        return {size: bytes(root) for size, root in rows.values_list("size", "root")}

    def _at_the_end(self) -> None:
        beyond = AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=self.size).exists()
        if beyond and queries.size(self.tenant_id) == self.size:
            return self._end(self.size, "there are entries beyond the log's size")
        newest = checkpoints.newest(self.tenant_id, self.shard)
        if newest is not None and self.first_seq + newest.size > queries.size(self.tenant_id):
            return self._end(self.size, f"missing: {newest.size} entries were signed")
        if newest is not None and (why := _flaw_of_note(newest)):
            return self._end(self.first_seq + newest.size - 1, why)
        self.has_ended = True
        return None

    def _end(self, seq: int, why: str) -> None:
        self.flaw, self.has_ended = Flaw(self.tenant_id, seq, why), True


def _flaw_of_note(checkpoint: Checkpoint) -> str:
    """Why the newest checkpoint's signature is not good; keys are those that are known to have signed here."""
    origin = checkpoints.origin_of(checkpoint.tenant_id, checkpoint.shard)
    try:
        note = Note.parse(checkpoint.note)
        if Head.parse(note.text) != Head(origin, checkpoint.size, bytes(checkpoint.root)):
            return "the checkpoint says another head than the log"
    except BadNote:
        return "the checkpoint can't be read"
    for public in LogKey.objects.values_list("pk", flat=True):
        try:
            note.times(keys.log_key(origin, bytes(public)))
        except notes.BadNote:
            continue
        return ""
    return "the checkpoint has no good signature"
