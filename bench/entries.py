"""The entries of a measured log: an approved access request, and then items that are opened in its window."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from audit_app import canonical, recorder

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
_WINDOW = 4 * 3600
_REQUEST, _GRANT, _MAILBOX = (UUID(int=number) for number in (9, 11, 13))
_ASKED = {
    "level": "read",
    "resources": [{"id": str(_MAILBOX), "kind": "mailbox", "name": "alex.wilber@contoso.example"}],
    "window_for": _WINDOW,
    "justification": "The index skips messages.",
    "reference": "AR-000042",
}


def entry(tenant: UUID, number: int) -> recorder.Witnessed:
    """Return an entry about an opened item, with about 600 bytes. The first three entries open the window instead."""
    if number < len(_BEFORE):
        event, actor, detail = _BEFORE[number]
        return _entry(tenant, event, actor, detail, "access_request", _REQUEST)
    detail = {
        "item": f"{number}.mail",
        "title": f"Message number {number} of this mailbox",
        "resource": str(_MAILBOX),
        "reference": "AR-000042",
        "bytes": 12_345,
    }
    return _entry(tenant, "content.opened", _PRIYA, detail, "grant", _GRANT)


def _entry(
    tenant: UUID, event: str, actor: dict[str, Any], detail: dict[str, Any], kind: str, subject: UUID
) -> recorder.Witnessed:
    return recorder.Witnessed(
        tenant_id=tenant,
        event=event,
        door="pages",
        actor=actor,
        subject_type=kind,
        subject_id=str(subject),
        correlation_id=_REQUEST,
        detail=detail,
        text="AR-000042",
    )


def _person(number: int, name: str, side: str) -> dict[str, Any]:
    email = f"{name.lower().replace(' ', '.')}@{side}.example"
    return {"kind": "person", "id": str(UUID(int=number)), "name": name, "side": side, "email": email}


_PRIYA, _PAT, _ADA = (
    _person(7, "Priya Nair", "provider"),
    _person(8, "Pat Doyle", "provider"),
    _person(5, "Ada", "customer"),
)
_DIGEST = {"digest": canonical.digest(_ASKED).hex(), "reference": "AR-000042"}
_OPENED = {
    "grant": str(_GRANT),
    "opens_at": canonical.instant(AT),
    "closes_at": canonical.instant(AT + dt.timedelta(seconds=_WINDOW)),
}
_BEFORE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("access_request.submitted", _PRIYA, _ASKED),
    ("access_request.approved_by_provider", _PAT, {**_DIGEST, "state": "PENDING_CUSTOMER"}),
    ("access_request.approved_by_customer", _ADA, {**_DIGEST, "state": "OPEN", **_OPENED}),
]
