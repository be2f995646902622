"""Checks a tenant's log: numbers without gaps, hashes, columns that match the bytes, and every signed root.

The check begins with the oldest remaining entry of the current shard. Shards that a tombstone closed are known to be
damaged, and are not checked.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.utils import dateparse

from audit_app import batches, canonical, checkpoints, entry_checks, keys, log_events, notes, queries, second_process
from audit_app.entries import flaws_of
from audit_app.entry_checks import StoredBatch
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogKey
from audit_app.notes import BadNote, Head, Note
from audit_app.second_process import NoAnswer, SecondProcess
from audit_app.tiles import MissingTile, Tiles
from audit_app.tree import Frontier

#: A second process takes part if so many entries are to be checked. To start it takes as long as some thousand entries.
MANY = 50_000
#: How many batches are read before the answer to the first of them is needed.
_READ_AHEAD = 3
#: For how many entries the signed roots are read together.
_HEADS_OF = 20_000


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a log, and the number of the first entry that shows it."""

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
    """Check the whole log, and stop at the first flaw. Entries that are added during the check are not read."""
    found = Verification.begin(tenant_id)
    try:
        while not found.has_ended:
            found.advance(queries.BATCH)
            if progress:
                progress(found.seq)
    finally:
        found.close()
    return Verdict(tenant_id, found.size, found.flaw)


@dataclass
class Verification:
    """A check that can be interrupted.

    `saved` returns its state, with which `resume` continues it in another process. A check of many entries uses a
    second process, which `close` ends. So does the end of the check.
    """

    tenant_id: UUID
    shard: int
    first_seq: int
    size: int
    seq: int
    frontier: Frontier
    last_at: dt.datetime | None = None
    flaw: Flaw | None = None
    has_ended: bool = False
    _ahead: _Ahead | None = field(default=None, repr=False, compare=False)
    _is_alone: bool = field(default=False, repr=False, compare=False)
    #: The roots that were signed up to this number, which were read together.
    _signed: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)
    _signed_to: int = field(default=-1, repr=False, compare=False)

    @classmethod
    def begin(cls, tenant_id: UUID) -> Self:
        head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
        start = max(head.first_seq, head.pruned_to)
        found = cls(tenant_id, head.shard, head.first_seq, head.size, start, Frontier())
        try:
            found.frontier = Tiles(tenant_id, head.shard).frontier(start - head.first_seq)
        except MissingTile:
            found._end(start, "missing: the hashes of what was pruned are not there")
        if not log_events.is_pruning_logged(head):
            found._end(head.first_seq, "missing: no entry says that it was removed")
        if head.shard:
            closes = checkpoints.origin_of(tenant_id, head.shard - 1)
            if why := log_events.flaw_of_tombstone(head, closes=closes):
                found._end(head.first_seq, why)
        return found

    @classmethod
    def resume(cls, tenant_id: UUID, saved: dict[str, Any]) -> Self:
        hashes = [bytes.fromhex(each) for each in saved["frontier"]]
        last_at = dateparse.parse_datetime(saved["last_at"]) if saved["last_at"] else None
        frontier = Frontier(saved["seq"] - saved["first_seq"], hashes)
        return cls(tenant_id, saved["shard"], saved["first_seq"], saved["size"], saved["seq"], frontier, last_at)

    def saved(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "first_seq": self.first_seq,
            "size": self.size,
            "seq": self.seq,
            "frontier": [each.hex() for each in self.frontier.hashes],
            "last_at": self.last_at.isoformat() if self.last_at else "",
        }

    def advance(self, limit: int) -> None:
        """Check up to `limit` more entries. If a checkpoint ends at one of them, check its root too.

        After the last entry, `has_ended` is True.
        """
        if self.has_ended:
            return
        end = min(self.size, self.seq + limit)
        signed = self._heads(self.seq, end)
        if not self._are_good(end, signed) and not self._is_each_good(end, signed):
            return None
        if self.seq != end:
            return (
                None if self._was_pruned() else self._end(self.seq, f"missing: the log should have {self.size} entries")
            )
        if end == self.size:
            self._at_the_end()
        return None

    def _are_good(self, end: int, signed: dict[int, bytes]) -> bool:
        """Check all entries up to `end` at once. If one may be bad, change nothing and return False."""
        batch, is_good = self._judged(end)
        if batch.size != end - self.seq or not is_good:
            return False
        frontier, start = self.frontier.copy(), self.seq - self.first_seq
        for size in sorted({*signed, end - self.first_seq}):
            frontier.extend(batch.leaf_hashes[frontier.size - start : size - start])
            if signed.get(size, root := frontier.root()) != root:
                return False
        self.frontier, self.seq = frontier, end
        self.last_at = dt.datetime.fromisoformat(batch.times[-1]) if batch.times else self.last_at
        return True

    def _judged(self, end: int) -> tuple[StoredBatch, bool]:
        """Return the entries up to `end`, and whether they are known to be good."""
        last_at = canonical.instant(self.last_at) if self.last_at else ""
        if self._ahead is None and not self._is_alone and self.size - self.seq >= MANY:
            self._is_alone = not second_process.is_of_use()
            self._ahead = None if self._is_alone else _Ahead.begin(self.tenant_id, self.seq, end, self.size, last_at)
        if self._ahead is not None:
            try:
                return self._ahead.judged(self.seq, end)
            except NoAnswer:
                self.close()
        batch = batches.read(self.tenant_id, self.seq, end)
        return batch, entry_checks.is_good(batch, self.tenant_id, self.seq, last_at)

    def close(self) -> None:
        """End the second process. This process does the rest of the check alone."""
        self._is_alone = True
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _is_each_good(self, end: int, signed: dict[int, bytes]) -> bool:
        """Check the entries up to `end` one by one, up to the first bad one. Return whether all of them are good."""
        rows = AuditEntry.objects.filter(tenant_id=self.tenant_id, seq__gte=self.seq, seq__lt=end).order_by("seq")
        for entry in rows:
            if why := next(flaws_of(entry, self.seq, self.last_at), None):
                if not self._was_pruned():
                    self._end(self.seq, why)
                return False
            self.frontier.append(bytes(entry.leaf_hash))
            self.seq, self.last_at = self.seq + 1, entry.at
            if (root := signed.get(self.frontier.size)) is not None and root != self.frontier.root():
                self._end(self.seq - 1, "the signed root is another one: an entry up to here was changed")
                return False
        return True

    def _was_pruned(self) -> bool:
        """If retention removed entries during this check, skip them and return True. Otherwise return False."""
        head = ChainHead.objects.get(pk=self.tenant_id)
        if head.shard != self.shard or head.pruned_to <= self.seq or not log_events.is_pruning_logged(head):
            return False
        try:
            self.frontier = Tiles(self.tenant_id, self.shard).frontier(head.pruned_to - self.first_seq)
        except MissingTile:
            return False
        self.seq, self.last_at = head.pruned_to, None
        self.size = max(self.size, self.seq)
        return True

    def _heads(self, start: int, end: int) -> dict[int, bytes]:
        """Return the signed roots of the trees that end after `start`, and at `end` at the latest.

        Those of many batches are read together. A checkpoint that is written meanwhile is checked the next time.
        """
        if end > self._signed_to:
            self._signed_to = max(end, min(self.size, start + _HEADS_OF))
            self._signed = self._read_heads(start, self._signed_to)
        first, last = start - self.first_seq, end - self.first_seq
        return {size: root for size, root in self._signed.items() if first < size <= last}

    def _read_heads(self, start: int, end: int) -> dict[int, bytes]:
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
        self.close()
        return None

    def _end(self, seq: int, why: str) -> None:
        self.flaw, self.has_ended = Flaw(self.tenant_id, seq, why), True
        self.close()


