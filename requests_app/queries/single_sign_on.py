"""Reads what single sign-on needs: the connection for a mail address, and a tenant's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import NotFound
from requests_app.domain.ids import as_id
from requests_app.identity.sso import domains, sealing
from requests_app.identity.sso.oidc import Party
from requests_app.models import Domain, Identity, Invitation, Person, SignOn, Tenant

PROVIDER = "provider"


@dataclass(frozen=True)
class SignOnConnection:
    """A connection to an identity provider. `name` is the tenant's id, or PROVIDER."""

    name: str
    tenant_id: UUID | None
    organisation: str
    party: Party
    is_on: bool


def find_connection(name: str) -> SignOnConnection:
    """Return the connection with this name.

    Raise NotFound if there is no such connection, or sealing.Unreadable if its client secret can't be decrypted.
    """
    if name == PROVIDER:
        if not settings.SSO_ISSUER:
            raise NotFound
        party = _party(name, settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET, _SCOPES)
        return SignOnConnection(name, None, settings.PROVIDER_NAME, party, is_on=True)
    row = SignOn.objects.select_related("tenant").filter(tenant=as_id(name)).first()
    if row is None:
        raise NotFound
    named = tuple(claim for claim in (row.key_claim, row.groups_claim) if claim)
    party = _party(name, row.issuer, row.client_id, sealing.opened(row.sealed), row.scopes)
    party = replace(party, claims=(*party.claims, *named), peer=str(row.tenant_id))
    return SignOnConnection(name, row.tenant_id, row.tenant.name, party, is_on=row.is_on)


_SCOPES = "openid profile email"


def _party(name: str, issuer: str, client_id: str, secret: str, scopes: str) -> Party:
    return Party(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret,
        scopes=scopes,
        redirect_uri=redirect_uri(name),
        private=settings.SSO_PRIVATE_NETWORK,
    )


def redirect_uri(name: str) -> str:
    """Return the redirect URI of one connection.

    Each connection has its own redirect URI, so that the answer of one identity provider is never taken for the answer
    of another one (RFC 9700, section 4.4.2).
    """
    return str(settings.BASE_URL).rstrip("/") + reverse("web:sso_callback", args=[name])


def name_for(email: str) -> str:
    """Return the name of the connection for the domain of an address, or "".

    It does not matter whether the address belongs to a person.
    """
    domain = domains.of_address(email)
    if settings.SSO_ISSUER and domain in settings.SSO_DOMAINS:
        return PROVIDER
    found = Domain.objects.filter(name=domain, verified_at__isnull=False, tenant__sign_on__is_on=True)
    tenant_id = found.values_list("tenant_id", flat=True).first()
    return str(tenant_id) if tenant_id else ""


def name_for_invited(row: Invitation) -> str:
    """Return the name of the connection through which the reader of an invitation signs in, or "" for a password.

    Somebody who comes with the recovery key signs in here, because the identity provider may be what was lost.
    """
    if row.is_recovery:
        return ""
    domain = domains.of_address(row.email)
    if row.tenant_id is None:
        return PROVIDER if settings.SSO_ISSUER and domain in settings.SSO_DOMAINS else ""
    found = Domain.objects.filter(
        name=domain, verified_at__isnull=False, tenant=row.tenant_id, tenant__sign_on__is_on=True
    )
    return str(row.tenant_id) if found.exists() else ""


def of_tenant(tenant: Tenant) -> SignOn | None:
    found: SignOn | None = SignOn.objects.filter(tenant=tenant).select_related("break_glass").first()
    return found


def domains_of(tenant: Tenant) -> list[Domain]:
    return list(tenant.domains.order_by("name"))


def administrators(tenant: Tenant) -> list[Person]:
    is_administrator = {"memberships__tenant": tenant, "memberships__role": "administrator"}
    return list(Person.objects.active().humans().filter(**is_administrator).distinct().order_by("name"))


def identities(tenant: Tenant, person: Person | None = None) -> list[Identity]:
    """Return the linked identities of the tenant's people, or those of one person, the oldest first."""
    rows = Identity.objects.filter(tenant=tenant).select_related("person").order_by("linked_at", "pk")
    return list(rows.filter(person=person) if person is not None else rows)


def identity_of(person: Person, tenant: Tenant, identity_id: UUID) -> Identity:
    found: Identity = Identity.objects.filter(tenant=tenant, person=person).find(identity_id)
    return found


def domain(domain_id: object, *, actor: Actor) -> Domain:
    """Return a domain. Raise NotAllowed unless the actor is an administrator of the domain's tenant."""
    row: Domain = Domain.objects.visible_to(actor).find(domain_id)
    policy.require_role(actor, frozenset({Role.ADMINISTRATOR}), tenant_id=row.tenant_id)
    return row
