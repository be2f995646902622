"""What a decision is signed with: the text to sign, and the passkeys of this person that may sign it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from audit_app.checkpoints import origin_of
from audit_app.models import Checkpoint
from requests_app import manifest, webauthn
from requests_app.actors import Actor, Side
from requests_app.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Passkey


def text_to_sign(row: AccessRequest, *, actor: Actor, verdict: str, at: datetime) -> str:
    """The manifest of this person's answer to an access request, good for five minutes."""
    name = actor.machine.decides_for_name if actor.machine is not None else actor.name
    facts = manifest.facts_of(
        row,
        verdict=verdict,
        stage=str(actor.side),
        decider={"id": str(actor.decider), "name": name},
        checkpoint=last_checkpoint(row.tenant_id),
    )
    return manifest.issue(facts, at=at, deadline=row.decide_by)


def last_checkpoint(tenant_id: UUID) -> dict[str, Any] | None:
    """The newest signed head of the tenant's log, so that a signature says how much of the log was there before it."""
    row = Checkpoint.objects.filter(tenant_id=tenant_id).order_by("-shard", "-size").first()
    if row is None:
        return None
    root = base64.b64encode(bytes(row.root)).decode()
    return {"origin": origin_of(tenant_id, row.shard), "size": row.size, "root": root}


def passkeys(actor: Actor, tenant_id: UUID) -> list[Passkey]:
    """Those of this site that may sign a decision of this actor's about this tenant: in use, and in the right log."""
    log = tenant_id if actor.side is Side.CUSTOMER else PROVIDER_LOG
    rows = Passkey.objects.live().filter(person=actor.decider, rp_id=settings.PASSKEY_RP_ID)
    rows = rows.filter(enrolled__has_key=str(log))
    return list(rows.order_by("-created_at"))


def options(keys: list[Passkey], challenge: bytes) -> dict[str, Any]:
    """What a page of this site asks the browser for."""
    known = [bytes(key.credential_id) for key in keys]
    return webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge, known=known)
