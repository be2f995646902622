"""Removes old entries if a checkpoint covers their hashes, so that all remaining entries can still be proven.

`ChainHead.pruned_to` records what was removed. It only grows, never beyond the signed entries, and an entry has the
same number. Triggers in the database enforce this. They also make sure that nothing else is ever deleted, and no entry
about a new key or a closed shard. The tiles still have the hashes of removed entries.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, Min, OuterRef

from audit_app import canonical, checkpoints, log_events
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, SignedHead
from audit_app.tiles import WIDTH, MissingTile, Tiles

#: The most entries that one entry about a removal covers. They are all checked once more before.
MOST_ENTRIES = 50_000


@dataclass(frozen=True)
class Plan:
    """The entries from `start` to `end` (`end` is not included) may be removed. The checkpoint covers their hashes."""

    tenant_id: UUID
    start: int
    end: int
    shard: int
    first_seq: int
    checkpoint: Checkpoint | None

    @property
    def entry_detail(self) -> dict[str, Any]:
        """The detail of the entry about the removal."""
        return {"from": self.start, "to": self.end, "checkpoint": self._described_checkpoint()}

    def _described_checkpoint(self) -> dict[str, Any]:
        if self.checkpoint is None:
            return {}
        origin = checkpoints.origin_of(self.tenant_id, self.checkpoint.shard)
        return {"origin": origin, "size": self.checkpoint.size, "root": bytes(self.checkpoint.root).hex()}


def plan(tenant_id: UUID, *, before: dt.datetime, keep: list[UUID]) -> Plan | None:
    """Return which entries older than `before` may be removed, or None.

    All entries from the first one about an access request in `keep` stay, and so do entries that no checkpoint covers.
    Unsigned entries of a closed shard can be removed when the next shard is signed, because no checkpoint will ever
    cover them.
    """
    head = ChainHead.objects.get(pk=tenant_id)
    remaining = AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=head.pruned_to)
    newest_old = remaining.filter(at__lt=before).order_by("-at", "-seq").values_list("seq", flat=True).first()
    if newest_old is None:
        return None
    covered, checkpoint = _covered(head)
    end = min(newest_old + 1, covered, head.pruned_to + MOST_ENTRIES)
    first_needed = remaining.filter(correlation_id__in=keep).aggregate(first=Min("seq"))["first"] if keep else None
    if first_needed is not None:
        end = min(end, first_needed)
    if end <= head.pruned_to:
        return None
    return Plan(tenant_id, head.pruned_to, end, head.shard, head.first_seq, checkpoint)


def _covered(head: ChainHead) -> tuple[int, Checkpoint | None]:
    latest = checkpoints.newest(head.pk, head.shard)
    if latest is not None:
        return head.first_seq + latest.size, latest
    closed = ClosedShard.objects.filter(tenant_id=head.pk).order_by("-shard").first()
    latest = checkpoints.newest(head.pk, closed.shard) if closed else None
    if closed is None or latest is None:
        return 0, None
    return closed.first_seq + min(latest.size, closed.found_size), latest


def require_hashes(wanted: Plan) -> None:
    """Raise Refusal unless the tiles have the hashes of these entries and lead to the checkpoint.

    A changed entry must not be removed before anybody has seen it. The Refusal also shows the place to the signer,
    which then raises an alarm. Shards that a tombstone closed are known to be damaged and are not checked.
    """
    first = max(wanted.start, wanted.first_seq) - wanted.first_seq
    end = wanted.end - wanted.first_seq
    if wanted.checkpoint is None or first >= end:
        return
    try:
        tiles = Tiles(wanted.tenant_id, wanted.shard)
        if tiles.frontier(wanted.checkpoint.size).root() != bytes(wanted.checkpoint.root):
            raise Refusal("different", signed=wanted.checkpoint.size)
        for number in range(first // WIDTH, -(-end // WIDTH)):
            _compare(wanted, number, max(first, number * WIDTH), min(end, (number + 1) * WIDTH))
    except MissingTile as error:
        raise Refusal("tile", why=str(error)) from error


def _compare(wanted: Plan, number: int, start: int, end: int) -> None:
    hashes = Tiles(wanted.tenant_id, wanted.shard).leaves(number)
    rows = AuditEntry.objects.filter(
        tenant_id=wanted.tenant_id, seq__gte=wanted.first_seq + start, seq__lt=wanted.first_seq + end
    ).order_by("seq")
    index = start
    for seq, body in rows.values_list("seq", "canonical"):
        at = (index - number * WIDTH) * 32
        if seq != wanted.first_seq + index or canonical.leaf_hash(bytes(body)) != hashes[at : at + 32]:
            break
        index += 1
    if index != end:
        SignedHead.objects.filter(pk=wanted.tenant_id).update(checked_to=index)
        raise Refusal("altered", seq=wanted.first_seq + index, why="the tree has another hash for it")


def allow(wanted: Plan) -> bool:
    """Allow the removal of the plan's entries. Return False if the log was pruned or closed meanwhile.

    It runs inside the caller's transaction, which has the log's lock and writes the entry about the removal.
    """
    same = ChainHead.objects.filter(pk=wanted.tenant_id, pruned_to=wanted.start, shard=wanted.shard)
    return bool(same.update(pruned_to=wanted.end))


def remove(tenant_id: UUID, *, limit: int) -> int:
    """Delete at most `limit` entries that may be removed. Return how many. It may be interrupted at any time."""
    gone = AuditEntry.objects.filter(
        tenant_id=tenant_id,
        seq__lt=ChainHead.objects.filter(pk=tenant_id).values("pruned_to"),
    ).exclude(event__in=log_events.RETAINED)
    numbers = list(gone.order_by("seq").values_list("seq", flat=True)[:limit])
    if not numbers:
        return 0
    return gone.filter(seq__lte=numbers[-1]).delete()[0]


def unfinished() -> list[UUID]:
    """Return the logs that still have entries whose removal was allowed, because the removal was interrupted."""
    left = AuditEntry.objects.filter(tenant_id=OuterRef("pk"), seq__lt=OuterRef("pruned_to"))
    left = left.exclude(event__in=log_events.RETAINED)
    return list(ChainHead.objects.filter(Exists(left), pruned_to__gt=0).order_by("pk").values_list("pk", flat=True))
