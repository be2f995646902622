"""The entries that a log has about itself: new keys, closed shards, removed entries, and people's signing keys.

Without the entry about a person's key, no signature with this key can be verified.
"""

from __future__ import annotations

import heapq
import json
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit_app.entries import flaws_of
from audit_app.models import AuditEntry, ChainHead, ClosedShard

KEY_ROTATED, TOMBSTONED, PRUNED = "log.key_rotated", "log.tombstoned", "log.pruned"
#: The events about people's keys, with the names that the application uses.
OF_PEOPLES_KEYS = ("passkey.enrolled", "passkey.removed")
#: The events that name a tenant. After a change, the new name is in `set`.
NAMES = ("tenant.created", "tenant.changed")
#: Retention never removes these events: only from them, a reader with an old key learns of a new key or a new shard.
RETAINED = (KEY_ROTATED, TOMBSTONED, *OF_PEOPLES_KEYS)


def retained(tenant_id: UUID) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(tenant_id=tenant_id, event__in=RETAINED)


def name_in(tenant_id: UUID, end: int) -> str:
    """Return the tenant's name from the newest entry that contains a name, or "".

    Only entries with numbers below `end` are searched.
    """
    rows = AuditEntry.objects.filter(tenant_id=tenant_id, seq__lt=end).order_by("-seq")
    # One query for each event follows the index of events. For several events, SQLite would read the whole log.
    of_each = [rows.filter(event=event).iterator(chunk_size=100) for event in NAMES]
    for row in heapq.merge(*of_each, key=attrgetter("seq"), reverse=True):
        detail = detail_of(row)
        name = detail.get("name") or _set(detail).get("name")
        if isinstance(name, str):
            return name
    return ""


def _set(detail: dict[str, Any]) -> dict[str, Any]:
    found = detail.get("set")
    return found if isinstance(found, dict) else {}


def pruning_entry(head: ChainHead) -> AuditEntry | None:
    """Return the newest entry about a removal, if this removal ends where the remaining entries begin.

    Otherwise return None.
    """
    rows = AuditEntry.objects.filter(tenant_id=head.pk, event=PRUNED, seq__gte=head.pruned_to, seq__lt=head.size)
    row = rows.order_by("-seq").first()
    return row if row is not None and detail_of(row).get("to") == head.pruned_to else None


def is_pruning_logged(head: ChainHead) -> bool:
    """Return whether the log has an entry about its last removal. Removals in closed shards need no entry.

    While this function searches for the entry, retention may remove it. Then the function searches again.
    """
    while head.pruned_to > head.first_seq and pruning_entry(head) is None:
        before, head = head, ChainHead.objects.get(pk=head.pk)
        if head.pruned_to == before.pruned_to:
            return False
    return True


def flaw_of_tombstone(head: ChainHead, *, closes: str) -> str:
    """Return why the current shard does not begin with a tombstone that closes the shard `closes`, or "" if it does."""
    closed = ClosedShard.objects.filter(tenant_id=head.pk, shard=head.shard - 1).first()
    if closed is None or closed.end_seq != head.first_seq:
        return "nothing was closed where this part of the log begins"
    row = AuditEntry.objects.filter(tenant_id=head.pk, seq=head.first_seq, event=TOMBSTONED).first()
    if row is None or detail_of(row).get("closes") != closes:
        return "this part of the log does not begin with a tombstone of the one before it"
    return ""


def detail_of(entry: AuditEntry) -> dict[str, Any]:
    """Return the detail of an entry, from its canonical bytes.

    It is empty if the bytes were changed, or if they contradict the columns.
    """
    if next(flaws_of(entry, entry.seq, None), None):
        return {}
    detail = json.loads(bytes(entry.canonical)).get("detail")
    return detail if isinstance(detail, dict) else {}
