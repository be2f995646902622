"""Reads what a person needs to sign a decision: the text to sign, and the passkeys that can sign it."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from audit_app import canonical
from audit_app.checkpoints import origin_of
from audit_app.models import AuditEntry, Checkpoint
from requests_app.domain import manifest
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.access_requests import ACCESS_REQUEST_SUBMITTED
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Passkey, Tenant
from requests_app.platform import webauthn


def text_to_sign(row: AccessRequest, *, actor: Actor, verdict: str, at: datetime) -> str:
    """Return the manifest of this person's decision on an access request. The manifest is valid for five minutes."""
    name = actor.machine.decides_for_name if actor.machine is not None else actor.name
    facts = manifest.facts_of(
        row,
        verdict=verdict,
        stage=str(actor.side),
        decider={"id": str(actor.decider), "name": name},
        checkpoint=last_checkpoint(row.tenant_id),
    )
    return manifest.issue(facts, at=at, deadline=row.decide_by)


def submitted_text(row: AccessRequest) -> str:
    """Return everything that the engineer submitted. The manifest contains the SHA-256 digest of this text.

    The text is read from the log, because a resource may have another name now. It is empty if the log's entry was
    removed. A caller that shows the text must compute the digest itself.
    """
    rows = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk)
    entry = rows.filter(event=ACCESS_REQUEST_SUBMITTED).order_by("seq").first()
    if entry is None:
        return ""
    try:
        return canonical.encode(json.loads(bytes(entry.canonical))["detail"]).decode()
    except (ValueError, KeyError, TypeError):
        return ""


def last_checkpoint(tenant_id: UUID) -> dict[str, Any] | None:
    """Return the newest signed head of the tenant's log.

    A decision is signed together with this head. So the signature shows which log existed before the decision.
    """
    row = Checkpoint.objects.filter(tenant_id=tenant_id).order_by("-shard", "-size").first()
    if row is None:
        return None
    root = base64.b64encode(bytes(row.root)).decode()
    return {"origin": origin_of(tenant_id, row.shard), "size": row.size, "root": root}


def passkeys(actor: Actor, tenant_id: UUID, *, counts_for: Tenant | None = None) -> list[Passkey]:
    """Return the person's passkeys of this site that may sign a decision about this tenant.

    Such a passkey is in use, and the log of the person's side has an entry about it. With `counts_for`, return only the
    passkeys that the rules of that tenant accept.
    """
    log = tenant_id if actor.side is Side.CUSTOMER else PROVIDER_LOG
    rows = Passkey.objects.live().filter(person=actor.decider, rp_id=settings.PASSKEY_RP_ID)
    rows = rows.filter(enrolled__has_key=str(log))
    rows = rows.may_sign_for(counts_for) if counts_for is not None else rows
    return list(rows.order_by("-created_at"))


def options(keys: list[Passkey], challenge: bytes) -> dict[str, Any]:
    """Return the options that a page of this site passes to the browser to get a signature from one of these keys."""
    known = [bytes(key.credential_id) for key in keys]
    return webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge, known=known)
