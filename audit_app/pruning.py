"""Remove old entries of which a checkpoint keeps the hash, so that all that remains can still be proven.

What was removed is said by `ChainHead.pruned_to`, which only grows, and only up to what is signed, and by an entry that
names the same number. Triggers see to that, and to it that nothing else is ever deleted, nor what tells of a new key or
a closed shard. The tiles stay: they hold the hashes of what went.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, Min, OuterRef

from audit_app import canonical, checkpoints, own
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, SignedHead
from audit_app.tiles import WIDTH, MissingTile, Tiles

#: So many entries go under one entry that says so: they are looked at once more before they do.
MOST_ENTRIES = 50_000


@dataclass(frozen=True)
class Plan:
    """Entries `start` to `end` (exclusive) may go; the checkpoint is the one that keeps their hashes."""

    tenant_id: UUID
    start: int
    end: int
    shard: int
    first_seq: int
    checkpoint: Checkpoint | None

    @property
    def said(self) -> dict[str, Any]:
        """What the entry about it says."""
        kept = self.checkpoint
        where = {"origin": checkpoints.origin_of(self.tenant_id, kept.shard), "size": kept.size} if kept else {}
        root = {"root": bytes(kept.root).hex()} if kept else {}
        return {"from": self.start, "to": self.end, "checkpoint": {**where, **root}}


def plan(tenant_id: UUID, *, before: dt.datetime, keep: list[UUID]) -> Plan | None:
    """What may go of the entries that are older than `before`; None if nothing may.

    Nothing goes from the first entry on that is about an access request in `keep`, nor what no checkpoint covers. What
    a closed shard had left unsigned goes once the shard after it is signed: nothing will ever cover it.
    """
    head = ChainHead.objects.get(pk=tenant_id)
    own = AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=head.pruned_to)
    newest_old = own.filter(at__lt=before).order_by("-at", "-seq").values_list("seq", flat=True).first()
    if newest_old is None:
        return None
    covered, checkpoint = _covered(head)
    end = min(newest_old + 1, covered, head.pruned_to + MOST_ENTRIES)
    first_kept = own.filter(correlation_id__in=keep).aggregate(first=Min("seq"))["first"] if keep else None
    if first_kept is not None:
        end = min(end, first_kept)
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


def require_kept(wanted: Plan) -> None:
    """Raise Refusal unless the tiles hold the hashes of what is to go, and lead to the checkpoint.

    An entry that was changed must not vanish before somebody has seen it. The signer is shown the place, so that it
    raises the alarm when it comes by. Shards that a tombstone closed are known to be damaged, and not looked at.
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
    """Let the entries of the plan go from here on; False if the log was pruned or closed meanwhile.

    Inside the caller's transaction, which holds the turn at the log and writes the entry that says so.
    """
    same = ChainHead.objects.filter(pk=wanted.tenant_id, pruned_to=wanted.start, shard=wanted.shard)
    return bool(same.update(pruned_to=wanted.end))


def remove(tenant_id: UUID, *, limit: int) -> int:
    """Delete up to `limit` entries that are allowed to go; return how many went. It may be broken off anywhere."""
    gone = AuditEntry.objects.filter(
        tenant_id=tenant_id,
        seq__lt=ChainHead.objects.filter(pk=tenant_id).values("pruned_to"),
    ).exclude(event__in=own.KEPT)
    numbers = list(gone.order_by("seq").values_list("seq", flat=True)[:limit])
    if not numbers:
        return 0
    return gone.filter(seq__lte=numbers[-1]).delete()[0]


def unfinished() -> list[UUID]:
    """The logs with entries that were allowed to go and are still there, because somebody was broken off."""
    left = AuditEntry.objects.filter(tenant_id=OuterRef("pk"), seq__lt=OuterRef("pruned_to"))
    left = left.exclude(event__in=own.KEPT)
    return list(ChainHead.objects.filter(Exists(left), pruned_to__gt=0).order_by("pk").values_list("pk", flat=True))
