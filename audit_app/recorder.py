"""Append entries to tenants' logs, inside the caller's transaction; nothing else writes entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from audit_app import canonical
from audit_app.models import AuditEntry, ChainHead


class NotInTransaction(RuntimeError):
    """record() outside a transaction would let a change and its entry part ways."""


@dataclass(frozen=True, kw_only=True)
class Witnessed:
    """What an entry says. `actor` is {kind, id, name, side, ...}; `detail` is JSON of strings, integers and lists."""

    tenant_id: UUID
    event: str
    door: str
    actor: dict[str, Any]
    subject_type: str
    subject_id: str
    correlation_id: UUID | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    text: str = ""


def record(entries: Sequence[Witnessed], *, at: datetime) -> list[AuditEntry]:
    """Append the entries, each to its tenant's log, and return them with their sequence numbers.

    A head's row is locked until the caller commits, so a tenant's numbers are dense and in commit order, and
    tenants never wait for each other. Heads are locked in one order everywhere, so writers that touch several
    tenants never wait in a circle. An entry is never older than the one before it: a clock that was set back
    stands still in the log until it has caught up.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("record() was called outside a transaction")
    heads = _locked_heads({entry.tenant_id for entry in entries})
    rows = [_appended(entry, heads[entry.tenant_id], at) for entry in entries]
    AuditEntry.objects.bulk_create(rows, batch_size=500)
    ChainHead.objects.bulk_create(
        heads.values(),
        update_conflicts=True,
        unique_fields=["tenant_id"],
        update_fields=["size", "last_at", "unsigned_since"],
    )
    return rows


def lock(tenant_id: UUID) -> datetime | None:
    """Take the tenant's turn at its log until the caller commits, and return the time of the newest entry.

    Whoever asks the clock after this asks it after every wait: nobody can hold up the entry of an act until past the
    deadline that it was judged by.
    """
    return _locked_heads({tenant_id})[tenant_id].last_at


def _appended(entry: Witnessed, head: ChainHead, at: datetime) -> AuditEntry:
    """The entry as a row at the end of its log; the head moves on with it."""
    at = at if head.last_at is None else max(at, head.last_at)
    body = canonical.encode(
        {
            "v": canonical.VERSION,
            "tenant": str(entry.tenant_id),
            "seq": head.size,
            "at": canonical.instant(at),
            "event": str(entry.event),
            "door": entry.door,
            "actor": entry.actor,
            "subject": {"type": entry.subject_type, "id": entry.subject_id},
            "access_request": str(entry.correlation_id) if entry.correlation_id else None,
            "detail": entry.detail,
        }
    )
    actor_id = entry.actor.get("id")
    row = AuditEntry(
        tenant_id=entry.tenant_id,
        seq=head.size,
        at=at,
        event=str(entry.event),
        door=entry.door,
        actor_kind=entry.actor["kind"],
        actor_id=UUID(actor_id) if actor_id else None,
        actor_name=entry.actor["name"],
        subject_type=entry.subject_type,
        subject_id=entry.subject_id,
        correlation_id=entry.correlation_id,
        text=entry.text,
        canonical=body,
        leaf_hash=canonical.leaf_hash(body),
    )
    head.size, head.last_at = head.size + 1, at
    head.unsigned_since = head.unsigned_since or at
    return row


def _locked_heads(tenant_ids: set[UUID]) -> dict[UUID, ChainHead]:
    heads = _lock(tenant_ids)
    if missing := sorted(tenant_ids - heads.keys()):
        # Two writers may both find no head; ON CONFLICT DO NOTHING lets one make it, and both then lock it.
        ChainHead.objects.bulk_create([ChainHead(tenant_id=pk) for pk in missing], ignore_conflicts=True)
        heads |= _lock(set(missing))
    return heads


def _lock(tenant_ids: set[UUID]) -> dict[UUID, ChainHead]:
    rows = ChainHead.objects.select_for_update().filter(pk__in=tenant_ids).order_by("pk")
    return {head.pk: head for head in rows}
