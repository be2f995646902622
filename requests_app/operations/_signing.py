"""Verifies signed decisions: the signed text and the passkey's answer, inside the act that decides."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from requests_app.domain import base64url, manifest
from requests_app.domain.errors import DeviceBoundRequired, OwnKeyRequired, PasskeyUnknown, SignatureRequired
from requests_app.domain.manifest import Signed
from requests_app.models import Decision, Passkey, SignedDecision, Tenant
from requests_app.operations._change import PROVIDER_LOG, Move
from requests_app.platform import webauthn


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A valid signature of a passkey over the text of a decision."""

    text: str
    nonce: str
    passkey: Passkey
    asserted: webauthn.Asserted

    @property
    def digest(self) -> str:
        return manifest.challenge_of(self.text).hex()

    def key(self, stage: str) -> dict[str, Any]:
        """Return the fields about the passkey that readers of the decision see.

        Customers do not see the names that the provider's people gave to their passkeys.
        """
        row = self.passkey
        name = row.name if stage == Decision.Stage.CUSTOMER else ""
        return {"passkey": str(row.pk), "name": name, "rp_id": row.rp_id, "device_bound": row.is_device_bound}

    @property
    def assertion(self) -> dict[str, str]:
        """The signed bytes and the signature, in Base64url as in WebAuthn, so that anybody can verify them again."""
        return {
            "clientDataJSON": base64url.to_text(self.asserted.client_data),
            "authenticatorData": base64url.to_text(self.asserted.authenticator_data),
            "signature": base64url.to_text(self.asserted.signature),
        }


def verified(step: Move, stage: Decision.Stage, verdict: Decision.Verdict, signature: Signed) -> Proof:
    """Verify that the decider signed exactly this decision, with a passkey that has an entry in the log.

    Raise a subclass of ManifestRefused or PasskeyRefused, or FactsChanged. The act already has its turn at the log. So
    if somebody removes the passkey at the same time, the removal is either finished or comes after this decision.
    """
    signed = manifest.read(signature.manifest)
    facts = manifest.facts_of(
        step.row, verdict=str(verdict), stage=str(stage), decider=_decider(step), checkpoint=signed.get("checkpoint")
    )
    manifest.require(signed, facts, at=step.at)
    row = _passkey(step, stage, webauthn.credential_of(signature.assertion))
    asserted = webauthn.verify_assertion(
        signature.assertion,
        challenge=manifest.challenge_of(signature.manifest),
        party=_party(row, step.row.tenant_id),
        key=webauthn.Key(
            credential_id=bytes(row.credential_id),
            public_key=bytes(row.public_key),
            sign_count=row.sign_count,
            is_backup_eligible=row.is_backup_eligible,
        ),
    )
    row.sign_count, row.is_backed_up = asserted.sign_count, asserted.is_backed_up
    row.save(update_fields=["sign_count", "is_backed_up"])
    return Proof(text=signature.manifest, nonce=signed["nonce"], passkey=row, asserted=asserted)


def require_rule(tenant: Tenant, proof: Proof | None) -> None:
    """Raise a subclass of NotAllowed unless the customer's approval is signed as the tenant's rule requires.

    The caller must have read `tenant` after the act took its turn at the log. A change of the rule takes the same turn.
    """
    if not tenant.wants_signature:
        return
    if proof is None:
        raise SignatureRequired
    if not Passkey.objects.filter(pk=proof.passkey.pk).may_sign_for(tenant).exists():
        is_elsewhere = tenant.own_keys_only and proof.passkey.rp_id != tenant.approval_rp_id
        raise OwnKeyRequired if is_elsewhere else DeviceBoundRequired


def store_signature(decision: Decision, proof: Proof) -> dict[str, Any]:
    """Store the signature with the decision. Return the fields about it for the log's entry."""
    SignedDecision.objects.create(
        decision=decision,
        tenant_id=decision.tenant_id,
        passkey=proof.passkey,
        manifest=proof.text,
        assertion=proof.assertion,
        nonce=proof.nonce,
    )
    row = proof.passkey
    log = str(_log_of(decision.stage, decision.tenant_id))
    return {
        "signed": True,
        "signature": {
            "manifest": proof.text,
            "assertion": proof.assertion,
            "passkey": str(row.pk),
            **({"passkey_name": decision.key_name} if decision.key_name else {}),
            "credential": base64url.to_text(bytes(row.credential_id)),
            "public_key": base64.b64encode(webauthn.spki_of(bytes(row.public_key))).decode(),
            "algorithm": row.algorithm,
            "rp_id": row.rp_id,
            "enrolled": {"log": log, **row.enrolled[log]},
        },
    }


def _decider(step: Move) -> dict[str, str]:
    actor = step.actor
    name = actor.machine.decides_for_name if actor.machine is not None else actor.name
    return {"id": str(actor.decider), "name": name}


def _passkey(step: Move, stage: Decision.Stage, credential: bytes) -> Passkey:
    """Lock the decider's passkey with this credential id, and return it.

    Raise PasskeyUnknown unless the passkey is in use and has an entry in the log of the decider's side: the
    tenant's log or the provider's.
    """
    rows = Passkey.objects.live().filter(person=step.actor.decider, credential_id=credential)
    row: Passkey | None = rows.filter(enrolled__has_key=str(_log_of(stage, step.row.tenant_id))).locked().first()
    if row is None:
        raise PasskeyUnknown
    return row


def _log_of(stage: str, tenant_id: object) -> object:
    return tenant_id if stage == Decision.Stage.CUSTOMER else PROVIDER_LOG


def _party(row: Passkey, tenant_id: UUID) -> webauthn.Party:
    """Return the site of the passkey, with the origins of the pages that may ask for a signature now.

    These are the pages of this site, or the tenant's own approval page. The page on which the passkey was added does
    not matter, because its address may belong to somebody else now. The tenant's page is read after the act took its
    turn at the log, so it can't change before the act commits.
    """
    tenant = Tenant.objects.only("approval_origin", "approval_rp_id").get(pk=tenant_id)
    origins = settings.PASSKEY_ORIGINS if row.rp_id == settings.PASSKEY_RP_ID else []
    page = [tenant.approval_origin] if row.rp_id == tenant.approval_rp_id else []
    return webauthn.Party(rp_id=row.rp_id, name=settings.PROVIDER_NAME, origins=frozenset([*origins, *page]))
