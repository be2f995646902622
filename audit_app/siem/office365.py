"""Writes the log as records of the Office 365 Management Activity API: its common schema, and fields of the product.

https://learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-schema
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app import canonical
from audit_app.exported_entries import ExportedEntry, read
from audit_app.meanings import Meaning
from audit_app.models import AuditEntry
from audit_app.siem.events import meaning_of
from audit_app.siem.source import Source

#: AuditLogRecordType: Exchange's administration records a decision as a cmdlet.
EXCHANGE_ADMIN, APPLICATION_AUDIT = 1, 67
#: UserType, by side. The provider's people are the datacenter operators (DcAdmin).
_REGULAR, _DC_ADMIN, _SYSTEM, _APPLICATION = 0, 3, 4, 5
_USER_TYPES = {"customer": _REGULAR, "provider": _DC_ADMIN}
DECIDES = "Set-AccessToCustomerDataRequest"


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    for row in entries:
        entry = read(row, source.shards)
        yield json.dumps(record(entry), ensure_ascii=True, separators=(",", ":")) + "\n"


def record(entry: ExportedEntry) -> dict[str, Any]:
    """Return the record for an entry.

    In Office 365, the `UserId` of a decision is a service account. Here it is the human who decided. If a client acted
    in a human's name, `ExtendedProperties` names the client.
    """
    meaning, who = meaning_of(entry.event, entry.detail_text("action")), entry.who
    return {
        "Id": entry.guid,
        "RecordType": EXCHANGE_ADMIN if meaning.is_decision else APPLICATION_AUDIT,
        # Edm.Date in UTC without a zone, as Microsoft's service writes it. The log's own time is in `At`.
        "CreationTime": entry.at.strftime("%Y-%m-%dT%H:%M:%S"),
        "Operation": DECIDES if meaning.is_decision else operation_of(entry.event),
        "OrganizationId": str(entry.tenant),
        "UserType": _user_type(who),
        "UserKey": who["id"] or who["name"] or "unknown",
        "Workload": "CustomerLockbox",
        "ResultStatus": "Failed" if meaning.has_failed else "Succeeded",
        "ObjectId": _object(entry),
        "UserId": who["email"] or who["name"] or "unknown",
        # The log has no network address. The schema uses null for this.
        "ClientIP": None,
        "Scope": 0,
        **_client(entry),
        **(_decision(entry, meaning) if meaning.is_decision else {}),
        "Event": entry.event,
        "At": canonical.instant(entry.at),
        "ActorName": who["name"],
        "ActorSide": who["side"],
        "Door": entry.door,
        "SubjectType": entry.subject_type,
        "SubjectId": entry.subject_id,
        "AccessRequestId": entry.access_request or None,
        "Detail": entry.detail,
        "LogIndex": entry.position.index,
        "LogSequence": entry.seq,
        "LogOrigin": entry.position.origin,
        "LeafHash": entry.leaf_hash,
        "IsIntact": entry.is_intact,
        "IsPractice": entry.is_practice,
    }


def _user_type(who: dict[str, str]) -> int:
    if who["kind"] == "client":
        return _APPLICATION
    return _USER_TYPES.get(who["side"], _REGULAR) if who["kind"] == "person" else _SYSTEM


def _client(entry: ExportedEntry) -> dict[str, Any]:
    """Return the client that acted for the human in `UserId`, and the approvers for whom that human was the deputy."""
    client = entry.through
    given = {"ActedThrough": "client", "ClientId": client["id"], "ClientName": client["name"]} if client else {}
    if entry.deputy_for:
        given |= {"ActedAs": "deputy", "DeputyFor": entry.deputy_for}
    if not given:
        return {}
    return {"ExtendedProperties": [{"Name": name, "Value": value} for name, value in given.items()]}


def operation_of(event: str) -> str:
    """Return an event's name in the form of an operation in Office 365: `grant.revoked` becomes GrantRevoked."""
    return "".join(word.capitalize() for word in event.replace(".", "_").split("_")) or "Unknown"


def _decision(entry: ExportedEntry, meaning: Meaning) -> dict[str, Any]:
    """Return the fields of the Exchange Admin schema for a decision, and the decision's signature.

    `Parameters` are those of the cmdlet that decides. `ExternalAccess` is true if somebody outside the
    customer's organization decided.
    """
    given = {
        "RequestId": entry.access_request,
        "ApprovalDecision": meaning.activity_name,
        "Comment": entry.detail_text("comment"),
    }
    signature = entry.signature
    return {
        "ExternalAccess": entry.actor["side"] != "customer",
        "Parameters": [{"Name": name, "Value": value} for name, value in given.items() if value],
        "Signature": signature.as_json if signature else None,
    }


def _object(entry: ExportedEntry) -> str:
    """Return what the act was about: the accessed item, the access request, or the entry's subject, in this order."""
    item = entry.detail_text("reference") or entry.detail_text("item")
    if entry.event.startswith("content.") and item:
        return item
    return entry.access_request or entry.subject_id
