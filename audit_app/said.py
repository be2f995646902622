"""One entry as an export reads it: from its hashed bytes, and from its columns where those bytes say nothing.

Somebody may have damaged an entry. An export that stopped there would leave whoever watches the log blind from there
on, so it goes on, and says of that line that it is not intact.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from audit_app import canonical, signed
from audit_app.models import AuditEntry
from audit_app.places import Place, Places

_DEEPEST = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What an entry says. `raw` holds the hashed bytes as text, and is empty where they are no record.

    `whose` is the human in whose name a client acted, as `actor` is told; empty where nobody's.
    """

    tenant: uuid.UUID
    seq: int
    place: Place
    leaf_hash: str
    at: datetime
    event: str
    door: str
    actor: dict[str, str]
    subject_type: str
    subject_id: str
    access_request: str
    whose: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    raw: str = ""
    is_intact: bool = True

    @property
    def guid(self) -> str:
        """The same for the same entry in every export, so that a line which is sent twice is seen to be one."""
        return str(uuid.uuid5(self.tenant, f"entry/{self.seq}"))

    @property
    def at_ms(self) -> int:
        """Whole milliseconds since 1970, rounded down."""
        return (self.at - _EPOCH) // timedelta(milliseconds=1)

    @property
    def who(self) -> dict[str, str]:
        """Who counts: the human in whose name a client acted, and the actor itself where it was in nobody's."""
        return self.whose or self.actor

    @property
    def through(self) -> dict[str, str]:
        """The client that acted in a human's name; empty where that human did, or a client in nobody's name."""
        return self.actor if self.whose else {}

    @property
    def deputy_for(self) -> str:
        """Of a decision by a deputy: the names of the approvers who were away."""
        return self.told("deputy_for")

    @property
    def signature(self) -> signed.Signature | None:
        """Of a decision: whether it is signed, and by which key."""
        return signed.of(self.detail)

    def told(self, name: str) -> str:
        """A part of the detail as text; empty where there is none, or where it is no text or number."""
        value = self.detail.get(name)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def read(entry: AuditEntry, places: Places) -> Said:
    place, stored = places.place(entry.seq), bytes(entry.leaf_hash)
    body = bytes(entry.canonical)
    try:
        said = _from_bytes(body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Said(
            tenant=entry.tenant_id,
            seq=entry.seq,
            place=place,
            leaf_hash=stored.hex(),
            is_intact=False,
            **_from_columns(entry),
        )
    return Said(
        tenant=entry.tenant_id,
        seq=entry.seq,
        place=place,
        leaf_hash=stored.hex(),
        raw=body.decode(),
        is_intact=canonical.leaf_hash(body) == stored,
        **said,
    )


def parse(body: bytes) -> Any:
    """The JSON of an entry's bytes. Raises ValueError, also for what Python would take and no other reader does.

    No record is nested deeper than a few levels; one that is was made to break whoever writes it out again.
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
        "whose": _whose(actor),
        "subject_type": _text(subject["type"]),
        "subject_id": _text(subject["id"]),
        "access_request": _text(record["access_request"]),
        "detail": detail,
    }


def _whose(actor: dict[str, Any]) -> dict[str, str]:
    human = actor.get("for")
    if actor.get("kind") != "client" or not isinstance(human, dict):
        return {}
    told = {name: _text(human.get(name)) for name in ("id", "name", "email")}
    return {"kind": "person", "side": _text(actor.get("side")), **told}


def _from_columns(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at.astimezone(UTC),
        "event": entry.event,
        "door": entry.door,
        "actor": {
            "kind": entry.actor_kind,
            "id": _text(entry.actor_id),
            "name": entry.actor_name,
            "side": "",
            "email": "",
        },
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "access_request": _text(entry.correlation_id),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
