"""Manages a tenant's connection to its identity provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import (
    SET_SIGN_ON,
    SIGN_ON_CHANGED,
)
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.identity.sso import sealing
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import metadata, service
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.messages.topics import Topic
from requests_app.models import Membership, Person, SignOn, Tenant
from requests_app.operations._change import Step
from requests_app.operations._people import (
    ADMINISTRATOR,
)
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._sign_on import described_connection, gets_in_alone, tell
from requests_app.platform.outbound import BadTarget, Target
from requests_app.queries.single_sign_on import entity_id

MOST_GROUPS = 100
#: Fields of a connection that a proposal names only if they matter.
_MORE_TERMS = ("protocol", "metadata_url", "metadata_signer", "email_claim", "is_proof", "newcomer_role")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A tenant's settings for its identity provider. If `client_secret` is empty, the stored secret is used.

    With SAML, `metadata` or the document at `metadata_url` names the issuer and its keys. If both are empty, the stored
    ones are used. With `metadata_signer`, a certificate, this certificate's key must have signed the metadata.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    protocol: str = SignOn.Protocol.OIDC
    metadata: str = ""
    metadata_url: str = ""
    metadata_signer: str = ""
    email_claim: str = ""
    is_proof: bool = False
    scopes: str = "openid profile email"
    groups_claim: str = ""
    key_claim: str = "sub"
    role_map: Mapping[str, str]
    #: The role of people of verified domains who come without an account, or "" if they can't sign in.
    newcomer_role: str = ""
    is_on: bool = False
    is_only: bool = False
    break_glass_id: UUID | None = None


# --- The connection ------------------------------------------------------------------------------------


def set_sign_on(tenant_id: object, *, connection: Connection, was: datetime | None, actor: Actor) -> SignOn:
    """Set the identity provider at which a tenant's people sign in.

    From then on, this identity provider can sign in as anybody of the tenant. So this needs a human with a fresh proof,
    and all approvers and administrators of the tenant get a mail.

    `was` is the `changed_at` of the connection that the human has read, or None if there was no connection. If two
    people change the connection at the same time, the second change is refused, so that the second person does not
    overwrite the first change without seeing it.
    """
    row, before = SignOn(), dict[str, Any]()
    given = _given_metadata(tenant_id, connection, actor)

    def state(current: Step) -> None:
        nonlocal row
        # The tenant is locked, so nobody else can change the connection from here on.
        row = SignOn.objects.filter(tenant=current.row).first() or SignOn(tenant=current.row)
        if row.changed_at != was:
            raise WrongState(_("Somebody else has just changed single sign-on. Read the settings again first."))
        before.update(described_connection(row))

    def sealed() -> str:
        return row.sealed if connection.client_secret else ""

    with perform(
        SET_SIGN_ON,
        tenant_id,
        actor=actor,
        state=state,
        check=lambda current: _fill(row, connection, current.row, given),
        holds=lambda current: {
            **described_connection(row),
            "_sealed": sealed(),
            **({"_identity_provider": row.identity_provider} if row.is_saml else {}),
        },
    ) as current:
        _save_connection(current, current.row, row, before, has_secret=bool(sealed()))
    return row


@controlled(SET_SIGN_ON)
def _sign_on_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    row = SignOn.objects.filter(tenant=tenant).first() or SignOn(tenant=tenant)
    was = described_connection(row)
    row.sealed = terms["_sealed"] or row.sealed
    names = ("issuer", "client_id", "scopes", "groups_claim", "key_claim", "role_map", "is_on", "is_only")
    break_glass_id = UUID(terms["break_glass_id"]) if terms["break_glass_id"] else None
    more = {name: terms[name] for name in _MORE_TERMS if name in terms}
    connection = Connection(**{name: terms[name] for name in names}, **more, break_glass_id=break_glass_id)
    # The keys that the second person has confirmed, and not those that are at the address by now.
    pinned = terms.get("_identity_provider")
    _fill(row, connection, tenant, IdentityProvider.of_stored(terms["issuer"], pinned) if pinned else None)
    _save_connection(current, tenant, row, was, has_secret=bool(terms["_sealed"]))


def _save_connection(current: Step, tenant: Tenant, row: SignOn, was: dict[str, Any], *, has_secret: bool) -> None:
    row.changed_at = current.at
    if row.is_saml:
        row.metadata_checked_at, row.metadata_problem, row.metadata_failing_since = current.at, "", None
        if not row.sealed_keys:
            key = ServiceKey.new("customer-lockbox", at=current.at)
            row.sealed_keys = sealing.seal(service.packed([key]))
    row.save()
    now = described_connection(row)
    changed = [name for name in {**now, **was} if now.get(name) != was.get(name)]
    changed += ["client_secret"] if has_secret else []
    current.witness(SIGN_ON_CHANGED, detail={**now, "changed": changed}, text=row.issuer)
    tell(current, Topic.SIGN_ON_CHANGED, tenant, tenant.pk)


def _line(value: str, field: str, *, at_least: int = 0, at_most: int) -> str:
    return " ".join(limits.require_text(value, field=field, at_least=at_least, at_most=at_most).split())


def _given_metadata(tenant_id: object, connection: Connection, actor: Actor) -> IdentityProvider | SignOnFailed | None:
    """Read the metadata before the act begins: the act holds its turn at the log.

    For people who can't set the connection, this server sends no request. The act refuses them, and records that.
    """
    if connection.protocol != SignOn.Protocol.SAML:
        return None
    tenant = Tenant.objects.visible_to(actor).filter(pk=as_id(tenant_id)).first()
    if tenant is None or not ADMINISTRATOR & actor.roles_on(tenant_id=tenant.pk, service_id=None):
        return None
    at, private = clock.now(), settings.SSO_PRIVATE_NETWORK
    try:
        signer = metadata.certificate_of(connection.metadata_signer) if connection.metadata_signer.strip() else ""
        if connection.metadata_url:
            return service.fetched(connection.metadata_url, private=private, peer=str(tenant.pk), at=at, signer=signer)
        found = connection.metadata.strip()
        return metadata.read(found.encode(), at=at, signer=signer) if found else None
    except SignOnFailed as failure:
        return failure


def _fill(
    row: SignOn, connection: Connection, tenant: Tenant, given: IdentityProvider | SignOnFailed | None = None
) -> None:
    if connection.protocol == SignOn.Protocol.SAML:
        _fill_saml(row, connection, tenant, given)
    elif connection.protocol == SignOn.Protocol.OIDC:
        _fill_oidc(row, connection)
    else:
        raise Unacceptable(_("There is no such protocol."), field="protocol")
    row.groups_claim = _line(connection.groups_claim, "groups_claim", at_most=80)
    roles = {_line(group, "role_map", at_least=1, at_most=200): role for group, role in connection.role_map.items()}
    if len(roles) > MOST_GROUPS or not set(roles.values()) <= set(Membership.Role.values):
        raise Unacceptable(_("There is no such role."), field="role_map")
    row.role_map = roles
    if connection.newcomer_role and connection.newcomer_role not in SignOn.NewcomerRole.values:
        raise Unacceptable(_("A first sign-in can’t give this role."), field="newcomer_role")
    row.newcomer_role = connection.newcomer_role
    _fill_switches(row, connection, tenant)


def _fill_saml(
    row: SignOn, connection: Connection, tenant: Tenant, given: IdentityProvider | SignOnFailed | None
) -> None:
    field = "metadata_url" if connection.metadata_url else "metadata"
    if isinstance(given, SignOnFailed):
        is_signer = given.code in ("signer", "unsigned")
        raise Unacceptable(_metadata_words(given.code), field="metadata_signer" if is_signer else field)
    if connection.metadata_url and connection.metadata.strip():
        raise Unacceptable(_("Enter the metadata or its address, not both."), field="metadata")
    if given is None and not (row.is_saml and row.identity_provider):
        raise Unacceptable(_("Enter the identity provider’s metadata, or its address."), field="metadata")
    signer = metadata.certificate_of(connection.metadata_signer) if connection.metadata_signer.strip() else ""
    if signer and given is None and signer != row.metadata_signer:
        raise Unacceptable(_("Enter the metadata again, so that its signature can be checked."), field="metadata")
    if given is not None:
        if not settings.SSO_PRIVATE_NETWORK and not given.sso_url.startswith("https://"):
            raise Unacceptable(_("The identity provider’s sign-in address must begin with https://."), field=field)
        row.issuer, row.identity_provider = given.entity_id, given.stored()
    row.protocol, row.client_id = SignOn.Protocol.SAML, entity_id(str(tenant.pk))
    row.sealed = row.scopes = ""
    row.metadata_url, row.metadata_signer = _line(connection.metadata_url, "metadata_url", at_most=300), signer
    row.key_claim = _line(connection.key_claim, "key_claim", at_most=80)
    row.email_claim = _line(connection.email_claim, "email_claim", at_most=80)
    row.is_proof = connection.is_proof


def _metadata_words(code: str) -> str:
    return {
        "unreachable": _(
            "The metadata can’t be read at this address. It must begin with https://, be public, and answer without a "
            "redirect."
        ),
        "signer": _(
            "This is not a certificate with an RSA key of at least 2048 bits, or with an elliptic-curve key (NIST)."
        ),
        "unsigned": _(
            "The key of this certificate has not signed the metadata. The signature must be a part of the metadata, "
            "and must use SHA-256 or better."
        ),
        "stale": _("This metadata has expired (validUntil). Get the present metadata from your identity provider."),
    }.get(
        code,
        _(
            "This is not the metadata of one SAML 2.0 identity provider with a sign-in address (HTTP-Redirect) and a "
            "signing certificate of at least 2048 bits (RSA)."
        ),
    )


def _fill_oidc(row: SignOn, connection: Connection) -> None:
    line = _line
    if row.is_saml:
        row.sealed = ""
    row.protocol, row.identity_provider, row.metadata_url = SignOn.Protocol.OIDC, None, ""
    row.metadata_signer = ""
    row.email_claim, row.is_proof, row.sealed_keys, row.metadata_problem = "", False, "", ""
    if connection.is_proof:
        raise Unacceptable(_("Only SAML can count as a proof of identity."), field="is_proof")
    row.issuer = line(connection.issuer, "issuer", at_least=1, at_most=300)
    try:
        Target.parse(row.issuer, private=settings.SSO_PRIVATE_NETWORK)
    except BadTarget as error:
        words = _("This server can’t use this address. It must begin with https:// and be public.")
        raise Unacceptable(words, field="issuer") from error
    row.client_id = line(connection.client_id, "client_id", at_least=1, at_most=254)
    if connection.client_secret:
        row.sealed = sealing.seal(line(connection.client_secret, "client_secret", at_least=1, at_most=500))
    if not row.sealed:
        raise Unacceptable(_("Enter the secret."), field="client_secret")
    row.scopes = line(connection.scopes, "scopes", at_least=1, at_most=200)
    if "openid" not in row.scopes.split(" "):
        raise Unacceptable(_("The scopes must include “openid”."), field="scopes")
    row.key_claim = line(connection.key_claim, "key_claim", at_least=1, at_most=80)


def _fill_switches(row: SignOn, connection: Connection, tenant: Tenant) -> None:
    row.is_on, row.is_only = connection.is_on, connection.is_only
    row.break_glass = _break_glass(connection.break_glass_id, tenant)
    if row.is_only and not row.is_on:
        raise Unacceptable(_("Single sign-on is off, so it can’t be the only way to sign in."), field="is_only")
    if row.is_only and row.break_glass is None:
        raise Unacceptable(
            _("Choose who can sign in while the identity provider does not answer."), field="break_glass"
        )


def _break_glass(person_id: UUID | None, tenant: Tenant) -> Person | None:
    if person_id is None:
        return None
    held = {"memberships__tenant": tenant, "memberships__role": Membership.Role.ADMINISTRATOR}
    person = Person.objects.active().humans().filter(pk=person_id, **held).first()
    if person is None:
        raise Unacceptable(_("Choose an administrator of this tenant."), field="break_glass")
    if not gets_in_alone(person):
        words = _(
            "%(name)s has neither a password nor a passkey, and so can’t sign in without the identity provider."
        ) % {"name": person.name}
        raise Unacceptable(words, field="break_glass")
    return person
