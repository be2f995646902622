"""Builds the events of the Shared Signals Framework from entries of the log: the claims of a security event token.

A token says who may be in which window, and nothing of what the window is for. It has no content, and no text that a
person wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings

from audit_app.models import AuditEntry
from requests_app.domain.acts import EVENTS
from requests_app.messages.webhooks.messages import ENDING, Message, id_of
from requests_app.models import Grant, SignalStream

_CAEP, _SSF = (
    "https://schemas.openid.net/secevent/caep/event-type/",
    "https://schemas.openid.net/secevent/ssf/event-type/",
)
SESSION_REVOKED, SESSION_ESTABLISHED = f"{_CAEP}session-revoked", f"{_CAEP}session-established"
#: The events that a receiver can ask for. The other two are about the stream itself, and are always sent.
SUPPORTED = (SESSION_REVOKED, SESSION_ESTABLISHED)
VERIFICATION, STREAM_UPDATED = f"{_SSF}verification", f"{_SSF}stream-updated"
#: The topics of messages that are not about an entry of a log.
VERIFY_TOPIC, UPDATED_TOPIC = "signal.verification", "signal.stream_updated"
TYPE = "secevent+jwt"
#: How many earlier entries about a window are read to find its first use.
MOST_USES = 50
#: The entries that say that an engineer got into an application. The first one in a window begins the session.
USES = frozenset({"content.access_allowed", "content.reported", "grant.entered", "grant.token_issued"} & EVENTS.keys())
#: For each way in which a window ends: who ended it in the words of CAEP, and why, for an administrator.
_ENDS: dict[str, tuple[str, str]] = {
    Grant.CloseReason.REVOKED: ("admin", "The window was closed early."),
    Grant.CloseReason.RELEASED: ("user", "The engineer closed the window."),
    Grant.CloseReason.ELAPSED: ("policy", "The window ended as planned."),
}
#: Receivers learn of each end, also if the row of the window does not say how it came.
_ENDED_SOMEHOW = ("system", "The window has ended.")
_ESTABLISHED_WHY = "The window was used for the first time."


def log_events(requested: Iterable[str]) -> list[str]:
    """Return the events of the log from which the requested events are made."""
    wanted = set(requested)
    return sorted((ENDING if SESSION_REVOKED in wanted else set()) | (USES if SESSION_ESTABLISHED in wanted else set()))


def of(entries: Iterable[AuditEntry], log_id: UUID, stream: SignalStream) -> list[Message]:
    """Return the messages about these entries that the receiver of this stream may get, in the order of the entries.

    They are about windows of external services only. A provider's client that belongs to a service gets the windows of
    that service. The session of a window is established once, at its first use.
    """
    found = [entry for entry in entries if entry.correlation_id is not None]
    grants = _grants(found, stream)
    messages: list[Message | None] = []
    used: set[UUID] = set()
    for entry in found:
        grant = grants.get(entry.correlation_id)
        if grant is None:
            continue
        if entry.event in ENDING:
            messages.append(_ended(entry, grant, stream))
        elif grant.pk not in used and _is_use(entry):
            # A window can have thousands of uses. Only the first one here is compared with those before.
            used.add(grant.pk)
            messages.append(_begun(entry, grant, stream, log_id))
    return [message for message in messages if message is not None]


def _grants(entries: list[AuditEntry], stream: SignalStream) -> dict[UUID | None, Grant]:
    """Return the grants that entries are about and that the receiver may know, by the ids of their access requests."""
    about = {entry.correlation_id for entry in entries}
    rows = Grant.objects.real().filter(access_request__in=about, access_request__service__connector="external")
    if stream.tenant_id is not None:
        rows = rows.filter(tenant=stream.tenant_id)
    elif (service := stream.client.service_id) is not None:
        rows = rows.filter(access_request__service=service)
    return {grant.access_request_id: grant for grant in rows.select_related("engineer")}


def _ended(entry: AuditEntry, grant: Grant, stream: SignalStream) -> Message:
    by, why = _ENDS.get(grant.close_reason, _ENDED_SOMEHOW)
    event = {
        "event_timestamp": int((grant.closed_at or entry.at).timestamp()),
        "initiating_entity": by,
        "reason_admin": {"en": why},
    }
    return _message(entry, entry.event, str(grant.pk), SESSION_REVOKED, event, grant, stream)


def _begun(entry: AuditEntry, grant: Grant, stream: SignalStream, log_id: UUID) -> Message | None:
    """Return the message about the first use of a window, or None if this entry is not about it.

    A report of an access can arrive long after the window has ended. A session then never begins any more.
    """
    is_over = grant.closed_at is not None and entry.at >= grant.closed_at
    uses = AuditEntry.objects.filter(tenant_id=log_id, correlation_id=entry.correlation_id, event__in=USES)
    earlier = uses.filter(seq__lt=entry.seq).order_by("seq")[:MOST_USES]
    if is_over or any(_is_use(each) for each in earlier):
        return None
    event = {
        "event_timestamp": int(entry.at.timestamp()),
        "initiating_entity": "user",
        "reason_admin": {"en": _ESTABLISHED_WHY},
    }
    return _message(entry, entry.event, str(grant.pk), SESSION_ESTABLISHED, event, grant, stream)


def _is_use(entry: AuditEntry) -> bool:
    """Return whether somebody got in. An application also reports accesses that it refused."""
    try:
        detail = json.loads(bytes(entry.canonical)).get("detail", {})
    except (ValueError, AttributeError):
        return False
    return isinstance(detail, dict) and detail.get("kind", "access") == "access"


def _message(
    entry: AuditEntry, topic: str, about: str, kind: str, event: dict[str, Any], grant: Grant, stream: SignalStream
) -> Message:
    jti = str(uuid5(stream.stream_id, f"{kind} {id_of(entry)}"))
    subject = subject_of(stream, grant)
    body = _claims(stream, jti, entry.at, id_of(entry), subject, kind, event)
    return Message(id=jti, type=topic, body=body, seq=entry.seq, about=about)


def subject_of(stream: SignalStream, grant: Grant) -> dict[str, Any]:
    """Return the subject in the form that the receiver asked for (RFC 9493, and SSF for the complex subject)."""
    person = {"format": "iss_sub", "iss": settings.BASE_URL, "sub": str(grant.engineer_id)}
    if stream.subject_format == SignalStream.Subject.EMAIL:
        return {"format": "email", "email": grant.engineer.email}
    if stream.subject_format == SignalStream.Subject.ISS_SUB:
        return person
    session, tenant = ({"format": "opaque", "id": str(pk)} for pk in (grant.pk, grant.tenant_id))
    return {"format": "complex", "user": person, "session": session, "tenant": tenant}


def verification(stream: SignalStream, number: UUID, at: datetime, state: str | None) -> Message:
    """Return the event with which a receiver checks that the stream works. It gets its own `state` back."""
    return _of_stream(stream, number, at, VERIFICATION, VERIFY_TOPIC, {} if state is None else {"state": state})


def stream_updated(stream: SignalStream, number: UUID, at: datetime) -> Message:
    """Return the event that says that the status of the stream was changed by this side."""
    event = {"status": stream.status, **({"reason": stream.reason} if stream.reason else {})}
    return _of_stream(stream, number, at, STREAM_UPDATED, UPDATED_TOPIC, event)


def _of_stream(
    stream: SignalStream, number: UUID, at: datetime, kind: str, topic: str, event: dict[str, Any]
) -> Message:
    subject = {"format": "opaque", "id": str(stream.stream_id)}
    return Message(id=str(number), type=topic, body=_claims(stream, str(number), at, str(number), subject, kind, event))


def _claims(
    stream: SignalStream, jti: str, at: datetime, txn: str, subject: dict[str, Any], kind: str, event: dict[str, Any]
) -> str:
    """Return the claims as JSON. They have neither `sub` nor `exp`, so that no program takes them for an access token.

    The claims are stored, and signed at each attempt with the key that signs then.
    """
    claims = {
        "iss": settings.BASE_URL,
        "jti": jti,
        "iat": int(at.timestamp()),
        "aud": audience(stream),
        "txn": txn,
        "sub_id": subject,
        "events": {kind: event},
    }
    return json.dumps(claims, separators=(",", ":"), ensure_ascii=False)


def audience(stream: SignalStream) -> str:
    return str(stream.client_id)
