"""What a log says of itself: that its key is another one, that a shard was closed, what was removed of it.

And of the keys that people sign with: without the entry that tells of one, what it signed is not verified.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit_app.entries import flaws_of
from audit_app.models import AuditEntry, ChainHead, ClosedShard

KEY_ROTATED, TOMBSTONED, PRUNED = "log.key_rotated", "log.tombstoned", "log.pruned"
#: Names of the log's user, who adds and removes people's keys.
OF_PEOPLES_KEYS = ("passkey.enrolled", "passkey.removed")
#: And those that name a tenant; a name that somebody gave it later is in the `set` of the change.
NAMES = ("tenant.created", "tenant.changed")
#: Retention leaves these: who has an old key learns of the new one only from them, and so it is with a new shard.
KEPT = (KEY_ROTATED, TOMBSTONED, *OF_PEOPLES_KEYS)


def kept(tenant_id: UUID) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(tenant_id=tenant_id, event__in=KEPT)


def name_in(tenant_id: UUID, end: int) -> str:
    """What the newest entry below number `end` that names the tenant calls it; empty where none is left."""
    rows = AuditEntry.objects.filter(tenant_id=tenant_id, event__in=NAMES, seq__lt=end).order_by("-seq")
    for row in rows.iterator(chunk_size=100):
        detail = detail_of(row)
        name = detail.get("name") or _set(detail).get("name")
        if isinstance(name, str):
            return name
    return ""


def _set(detail: dict[str, Any]) -> dict[str, Any]:
    found = detail.get("set")
    return found if isinstance(found, dict) else {}


def pruning_entry(head: ChainHead) -> AuditEntry | None:
    """The newest entry about a removal, if it says that just what stands before `pruned_to` was removed."""
    rows = AuditEntry.objects.filter(tenant_id=head.pk, event=PRUNED, seq__gte=head.pruned_to, seq__lt=head.size)
    row = rows.order_by("-seq").first()
    return row if row is not None and detail_of(row).get("to") == head.pruned_to else None


def is_pruning_said(head: ChainHead) -> bool:
    """Whether an entry says what was removed, or it was all in closed shards, which are known to be damaged.

    It looks again where more is removed while it looks: the entry that it looked for may be gone with that.
    """
    while head.pruned_to > head.first_seq and pruning_entry(head) is None:
        before, head = head, ChainHead.objects.get(pk=head.pk)
        if head.pruned_to == before.pruned_to:
            return False
    return True


def flaw_of_tombstone(head: ChainHead, *, closes: str) -> str:
    """Why the shard in use does not begin with an entry that closes the shard before it, `closes`; empty if it does."""
    closed = ClosedShard.objects.filter(tenant_id=head.pk, shard=head.shard - 1).first()
    if closed is None or closed.end_seq != head.first_seq:
        return "nothing was closed where this part of the log begins"
    row = AuditEntry.objects.filter(tenant_id=head.pk, seq=head.first_seq, event=TOMBSTONED).first()
    if row is None or detail_of(row).get("closes") != closes:
        return "this part of the log does not begin with a tombstone of the one before it"
    return ""


def detail_of(entry: AuditEntry) -> dict[str, Any]:
    """What the hashed bytes say in detail; nothing where they are not what was written, or the columns differ."""
    if next(flaws_of(entry, entry.seq, None), None):
        return {}
    detail = json.loads(bytes(entry.canonical)).get("detail")
    return detail if isinstance(detail, dict) else {}
