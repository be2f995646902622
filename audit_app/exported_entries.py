"""Reads an entry from its canonical bytes, for an export.

If the bytes are damaged, the columns are used instead. An export does not stop at a damaged entry, because
it would then hide all later entries. It marks the entry as not intact.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from audit_app import canonical, decision_signatures
from audit_app.models import AuditEntry
from audit_app.shard_positions import ShardPosition, Shards

_DEEPEST = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ExportedEntry:
    """The content of an entry. `raw` has the canonical bytes as text, or is empty if they are not a record.

    If a client acted in a human's name, `in_name_of` is this human, in the same form as `actor`. Otherwise it is empty.
    """

    tenant: uuid.UUID
    seq: int
    position: ShardPosition
    leaf_hash: str
    at: datetime
    event: str
    door: str
    actor: dict[str, str]
    subject_type: str
    subject_id: str
    access_request: str
    in_name_of: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    raw: str = ""
    is_intact: bool = True

    @property
    def guid(self) -> str:
        """An id of the entry that is the same in every export.

        With it, a reader recognises an entry that was sent twice.
        """
        return str(uuid.uuid5(self.tenant, f"entry/{self.seq}"))

    @property
    def at_ms(self) -> int:
        """The time of the entry in whole milliseconds since 1970, rounded down."""
        return (self.at - _EPOCH) // timedelta(milliseconds=1)

    @property
    def who(self) -> dict[str, str]:
        """The human in whose name a client acted, if there is one. Otherwise the actor."""
        return self.in_name_of or self.actor

    @property
    def through(self) -> dict[str, str]:
        """The client that acted in a human's name. Empty if a human acted, or if a client acted in its own name."""
        return self.actor if self.in_name_of else {}

    @property
    def deputy_for(self) -> str:
        """For a decision by a deputy: the names of the approvers who were away. Otherwise empty."""
        return self.detail_text("deputy_for")

    @property
    def signature(self) -> decision_signatures.DecisionSignature | None:
        """For a decision: whether it is signed, and with which key. Otherwise None."""
        return decision_signatures.of(self.detail)

    @property
    def is_practice(self) -> bool:
        """Whether the entry is about a practice request, whose content is made up."""
        return self.detail.get("practice") is True

    def detail_text(self, name: str) -> str:
        """Return a value of the entry's detail as text. A missing value, or one that is no text or number, gives ""."""
        value = self.detail.get(name)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def read(row: AuditEntry, shards: Shards) -> ExportedEntry:
    position, stored = shards.position(row.seq), bytes(row.leaf_hash)
    body = bytes(row.canonical)
    try:
        fields = _from_bytes(body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return ExportedEntry(
            tenant=row.tenant_id,
            seq=row.seq,
            position=position,
            leaf_hash=stored.hex(),
            is_intact=False,
            **_from_columns(row),
        )
    return ExportedEntry(
        tenant=row.tenant_id,
        seq=row.seq,
        position=position,
        leaf_hash=stored.hex(),
        raw=body.decode(),
        is_intact=canonical.leaf_hash(body) == stored,
        **fields,
    )


def parse(body: bytes) -> Any:
    """Parse an entry's bytes as JSON. Raise ValueError for anything that is not strict JSON.

    Deep nesting is refused too. No real record is nested deeper than a few levels, and deeper nesting could be an
    attack on the programs that read the export.
    """
    try:
        found = json.loads(body.decode(), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("the bytes are nested too deeply") from error
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _is_deep(found):
        raise ValueError("the bytes are nested too deeply")
    return found


def _is_deep(found: Any) -> bool:
    level = [found]
    for _ in range(_DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [value for values in inner for value in values]
    return bool(level)


def _from_bytes(body: bytes) -> dict[str, Any]:
    record = parse(body)
    actor, subject, detail = record["actor"], record["subject"], record["detail"]
    if not isinstance(detail, dict):
        raise TypeError("the detail is no object")
    at = datetime.fromisoformat(record["at"])
    return {
        "at": at.astimezone(UTC),
        "event": _text(record["event"]),
        "door": _text(record["door"]),
        "actor": {name: _text(actor.get(name)) for name in ("kind", "id", "name", "side", "email")},
        "in_name_of": _human_behind(actor),
        "subject_type": _text(subject["type"]),
        "subject_id": _text(subject["id"]),
        "access_request": _text(record["access_request"]),
        "detail": detail,
    }


def _human_behind(actor: dict[str, Any]) -> dict[str, str]:
    human = actor.get("for")
    if actor.get("kind") != "client" or not isinstance(human, dict):
        return {}
    fields = {name: _text(human.get(name)) for name in ("id", "name", "email")}
    return {"kind": "person", "side": _text(actor.get("side")), **fields}


def _from_columns(row: AuditEntry) -> dict[str, Any]:
    return {
        "at": row.at.astimezone(UTC),
        "event": row.event,
        "door": row.door,
        "actor": {
            "kind": row.actor_kind,
            "id": _text(row.actor_id),
            "name": row.actor_name,
            "side": "",
            "email": "",
        },
        "subject_type": row.subject_type,
        "subject_id": row.subject_id,
        "access_request": _text(row.correlation_id),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
