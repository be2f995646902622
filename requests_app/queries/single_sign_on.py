"""Reads what single sign-on needs: the connection for a mail address, and a tenant's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.certificates import fingerprint
from requests_app.domain.errors import NotFound
from requests_app.domain.ids import as_id
from requests_app.identity.sso import domains, sealing
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.oidc import Party
from requests_app.identity.sso.saml import metadata, service
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.identity.sso.saml.service import Service
from requests_app.models import Domain, Identity, Invitation, Person, SignOn, Tenant
from requests_app.models.single_sign_on import saml_issuer
from requests_app.queries import sign_on_metadata

PROVIDER = "provider"


@dataclass(frozen=True)
class SignOnConnection:
    """A connection to an identity provider. `name` is the tenant's id, or PROVIDER."""

    name: str
    tenant_id: UUID | None
    organisation: str
    party: Party | Service
    is_on: bool
    #: The issuer under which people's identities are stored.
    issuer: str


def find_connection(name: str) -> SignOnConnection:
    """Return the connection with this name.

    Raise NotFound for an unknown name, or sealing.Unreadable if its client secret can't be decrypted. Raise
    SignOnFailed if the provider's own metadata or the operator's keys can't be read.
    """
    if name == PROVIDER:
        return _provider_connection()
    row = SignOn.objects.select_related("tenant").filter(tenant=as_id(name)).first()
    if row is None:
        raise NotFound
    if row.is_saml:
        return SignOnConnection(
            name, row.tenant_id, row.tenant.name, _service(row), is_on=row.is_on, issuer=row.identity_issuer
        )
    named = tuple(filter(None, (row.key_claim, row.groups_claim, "name" if row.newcomer_role else "")))
    party = _party(name, row.issuer, row.client_id, sealing.opened(row.sealed), row.scopes)
    party = replace(party, claims=(*party.claims, *named), peer=str(row.tenant_id))
    return SignOnConnection(name, row.tenant_id, row.tenant.name, party, is_on=row.is_on, issuer=row.identity_issuer)


def _provider_connection() -> SignOnConnection:
    party: Party | Service
    if has_provider_saml():
        keys = service.keys_in(settings.SSO_SAML_KEYS)
        provider = sign_on_metadata.of_provider(at=clock.now())
        party = Service(
            identity_provider=provider,
            entity_id=entity_id(PROVIDER),
            acs=acs(PROVIDER),
            keys=keys,
            email_claim=settings.SSO_SAML_EMAIL,
        )
        issuer = saml_issuer(provider.entity_id)
    elif settings.SSO_ISSUER:
        party = _party(PROVIDER, settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET, _SCOPES)
        issuer = settings.SSO_ISSUER
    else:
        raise NotFound
    return SignOnConnection(PROVIDER, None, settings.PROVIDER_NAME, party, is_on=True, issuer=issuer)


def provider_issuer() -> str:
    """Return the issuer of the provider's own people, or "" if there is no single sign-on for them."""
    try:
        return _provider_connection().issuer
    except (NotFound, SignOnFailed):
        return ""


def provider_saml() -> dict[str, Any]:
    """Return what staff see of the provider's own SAML connection, or {} without such a connection."""
    if not has_provider_saml():
        return {}
    row = sign_on_metadata.provider_row()
    shown: dict[str, Any] = {"entity_id": entity_id(PROVIDER), "acs": acs(PROVIDER), "row": row}
    shown |= {"url": settings.SSO_SAML_METADATA_URL, "pinned": sign_on_metadata.pinned_of(row)}
    try:
        party = _provider_connection().party
    except SignOnFailed as failure:
        return shown | {"problem": f"{failure.code} {failure.detail}".strip()}
    return shown | {"pinned": party.identity_provider} if isinstance(party, Service) else shown


