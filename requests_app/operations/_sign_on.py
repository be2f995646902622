"""Helpers for the acts on single sign-on: the fields of entries, mails, and who can sign in without it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from requests_app.domain.acts.single_sign_on import SIGN_ON_CHANGED
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Passkey, Person, SignOn, Tenant
from requests_app.operations._change import Step


def described_connection(row: SignOn) -> dict[str, Any]:
    return {
        "issuer": row.issuer,
        "client_id": row.client_id,
        "scopes": row.scopes,
        "groups_claim": row.groups_claim,
        "key_claim": row.key_claim,
        "role_map": dict(row.role_map),
        "is_on": row.is_on,
        "is_only": row.is_only,
        "break_glass": row.break_glass.name if row.break_glass else None,
        "break_glass_id": str(row.break_glass_id) if row.break_glass_id else None,
    }


def gets_in_alone(person: Person) -> bool:
    """Return whether this person can sign in here if the identity provider does not answer."""
    return person.has_usable_password() or Passkey.objects.live().of_this_site().filter(person=person).exists()


def let_in(current: Step, tenant: Tenant, person: Person) -> None:
    """Allow an administrator who came with the recovery key to sign in here, even if single sign-on is required.

    Otherwise this administrator could be locked out: perhaps nobody is left who could allow it, or change the identity
    provider.
    """
    row = SignOn.objects.filter(tenant=tenant, is_only=True).first()
    if row is None:
        return
    row.break_glass, row.changed_at = person, current.at
    row.save(update_fields=["break_glass", "changed_at"])
    detail = {**described_connection(row), "changed": ["break_glass", "break_glass_id"]}
    current.witness(SIGN_ON_CHANGED, detail=detail, text=row.issuer)
    tell(current, Topic.SIGN_ON_CHANGED, tenant, tenant.pk)


def tell(current: Step, topic: Topic, tenant: Tenant, about: UUID) -> None:
    current.tell(
        Note(
            topic=topic,
            tenant_id=tenant.pk,
            about=about,
            audiences=(Audience.CUSTOMER, Audience.ADMINISTRATORS),
            mark=uuid4().hex,
            extra={"by": current.actor.name},
        )
    )
