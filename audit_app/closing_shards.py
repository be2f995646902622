"""Closes a shard of a log that can't be signed any more, and opens the next one."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from audit_app import checkpoints, heads
from audit_app.models import ChainHead, ClosedShard, LogAlarm, Witness
from audit_app.stored_heads import HeadsUnavailable


def close_shard(tenant_id: UUID, *, at: dt.datetime) -> dict[str, Any]:
    """Close a shard that can't be signed any more, and open the next one. Return the detail for the tombstone.

    Call it in a transaction that has the log's lock and that then writes the tombstone as the next entry. The new shard
    begins above all numbers that were ever signed, so that no number is used twice.
    """
    head = ChainHead.objects.get(pk=tenant_id)
    found = head.size - head.first_seq
    alarm = LogAlarm.objects.filter(pk=tenant_id).first()
    alarm_detail = alarm.detail if alarm else {}
    signed, last = _signed_last(head, alarm_detail)
    # The alarm's `end` also covers entries that a forged shard may lack. Their numbers must not be used again.
    end = max(head.first_seq + max(signed, found), int(alarm_detail.get("end", 0)))
    ClosedShard.objects.create(
        tenant_id=tenant_id,
        shard=head.shard,
        first_seq=head.first_seq,
        end_seq=end,
        found_size=found,
        checkpoint=last,
        closed_at=at,
    )
    ChainHead.objects.filter(pk=tenant_id).update(shard=head.shard + 1, first_seq=end, size=end)
    LogAlarm.objects.filter(pk=tenant_id).delete()
    # The problems that witnesses reported were about the closed shard. They are asked immediately about the new one,
    # from size 0.
    Witness.objects.filter(tenant_id=tenant_id).update(problem="", failures=0, due_at=at)
    return {
        "closes": checkpoints.origin_of(tenant_id, head.shard),
        "opens": checkpoints.origin_of(tenant_id, head.shard + 1),
        "signed_size": signed,
        "found_size": found,
        "checkpoint": last,
        "cause": alarm.code if alarm else "",
    }


def _signed_last(head: ChainHead, alarm_detail: dict[str, Any]) -> tuple[int, str]:
    """Return the largest size of this shard that is known to be signed, and its checkpoint.

    This machine may not be the one that signs, and then has no stored heads. The alarm has their data.
    """
    try:
        stored = heads.get(checkpoints.origin_of(head.pk, head.shard))
    except HeadsUnavailable:
        stored = None
    latest = checkpoints.newest(head.pk, head.shard)
    known = [
        (latest.size, latest.note) if latest else (0, ""),
        (int(alarm_detail.get("signed", 0)), str(alarm_detail.get("checkpoint", ""))),
        (stored.head.size, stored.note) if stored else (0, ""),
    ]
    return max(known, key=lambda each: (each[0], bool(each[1])))