class _Sent(NamedTuple):
    """A batch that was read. Its answer is expected if it was complete, and so was sent to the second process."""

    start: int
    end: int
    batch: StoredBatch
    is_complete: bool


@dataclass
class _Ahead:
    """Reads the next batches, and has them checked by a second process. Each batch has `step` entries."""

    tenant_id: UUID
    step: int
    size: int
    next_seq: int
    last_at: str
    process: SecondProcess | None
    sent: deque[_Sent] = field(default_factory=deque)

    @classmethod
    def begin(cls, tenant_id: UUID, start: int, end: int, size: int, last_at: str) -> Self:
        try:
            process = SecondProcess()
        except NoAnswer:
            process = None
        return cls(tenant_id, end - start, size, start, last_at, process)

    def judged(self, start: int, end: int) -> tuple[StoredBatch, bool]:
        """Return a batch, and whether its entries are known to be good.

        Raise NoAnswer if other entries were read, or if the second process is of no use. The caller then reads and
        checks them.
        """
        if self.process is None:
            raise NoAnswer
        while len(self.sent) < _READ_AHEAD and self.next_seq < self.size:
            self._read(self.process)
        # Nothing is left if retention has removed all other entries meanwhile.
        first = self.sent.popleft() if self.sent else None
        if first is None or (first.start, first.end) != (start, end):
            raise NoAnswer
        return first.batch, first.is_complete and self.process.answer()

    def _read(self, process: SecondProcess) -> None:
        start, end = self.next_seq, min(self.next_seq + self.step, self.size)
        batch = batches.read(self.tenant_id, start, end)
        is_complete = batch.size == end - start
        if is_complete:
            process.send(batch, self.tenant_id, start, self.last_at)
            self.last_at = batch.times[-1]
        self.sent.append(_Sent(start, end, batch, is_complete))
        self.next_seq = end

    def close(self) -> None:
        if self.process is not None:
            self.process.close()


def _flaw_of_note(checkpoint: Checkpoint) -> str:
    """Return why the signature of the newest checkpoint is bad, or "" if it is good.

    Only keys with which this installation has signed before are accepted.
    """
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
