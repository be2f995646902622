"""Removes old entries whose hashes a checkpoint covers, so that all remaining entries can still be proven.

Entries with a number below `ChainHead.pruned_to` can be removed. `pruned_to` never decreases, and never
passes the signed entries. The newest entry about a removal contains the same number. Triggers in the
database enforce this. They also refuse to delete any other entry, and every entry about a new key or a
closed shard. The tiles still have the hashes of the removed entries.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, Min, OuterRef

from audit_app import canonical, checkpoints, log_events, periods, search_index
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, SignedHead
from audit_app.tiles import WIDTH, MissingTile, Tiles

#: The most entries that one entry about a removal covers. They are all checked once more before.
MOST_ENTRIES = 50_000


@dataclass(frozen=True)
class Plan:
    """What can be removed: the entries from `start` up to, and without, `end`. All are older than `before`.

    `checkpoint` covers their hashes.
    """

    tenant_id: UUID
    start: int
    end: int
    shard: int
    first_seq: int
    checkpoint: Checkpoint | None
    before: dt.datetime

    @property
    def entry_detail(self) -> dict[str, Any]:
        """The detail of the log entry about this removal."""
        return {"from": self.start, "to": self.end, "checkpoint": self._described_checkpoint()}

    def _described_checkpoint(self) -> dict[str, Any]:
        if self.checkpoint is None:
            return {}
        origin = checkpoints.origin_of(self.tenant_id, self.checkpoint.shard)
        return {"origin": origin, "size": self.checkpoint.size, "root": bytes(self.checkpoint.root).hex()}


def plan(tenant_id: UUID, *, before: dt.datetime, keep: list[UUID]) -> Plan | None:
    """Return which entries older than `before` can be removed, or None.

    The first entry about an access request in `keep` stays, and every entry after it. Entries that no
    checkpoint covers yet stay too. In a closed shard, no checkpoint will ever cover the unsigned entries. They
    can be removed after the next shard was signed.
    """
    head = ChainHead.objects.get(pk=tenant_id)
    remaining = AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=head.pruned_to)
    newest_old = periods.last_before(tenant_id, before, first=head.pruned_to)
    if newest_old is None:
        return None
    covered, checkpoint = _covered(head)
    end = min(newest_old + 1, covered, head.pruned_to + MOST_ENTRIES)
    first_needed = remaining.filter(correlation_id__in=keep).aggregate(first=Min("seq"))["first"] if keep else None
    if first_needed is not None:
        end = min(end, first_needed)
    if end <= head.pruned_to:
        return None
    return Plan(tenant_id, head.pruned_to, end, head.shard, head.first_seq, checkpoint, before)


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
    """Raise Refusal unless these entries are old, and the tiles have their hashes and give the checkpoint's root.

    A changed entry must not be removed before somebody has seen that it was changed. So its place is stored,
    and the signer checks there next and raises an alarm. Shards that a tombstone closed are known to be
    damaged, and are not checked.
    """
    first = max(wanted.start, wanted.first_seq) - wanted.first_seq
    end = wanted.end - wanted.first_seq
    if wanted.checkpoint is not None and first < end:
        _require_in_tree(wanted, wanted.checkpoint, first, end)
    _require_old(wanted)


def _require_in_tree(wanted: Plan, checkpoint: Checkpoint, first: int, end: int) -> None:
    try:
        tiles = Tiles(wanted.tenant_id, wanted.shard)
        if tiles.frontier(checkpoint.size).root() != bytes(checkpoint.root):
            raise Refusal("different", signed=checkpoint.size)
        for number in range(first // WIDTH, -(-end // WIDTH)):
            _compare(wanted, number, max(first, number * WIDTH), min(end, (number + 1) * WIDTH))
    except MissingTile as error:
        raise Refusal("tile", why=str(error)) from error


def _require_old(wanted: Plan) -> None:
    """Raise Refusal if the newest of these entries says itself that it is not older than `before`.

    A removal can't be undone, and afterwards nothing would show that young entries were removed. So this does not
    depend on the search that made the plan. The bytes of an entry are in the tree. No entry is older than the entry
    before it.
    """
    rows = AuditEntry.objects.filter(tenant_id=wanted.tenant_id, seq__gte=wanted.start, seq__lt=wanted.end)
    newest = rows.order_by("-seq").values_list("seq", "canonical").first()
    if newest is None:
        return
    seq, body = newest
    try:
        at = str(json.loads(bytes(body))["at"])
    except (ValueError, TypeError, LookupError):
        # Only in a shard that was closed because it is damaged: everywhere else, the hashes were compared.
        return
    if at >= canonical.instant(wanted.before):
        raise Refusal("altered", seq=seq, why="it is not old enough")


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
    """Store that the entries of the plan can be removed. Return False if the log was pruned or closed meanwhile.

    Call it in a transaction that has the log's lock and that also writes the entry about the removal.
    """
    same = ChainHead.objects.filter(pk=wanted.tenant_id, pruned_to=wanted.start, shard=wanted.shard)
    return bool(same.update(pruned_to=wanted.end))


def remove(tenant_id: UUID, *, limit: int) -> int:
    """Delete up to `limit` entries whose removal was allowed. Return how many. An interruption does no harm.

    The search index of their segments is deleted too, because it is made of their words.
    """
    gone = AuditEntry.objects.filter(
        tenant_id=tenant_id,
        seq__lt=ChainHead.objects.filter(pk=tenant_id).values("pruned_to"),
    ).exclude(event__in=log_events.RETAINED)
    numbers = list(gone.order_by("seq").values_list("seq", flat=True)[:limit])
    if not numbers:
        return 0
    search_index.forget(tenant_id, {number // search_index.SEGMENT for number in numbers})
    return gone.filter(seq__lte=numbers[-1]).delete()[0]


def unfinished() -> list[UUID]:
    """Return the logs with an interrupted removal: they still have entries that were allowed to be removed."""
    left = AuditEntry.objects.filter(tenant_id=OuterRef("pk"), seq__lt=OuterRef("pruned_to"))
    left = left.exclude(event__in=log_events.RETAINED)
    return list(ChainHead.objects.filter(Exists(left), pruned_to__gt=0).order_by("pk").values_list("pk", flat=True))
