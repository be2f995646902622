"""Helpers for the acts on single sign-on: the fields of entries, mails, and who can sign in without it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.utils.translation import gettext as _

from requests_app.domain.acts.single_sign_on import SIGN_ON_CHANGED
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.identity.sso import domains
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Domain, Passkey, Person, SignOn, Tenant
from requests_app.operations._change import Step
from requests_app.queries.single_sign_on import has_domain, provider_issuer


def described_connection(row: SignOn) -> dict[str, Any]:
    found = {
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
    if row.newcomer_role:
        found["newcomer_role"] = row.newcomer_role
    if not row.is_saml:
        return found
    pinned = IdentityProvider.of_stored(row.issuer, row.pinned)
    if row.metadata_signer:
        found["metadata_signer"] = row.metadata_signer
    return found | {
        "protocol": row.protocol,
        "metadata_url": row.metadata_url,
        "email_claim": row.email_claim,
        "is_proof": row.is_proof,
        "sso_url": pinned.sso_url,
        "certificates": pinned.fingerprints,
    }


def open_connection(tenant_id: UUID | None, came: AssertedIdentity) -> SignOn | None:
    """Return the tenant's connection. Raise NotAllowed unless it is still on and still has this issuer.

    It may have been changed since the sign-in began.
    """
    if tenant_id is None:
        if came.issuer != provider_issuer():
            raise NotAllowed(_("Single sign-on is not set up."))
        return None
    row: SignOn | None = SignOn.objects.filter(tenant=tenant_id, is_on=True).first()
    if row is None or row.identity_issuer != came.issuer:
        raise NotAllowed(_("Single sign-on is not set up."))
    return row


def proven_address(tenant_id: UUID | None, came: AssertedIdentity) -> str:
    """Return the address in the identity provider's answer if it proves something here, or "".

    An identity provider can say anything about any address. It decides only who has the addresses of the domains that
    the tenant has verified, or, for the provider's own people, of the domains in the settings. This rule is the same
    for both protocols.
    """
    email = came.email.strip().lower()
    return email if came.email_is_verified and has_domain(tenant_id, domains.of_address(email)) else ""


def require_way_in(tenant: Tenant, email: str) -> None:
    """Raise Unacceptable if the tenant requires single sign-on, and this address can't sign in there.

    A person with such an address could accept an invitation, and never sign in.
    """
    if not SignOn.objects.filter(tenant=tenant, is_only=True).exists():
        return
    if not Domain.objects.filter(tenant=tenant, name=domains.of_address(email), verified_at__isnull=False).exists():
        words = _(
            "Your organisation requires single sign-on, and has not verified the domain of this address. Verify the "
            "domain first, or use an address of a verified domain."
        )
        raise Unacceptable(words, field="email")


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


def tell(current: Step, topic: Topic, tenant: Tenant, about: UUID, *, keys: str = "", mark: str = "") -> None:
    current.tell(
        Note(
            topic=topic,
            tenant_id=tenant.pk,
            about=about,
            audiences=(Audience.CUSTOMER, Audience.ADMINISTRATORS),
            mark=mark or uuid4().hex,
            extra={"by": current.actor.name, **({"keys": keys} if keys else {})},
        )
    )
