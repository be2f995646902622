"""Recompute a tenant's log: dense sequence, hashes, and columns that say what the hashed bytes say."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit_app import canonical, queries
from audit_app.models import AuditEntry, ChainHead


@dataclass(frozen=True)
class Flaw:
    """What is wrong, and at which index it shows first."""

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
    head = ChainHead.objects.filter(pk=tenant_id).first()
    expected = head.size if head else 0
    seq, last_at = 0, None
    for entry in queries.in_order(tenant_id, until=expected):
        why = next(_flaws_of(entry, seq, last_at), None)
        if why:
            return Verdict(tenant_id, expected, Flaw(tenant_id, seq, why))
        seq, last_at = seq + 1, entry.at
        if progress and seq % queries.BATCH == 0:
            progress(seq)
    if seq != expected:
        return Verdict(tenant_id, expected, Flaw(tenant_id, seq, f"missing: the log should have {expected} entries"))
    if AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=expected).exists() and _size_now(tenant_id) == expected:
        return Verdict(tenant_id, expected, Flaw(tenant_id, expected, "there are entries beyond the log's size"))
    return Verdict(tenant_id, expected, None)


def _size_now(tenant_id: UUID) -> int:
    return queries.size(tenant_id)


def _flaws_of(entry: AuditEntry, seq: int, last_at: dt.datetime | None) -> Iterator[str]:
    if entry.seq != seq:
        yield f"missing: the next entry is {entry.seq}"
    body = bytes(entry.canonical)
    if canonical.leaf_hash(body) != bytes(entry.leaf_hash):
        yield "the hash does not belong to the bytes"
    try:
        said = json.loads(body)
    except ValueError:
        yield "the bytes are no JSON"
        return
    if canonical.encode(said) != body:
        yield "the bytes are not canonical (RFC 8785)"
    columns, written = _columns(entry), _written(said)
    for name, value in columns.items():
        if written.get(name) != value:
            yield f"the column {name} says something else than the bytes"
    if last_at is not None and entry.at < last_at:
        yield "it is older than the entry before it"


def _columns(entry: AuditEntry) -> dict[str, Any]:
    return {
        "tenant": str(entry.tenant_id),
        "seq": entry.seq,
        "at": canonical.instant(entry.at),
        "event": entry.event,
        "door": entry.door,
        "actor_kind": entry.actor_kind,
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "actor_name": entry.actor_name,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "access_request": str(entry.correlation_id) if entry.correlation_id else None,
    }


def _written(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        return {}
    actor, subject = said.get("actor") or {}, said.get("subject") or {}
    return {
        **{name: said.get(name) for name in ("tenant", "seq", "at", "event", "door", "access_request")},
        "actor_kind": actor.get("kind"),
        "actor_id": actor.get("id"),
        "actor_name": actor.get("name"),
        "subject_type": subject.get("type"),
        "subject_id": subject.get("id"),
    }
