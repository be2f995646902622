"""Helpers for the acts on people's passkeys: which logs get the entries, and which fields the entries have."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from requests_app.domain import base64url
from requests_app.models import Passkey, Person, Tenant
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform import webauthn


def logs_of(person: Person) -> list[UUID]:
    """Return the logs of all tenants of this person, in the recorder's order.

    For a person without a tenant, return the provider's log.
    """
    return sorted(set(person.memberships.values_list("tenant_id", flat=True))) or [PROVIDER_LOG]


def logs_with(row: Passkey) -> list[UUID]:
    """Return the logs that have an entry about this passkey, even if the person has left the tenant since.

    A verifier searches these logs for the passkey.
    """
    return sorted(UUID(log) for log in row.enrolled)


def is_anybody_ready(tenant: Tenant) -> bool:
    """Return whether at least one approver has a passkey that may sign approvals under the rules in `tenant`.

    The rules in `tenant` may be saved, or only proposed.
    """
    approvers = Person.objects.get_queryset().approvers_of(tenant.pk)
    return Passkey.objects.filter(person__in=approvers).may_sign_for(tenant).exists()


def described(row: Passkey) -> dict[str, Any]:
    """Return the fields about a passkey for the log. `public_key` is the SubjectPublicKeyInfo (RFC 5280) in Base64."""
    person, cose = row.person, bytes(row.public_key)
    return {
        "person": str(person.pk),
        "name": person.name,
        "email": person.email,
        "side": str(person.side),
        "passkey": str(row.pk),
        "passkey_name": row.name,
        "credential": base64url.to_text(bytes(row.credential_id)),
        "public_key": base64.b64encode(webauthn.spki_of(cose)).decode(),
        "algorithm": row.algorithm,
        "rp_id": row.rp_id,
        "origin": row.origin,
        "aaguid": row.aaguid,
        "backup_eligible": row.is_backup_eligible,
        "backed_up": row.is_backed_up,
    }
