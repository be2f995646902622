"""Builds the webhook message about an entry of the log. It contains the event, and the ids of the rows.

It never contains content, or text that a person wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from audit_app import canonical, decision_signatures
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from requests_app.domain.acts import EVENTS
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Ticket

#: Selects all events. Events that a later version adds are included.
ALL = "*"
#: Not an event of a log: somebody pressed the button that tests whether a message arrives.
TEST = "webhook.test"
#: The events about an access request. Their entries name the access request.
_OF_ACCESS = ("access_request.", "grant.")
_OF_A_TICKET = ("pk", "reference", "external_reference", "external_url")
_DECISIONS = frozenset(str(edge.event) for edge in TRANSITIONS.values() if edge.moves.is_decision)
#: The events that end access. Their messages do not wait for other messages.
ENDING = frozenset(str(edge.event) for edge in TRANSITIONS.values() if State.CLOSED in edge.moves.targets)
#: The state of an access request or a ticket after an event, if only one state is possible.
_STATES = {
    str(edge.event): str(edge.moves.targets[0])
    for edge in [*TRANSITIONS.values(), *TICKET_TRANSITIONS.values()]
    if len(edge.moves.targets) == 1
}


@dataclass(frozen=True)
class Message:
    """A webhook message. `body` is exactly the text that is signed.

    `id` is the same for every webhook and every attempt. `about` is the id of the access request or the ticket.
    Messages with the same `about` are sent one after another, in order.
    """

    id: str
    type: str
    body: str
    seq: int | None = None
    about: str = ""


def is_known(event: str) -> bool:
    return event == ALL or event in EVENTS


def of(entries: Iterable[AuditEntry], log_id: UUID) -> list[Message]:
    """Return the messages about these entries of one log, in the order of the entries."""
    found = list(entries)
    tickets, shards = _tickets(found), Shards.of(log_id)
    return [_message(entry, shards, tickets.get(_about(entry))) for entry in found]


def _about(entry: AuditEntry) -> UUID | None:
    """Return the id of the ticket or the access request that an entry is about."""
    return UUID(entry.subject_id) if entry.subject_type == "ticket" else entry.correlation_id


def _tickets(entries: list[AuditEntry]) -> dict[UUID | None, dict[str, Any]]:
    """Return the fields of the tickets that entries are about, in two queries.

    The keys are the ids of the tickets, and the ids of their access requests.
    """
    about = {key for entry in entries if (key := _about(entry)) is not None}
    pairs = AccessRequest.objects.filter(pk__in=about, ticket__isnull=False).values_list("pk", "ticket_id")
    of_request = dict(pairs)
    rows = Ticket.objects.filter(pk__in=about | set(of_request.values()))
    described: dict[UUID | None, dict[str, Any]] = {
        pk: {
            "id": str(pk),
            "reference": reference,
            "external_reference": elsewhere or None,
            "external_url": url or None,
        }
        for pk, reference, elsewhere, url in rows.values_list(*_OF_A_TICKET)
    }
    return described | {pk: described[ticket] for pk, ticket in of_request.items()}


def _message(entry: AuditEntry, shards: Shards, ticket: dict[str, Any] | None) -> Message:
    detail, position = _read(entry), shards.position(entry.seq)
    data: dict[str, Any] = {
        "tenant": _tenant(entry.tenant_id),
        "access_request": str(entry.correlation_id) if entry.correlation_id else None,
        "subject": {"type": entry.subject_type, "id": entry.subject_id},
        "actor": {"kind": entry.actor_kind, "id": str(entry.actor_id) if entry.actor_id else None},
        "door": entry.door,
        "is_practice": detail.get("practice") is True,
        "ticket": ticket,
        "log": {"origin": position.origin, "index": position.index, "leaf_hash": bytes(entry.leaf_hash).hex()},
    }
    if entry.event in _DECISIONS:
        data["decided"] = _decided(entry, detail)
    if entry.event.startswith(_OF_ACCESS):
        data["reference"] = detail.get("reference")
        data["state"] = state_after(entry)
        if (signature := decision_signatures.of(detail)) is not None:
            data["signature"] = signature.as_json
    elif entry.subject_type == "ticket":
        data["reference"] = ticket["reference"] if ticket else None
        data["state"] = _STATES.get(entry.event)
    return Message(
        id=id_of(entry),
        type=entry.event,
        body=_body(entry.event, entry.at, data),
        seq=entry.seq,
        about=str(entry.correlation_id or (entry.subject_id if entry.subject_type == "ticket" else "")),
    )


def _decided(entry: AuditEntry, detail: dict[str, Any]) -> dict[str, Any]:
    """Return who decided: a person, a client in the name of a person, or a deputy. The result contains only ids."""
    whose = _read(entry, "actor").get("for")
    people = detail.get("deputy_for_people")
    away = [str(each.get("id")) for each in people if isinstance(each, dict)] if isinstance(people, list) else []
    how = "client" if entry.actor_kind == "client" else "deputy" if detail.get("deputy_for") else "person"
    in_name_of = str(whose.get("id")) if isinstance(whose, dict) else None
    return {"by": how, "in_name_of": in_name_of, "deputy_for": away}


def test_of(webhook_id: UUID, tenant_id: UUID | None, number: UUID, at: datetime) -> Message:
    """Return a test message. It contains only the ids of the tenant and the webhook."""
    data = {"tenant": str(tenant_id) if tenant_id else None, "webhook": str(webhook_id)}
    return Message(id=f"msg_{number}", type=TEST, body=_body(TEST, at, data))


def state_after(entry: AuditEntry) -> str | None:
    """Return the state of an access request after this entry about it. None if the entry does not say it."""
    return _read(entry).get("state", _STATES.get(entry.event))


def detail_of(entry: AuditEntry) -> dict[str, Any]:
    """Return the detail of an entry, or {} if its bytes can't be read."""
    return _read(entry)


def id_of(entry: AuditEntry) -> str:
    """Return the id of the message about an entry. It is made from the hash of the entry.

    The number of the entry would not be unique: after a restore from a backup, another entry gets the same number. The
    hash covers the log's id and the entry's number.
    """
    return f"msg_{bytes(entry.leaf_hash).hex()[:32]}"


def _body(event: str, at: datetime, data: dict[str, Any]) -> str:
    whole = {"type": event, "timestamp": canonical.instant(at), "data": data}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def _tenant(log_id: UUID) -> str | None:
    return None if log_id == PROVIDER_LOG else str(log_id)


def _read(entry: AuditEntry, part: str = "detail") -> dict[str, Any]:
    """Return the detail or another part of an entry. Return {} if its bytes can't be read; other code reports that."""
    try:
        found = json.loads(bytes(entry.canonical)).get(part)
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