def own_metadata(name: str) -> bytes:
    """Return this service provider's metadata for one connection. The identity provider may not be known yet.

    Raise NotFound without a SAML connection of this name, and errors about our keys as `find_connection` does.
    """
    if name == PROVIDER and has_provider_saml():
        keys, organisation = service.keys_in(settings.SSO_SAML_KEYS), settings.PROVIDER_NAME
    else:
        row = SignOn.objects.select_related("tenant").filter(tenant=as_id(name), protocol=SignOn.Protocol.SAML).first()
        if row is None:
            raise NotFound
        keys, organisation = service.unpacked(sealing.opened(row.sealed_keys)), row.tenant.name
    certificates = [each.certificate for each in keys]
    return metadata.written(
        entity_id=entity_id(name), acs=acs(name), certificates=certificates, organisation=organisation
    )


def has_provider_saml() -> bool:
    return bool(settings.SSO_SAML_METADATA or settings.SSO_SAML_METADATA_URL)


def has_provider_connection() -> bool:
    return bool(settings.SSO_ISSUER) or has_provider_saml()


def _service(row: SignOn) -> Service:
    name = str(row.tenant_id)
    return Service(
        identity_provider=IdentityProvider.of_stored(row.issuer, row.pinned),
        entity_id=entity_id(name),
        acs=acs(name),
        keys=service.unpacked(sealing.opened(row.sealed_keys)),
        email_claim=row.email_claim,
        key_claim=row.key_claim,
        groups_claim=row.groups_claim,
        is_proof=row.is_proof,
    )


def entity_id(name: str) -> str:
    """Return the name of this service provider for one connection. It is also the address of its metadata."""
    return str(settings.BASE_URL).rstrip("/") + reverse("web:saml_metadata", args=[name])


def acs(name: str) -> str:
    """Return the address that takes the answers of one connection's identity provider."""
    return str(settings.BASE_URL).rstrip("/") + reverse("web:saml_answer", args=[name])


def has_domain(tenant_id: UUID | None, name: str) -> bool:
    """Return whether the tenant has verified this domain, or, without a tenant, whether the operator has set it."""
    if tenant_id is None:
        return name in settings.SSO_DOMAINS
    return bool(Domain.objects.filter(tenant=tenant_id, name=name, verified_at__isnull=False).exists())


def proof_connection(person: Person) -> SignOn | None:
    """Return the connection where this person can prove who they are for an act, or None.

    Such a proof counts for all acts of the person, so it counts only for a person who belongs to this one tenant.
    """
    if person.side != Person.Side.CUSTOMER:
        return None
    tenants = set(person.memberships.values_list("tenant", flat=True))
    rows = SignOn.objects.filter(tenant__in=tenants, is_on=True, is_proof=True, protocol=SignOn.Protocol.SAML)
    row: SignOn | None = rows.first() if len(tenants) == 1 else None
    if row is None or not Identity.objects.filter(person=person, issuer=row.identity_issuer).exists():
        return None
    return row


def is_proof_of(person: Person, tenant_id: UUID | None, *, issuer: str, subject: str) -> bool:
    """Return whether this new sign-in proves that the person who is signed in is still there."""
    row = proof_connection(person)
    if row is None or row.tenant_id != tenant_id or row.identity_issuer != issuer:
        return False
    return Identity.objects.filter(tenant=tenant_id, issuer=issuer, subject=subject, person=person).exists()


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
    if has_provider_connection() and domain in settings.SSO_DOMAINS:
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
        return PROVIDER if has_provider_connection() and domain in settings.SSO_DOMAINS else ""
    found = Domain.objects.filter(
        name=domain, verified_at__isnull=False, tenant=row.tenant_id, tenant__sign_on__is_on=True
    )
    return str(row.tenant_id) if found.exists() else ""


def of_tenant(tenant: Tenant) -> SignOn | None:
    found: SignOn | None = SignOn.objects.filter(tenant=tenant).select_related("break_glass").first()
    return found


def saml_facts(row: SignOn | None) -> dict[str, Any]:
    """Return what the page and the API show of a SAML connection: both parties' keys, never a private one."""
    if row is None or not row.is_saml:
        return {"pinned": None, "own_keys": []}
    try:
        own_keys = service.unpacked(sealing.opened(row.sealed_keys))
    except sealing.Unreadable:
        own_keys = []
    pinned = sign_on_metadata.pinned_of(row)
    return {"pinned": pinned, "own_keys": [fingerprint(each.certificate) for each in own_keys]}


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
