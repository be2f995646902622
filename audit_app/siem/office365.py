"""The log as records of the Office 365 Management Activity API: its common schema, and what is ours beside it.

https://learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-schema
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app import canonical
from audit_app.meanings import Meaning
from audit_app.models import AuditEntry
from audit_app.said import Said, read
from audit_app.siem.events import meaning_of
from audit_app.siem.source import Source

#: AuditLogRecordType: a decision is what the cmdlet of Exchange's administration would have logged.
EXCHANGE_ADMIN, APPLICATION_AUDIT = 1, 67
#: UserType by side; the provider's people are its datacenter operators (DcAdmin).
_REGULAR, _DC_ADMIN, _SYSTEM, _APPLICATION = 0, 3, 4, 5
_USER_TYPES = {"customer": _REGULAR, "provider": _DC_ADMIN}
DECIDES = "Set-AccessToCustomerDataRequest"


def lines(entries: Iterable[AuditEntry], source: Source) -> Iterator[str]:
    for entry in entries:
        said = read(entry, source.places)
        yield json.dumps(record(said), ensure_ascii=True, separators=(",", ":")) + "\n"


def record(said: Said) -> dict[str, Any]:
    """One record. Unlike in the original, `UserId` of a decision is the human who decided, not a service account.

    Where a client acted in a human's name, the client stands in `ExtendedProperties`.
    """
    meaning, who = meaning_of(said.event, said.told("action")), said.who
    return {
        "Id": said.guid,
        "RecordType": EXCHANGE_ADMIN if meaning.is_decision else APPLICATION_AUDIT,
        # Edm.Date in UTC, without a zone, as the service itself writes it; the log's own instant is in `At`.
        "CreationTime": said.at.strftime("%Y-%m-%dT%H:%M:%S"),
        "Operation": DECIDES if meaning.is_decision else operation_of(said.event),
        "OrganizationId": str(said.tenant),
        "UserType": _user_type(who),
        "UserKey": who["id"] or who["name"] or "unknown",
        "Workload": "CustomerLockbox",
        "ResultStatus": "Failed" if meaning.has_failed else "Succeeded",
        "ObjectId": _object(said),
        "UserId": who["email"] or who["name"] or "unknown",
        # The log keeps no network address; the schema's own answer to that is null.
        "ClientIP": None,
        "Scope": 0,
        **_client(said),
        **(_decision(said, meaning) if meaning.is_decision else {}),
        "Event": said.event,
        "At": canonical.instant(said.at),
        "ActorName": who["name"],
        "ActorSide": who["side"],
        "Door": said.door,
        "SubjectType": said.subject_type,
        "SubjectId": said.subject_id,
        "AccessRequestId": said.access_request or None,
        "Detail": said.detail,
        "LogIndex": said.place.index,
        "LogSequence": said.seq,
        "LogOrigin": said.place.origin,
        "LeafHash": said.leaf_hash,
        "IsIntact": said.is_intact,
    }


def _user_type(who: dict[str, str]) -> int:
    if who["kind"] == "client":
        return _APPLICATION
    return _USER_TYPES.get(who["side"], _REGULAR) if who["kind"] == "person" else _SYSTEM


def _client(said: Said) -> dict[str, Any]:
    """Which machine acted for the human of `UserId`, or whose deputy they were (ExtendedProperties, Exchange Admin)."""
    client = said.through
    given = {"ActedThrough": "client", "ClientId": client["id"], "ClientName": client["name"]} if client else {}
    if said.deputy_for:
        given |= {"ActedAs": "deputy", "DeputyFor": said.deputy_for}
    if not given:
        return {}
    return {"ExtendedProperties": [{"Name": name, "Value": value} for name, value in given.items()]}


def operation_of(event: str) -> str:
    """The event's name as the service writes its operations: `grant.revoked` is GrantRevoked."""
    return "".join(word.capitalize() for word in event.replace(".", "_").split("_")) or "Unknown"


def _decision(said: Said, meaning: Meaning) -> dict[str, Any]:
    """The parameters of the cmdlet, and whether somebody outside of the organization ran it (Exchange Admin schema)."""
    given = {
        "RequestId": said.access_request,
        "ApprovalDecision": meaning.activity_name,
        "Comment": said.told("comment"),
    }
    signature = said.signature
    return {
        "ExternalAccess": said.actor["side"] != "customer",
        "Parameters": [{"Name": name, "Value": value} for name, value in given.items() if value],
        "Signature": signature.told if signature else None,
    }


def _object(said: Said) -> str:
    """What was acted on: the item where content was looked at, else the access request, else the subject."""
    item = said.told("reference") or said.told("item")
    if said.event.startswith("content.") and item:
        return item
    return said.access_request or said.subject_id
