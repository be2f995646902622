"""Finds what is wrong with one stored entry: its number, its hash, its bytes, its columns or its time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from audit_app import canonical
from audit_app.models import AuditEntry


def flaws_of(entry: AuditEntry, seq: int, last_at: dt.datetime | None) -> Iterator[str]:
    if entry.seq != seq:
        yield f"missing: the next entry is {entry.seq}"
    body = bytes(entry.canonical)
    if canonical.leaf_hash(body) != bytes(entry.leaf_hash):
        yield "the hash does not belong to the bytes"
    try:
        record = json.loads(body)
    except ValueError:
        yield "the bytes are no JSON"
        return
    if not _is_canonical(record, body):
        yield "the bytes are not canonical (RFC 8785)"
    columns, written = _columns(entry), _written(record)
    for name, value in columns.items():
        if written.get(name) != value:
            yield f"the column {name} says something else than the bytes"
    if last_at is not None and entry.at < last_at:
        yield "it is older than the entry before it"


def _is_canonical(record: Any, body: bytes) -> bool:
    try:
        return canonical.encode(record) == body
    except ValueError:  # a number that RFC 8785 can't express
        return False


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


def _written(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        return {}
    actor, subject = record.get("actor") or {}, record.get("subject") or {}
    return {
        **{name: record.get(name) for name in ("tenant", "seq", "at", "event", "door", "access_request")},
        "actor_kind": actor.get("kind"),
        "actor_id": actor.get("id"),
        "actor_name": actor.get("name"),
        "subject_type": subject.get("type"),
        "subject_id": subject.get("id"),
    }
