"""Manages a tenant's single sign-on: its connection, its domains, and the sign-ins through it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import ACCOUNTS_LINKED
from requests_app.domain.acts.single_sign_on import (
    CLAIM_DOMAIN,
    DOMAIN_CLAIMED,
    DOMAIN_REMOVED,
    DOMAIN_VERIFIED,
    IDENTITY_LINKED,
    NOTE_BYPASS,
    REMOVE_DOMAIN,
    SET_SIGN_ON,
    SIGN_IN,
    SIGN_ON_BYPASSED,
    SIGN_ON_CHANGED,
    VERIFY_DOMAIN,
)
from requests_app.domain.errors import NotAllowed, Taken, TooMany, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.ids import as_id
from requests_app.identity.sso import domains, sealing
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import metadata, service
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.messages.topics import Topic
from requests_app.models import DirectoryRecord, Domain, Identity, Membership, Person, SignOn, Tenant
from requests_app.operations._change import Step, act
from requests_app.operations._humans import join_verified, lock_humans, logs_of, merge, others_of_mailbox, witness_in
from requests_app.operations._people import (
    ADMINISTRATOR,
    DECIDING,
    described,
    give,
    require_not_last,
    take,
)
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._sign_on import described_connection, gets_in_alone, open_connection, proven_address, tell
from requests_app.platform.outbound import BadTarget, Target
from requests_app.queries.single_sign_on import entity_id

MOST_DOMAINS, MOST_GROUPS = 50, 100


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A tenant's settings for its identity provider. If `client_secret` is empty, the stored secret is used.

    With SAML, `metadata` or the document at `metadata_url` names the issuer and its keys. If both are empty, the stored
    ones are used.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    protocol: str = SignOn.Protocol.OIDC
    metadata: str = ""
    metadata_url: str = ""
    email_claim: str = ""
    is_proof: bool = False
    scopes: str = "openid profile email"
    groups_claim: str = ""
    key_claim: str = "sub"
    role_map: Mapping[str, str]
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
    more = {name: terms[name] for name in ("protocol", "metadata_url", "email_claim", "is_proof") if name in terms}
    connection = Connection(**{name: terms[name] for name in names}, **more, break_glass_id=break_glass_id)
    # The keys that the second person has confirmed, and not those that are at the address by now.
    pinned = terms.get("_identity_provider")
    _fill(row, connection, tenant, IdentityProvider.of_stored(terms["issuer"], pinned) if pinned else None)
    _save_connection(current, tenant, row, was, has_secret=bool(terms["_sealed"]))


def _save_connection(current: Step, tenant: Tenant, row: SignOn, was: dict[str, Any], *, has_secret: bool) -> None:
    row.changed_at = current.at
    if row.is_saml:
        row.metadata_checked_at, row.metadata_problem = current.at, ""
        if not row.sealed_keys:
            key = ServiceKey.new("customer-lockbox", at=current.at)
            row.sealed_keys = sealing.seal(service.packed([key]))
    row.save()
    now = described_connection(row)
    changed = [name for name, value in now.items() if value != was.get(name)]
    changed += ["client_secret"] if has_secret else []
    current.witness(SIGN_ON_CHANGED, detail={**now, "changed": changed}, text=row.issuer)
    tell(current, Topic.SIGN_ON_CHANGED, tenant, tenant.pk)


def claim_domain(tenant_id: object, *, name: str, actor: Actor) -> Domain:
    """Claim a domain for the tenant. The claim counts only after the domain's web server has shown the challenge."""
    terms = {"domain": name.strip().lower().rstrip(".") if isinstance(name, str) else ""}

    def check(current: Step) -> None:
        if not domains.is_name(terms["domain"]):
            raise Unacceptable(_("Enter a domain, such as example.com."), field="name")
        _require_new_domain(current.row, terms["domain"])

    with perform(
        CLAIM_DOMAIN,
        tenant_id,
        actor=actor,
        state=lambda current: _require_domain_room(current.row),
        check=check,
        holds=lambda current: terms,
    ) as current:
        return _claim_domain(current, current.row, terms)


@controlled(CLAIM_DOMAIN)
def _claim_domain(current: Step, tenant: Tenant, terms: dict[str, Any]) -> Domain:
    name = terms["domain"]
    _require_new_domain(tenant, name)
    _require_domain_room(tenant)
    row = Domain(tenant=tenant, name=name, challenge=f"customer-lockbox={secrets.token_urlsafe(24)}")
    row.claimed_at = current.at
    row.save(force_insert=True)
    current.witness(DOMAIN_CLAIMED, detail={"domain": name}, text=name)
    return row


def _require_new_domain(tenant: Tenant, name: str) -> None:
    if tenant.domains.filter(name=name).exists():
        raise Unacceptable(_("This domain is in the list already."), field="name")


def _require_domain_room(tenant: Tenant) -> None:
    if tenant.domains.count() >= MOST_DOMAINS:
        raise TooMany(_("There can be at most %(max)d domains.") % {"max": MOST_DOMAINS})


def verify_domain(domain_id: object, *, actor: Actor) -> Domain:
    """Check whether the domain's web server shows the challenge. If it does not, raise WrongState with the reason."""
    # Checked before the act begins: the check takes some time, and the act holds its turn at the log.
    seen: Domain = Domain.objects.visible_to(actor).find(domain_id)
    # For all other people, this server sends no request. The act below refuses them, and records that.
    is_theirs = bool(ADMINISTRATOR & actor.roles_on(tenant_id=seen.tenant_id, service_id=None))
    peer = str(seen.tenant_id)
    problem = domains.problem(seen.name, seen.challenge, peer=peer) if is_theirs else "unreachable"

    def state(current: Step) -> None:
        if current.row.verified_at is not None:
            raise WrongState(_("This domain is verified already."))

    def check(current: Step) -> None:
        if problem:
            raise WrongState(_PROBLEMS[problem]() % {"url": domains.url(current.row.name)})

    with perform(VERIFY_DOMAIN, domain_id, actor=actor, state=state, check=check) as current:
        row: Domain = current.row
        row.verified_at = current.at
        try:
            with transaction.atomic():
                row.save(update_fields=["verified_at"])
        except IntegrityError:
            # This code can't see domains of other tenants, but the database's constraint covers them.
            raise Taken(
                _("Another organisation has already verified this domain. If the domain is yours, ask the provider.")
            ) from None
        current.witness(DOMAIN_VERIFIED, detail={"domain": row.name}, text=row.name)
    return row


def remove_domain(domain_id: object, *, actor: Actor) -> None:
    """Remove a domain. People who were linked because of it stay linked, but nobody else is linked because of it."""
    with perform(REMOVE_DOMAIN, domain_id, actor=actor) as current:
        row: Domain = current.row
        current.witness(DOMAIN_REMOVED, detail={"domain": row.name}, text=row.name)
        row.delete()


_PROBLEMS = {
    "unreachable": lambda: _("%(url)s does not answer. Check that your web server can be reached, then check again."),
    "status": lambda: _("%(url)s answers, but does not send the file. Put the file there, then check again."),
    "content": lambda: _(
        "The file at %(url)s does not contain the line that proves that the domain is yours. Add the line, then check "
        "again."
    ),
}


# --- Sign-in ----------------------------------------------------------------------------------------------


def sign_in(tenant_id: UUID | None, *, came: AssertedIdentity, actor: Actor) -> Person:
    """Return the person with this issuer and subject. At the first sign-in, link this identity to an account.

    The account is found by the directory's key or by its address. The address counts only if the issuer has
    verified it and the tenant has verified its domain. No account is made here: if none is found, raise
    NotAllowed. The person's roles follow their groups.
    """
    if not actor.is_system:
        raise NotAllowed
    with act(SIGN_IN, actor=actor) as current:
        open_connection(tenant_id, came)
        known = Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, subject=came.subject).first()
        found = known.person_id if known else _theirs(tenant_id, came)
        person = _locked_person(tenant_id, found)
        locked = _humans(tenant_id, person, came) if known is None else set()
        if locked:
            lock_humans(*locked)
        tenant: Tenant | None = Tenant.objects.locked().find(tenant_id) if tenant_id else None
        current.concerns("person", person, tenant_id or PROVIDER_LOG)
        # Everything is read again: until the turn was taken, others could change who may sign in, and which accounts
        # are one human.
        sign_on, person = open_connection(tenant_id, came), _locked_person(tenant_id, person.pk)
        if known is None and not _humans(tenant_id, person, came) <= locked:
            raise WrongState(_("Your linked accounts have just changed. Sign in again."))
        other = _also(person, came) if known is None else None
        is_proof = known is None and _proves_address(tenant_id, person, came)
        if known is None:
            _link(current, tenant, person, came)
        if other is not None:
            _make_one(current, person, other, came)
        if is_proof:
            person.email_verified_at = current.at
            person.save(update_fields=["email_verified_at"])
            join_verified(current, person)
        if sign_on is not None and tenant is not None and came.groups is not None and sign_on.role_map:
            _follow(current, tenant, person, sign_on, came.groups)
    return person


def preview(tenant_id: UUID | None, *, came: AssertedIdentity) -> tuple[Person | None, list[str]]:
    """Return the person whom sign_in() would find, and the roles that their groups would give. Change nothing.

    Use it to test a connection.
    """
    sign_on = SignOn.objects.filter(tenant=tenant_id).first() if tenant_id else None
    known = Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, subject=came.subject).first()
    found = known.person_id if known else _theirs(tenant_id, came)
    role_map = sign_on.role_map if sign_on else {}
    roles = sorted({role_map[group] for group in came.groups or () if group in role_map})
    try:
        return _locked_person(tenant_id, found), roles
    except NotAllowed:
        return None, roles


def note_bypass(*, actor: Actor) -> None:
    """Record a sign-in without single sign-on, and send a mail to the tenant's approvers and administrators.

    If this fails, the person must not be signed in.
    """
    with act(NOTE_BYPASS, actor=actor) as current:
        person = Person.objects.get_queryset().get(pk=current.actor.person)
        row = SignOn.objects.filter(break_glass=person, is_only=True).select_related("tenant").first()
        if row is None:
            raise NotAllowed
        current.concerns("person", person, row.tenant_id)
        current.witness(SIGN_ON_BYPASSED, detail=described(person), text=person.name)
        tell(current, Topic.SIGN_ON_BYPASSED, row.tenant, person.pk)


# --- Helpers -------------------------------------------------------------------------------------------


def _theirs(tenant_id: UUID | None, came: AssertedIdentity) -> UUID | None:
    """Return the id of the account to link when a person signs in for the first time.

    Return None if no account fits.
    """
    if tenant_id is not None and came.directory_key:
        records = DirectoryRecord.objects.filter(tenant=tenant_id, external_id=came.directory_key).present()
        if (record := records.first()) is not None:
            return UUID(str(record.person_id))
    email = proven_address(tenant_id, came)
    person = Person.objects.active().humans().filter(email=email).first() if email else None
    if person is None or Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, person=person).exists():
        # A person who is already linked has another subject. So this subject is somebody else with the same address.
        return None
    return UUID(str(person.pk))


def _locked_person(tenant_id: UUID | None, person_id: UUID | None) -> Person:
    """Return the person. Raise NotAllowed if the account is switched off, or belongs to another side or tenant."""
    people = Person.objects.active().humans()
    people = people.filter(pk=person_id) if person_id else people.none()
    if tenant_id is None:
        people = people.filter(side=Person.Side.PROVIDER)
    else:
        people = people.filter(memberships__in=Membership.objects.filter(tenant=tenant_id))
    person = people.distinct().first()
    if person is None:
        raise NotAllowed(
            _(
                "No account in Customer Lockbox belongs to this account of the identity provider. "
                "Ask your administrator to add you."
            )
        )
    return person


def _also(person: Person, came: AssertedIdentity) -> Person | None:
    """Return another account with the same subject that does not count as the same human yet, or None.

    Only an issuer whose address TLS has proved says something about accounts outside its tenant.
    """
    if not came.has_proven_issuer:
        return None
    rows = Identity.objects.filter(issuer=came.issuer, subject=came.subject).select_related("person")
    row = rows.exclude(person__human_id=person.human_id).first()
    return row.person if row else None


def _humans(tenant_id: UUID | None, person: Person, came: AssertedIdentity) -> set[UUID]:
    """Return the humans whom the first sign-in will merge into one. The caller locks them before the merge.

    The person's own human is among them. The set is empty if there is nothing to merge.
    """
    other = _also(person, came)
    others = {other.human_id} if other else set()
    if _proves_address(tenant_id, person, came):
        others |= set(others_of_mailbox(person.email, but=person.pk))
    return {person.human_id, *others} if others else set()


def _proves_address(tenant_id: UUID | None, person: Person, came: AssertedIdentity) -> bool:
    """Return whether this sign-in proves the person's address for the first time.

    Only an address that a directory has set can still be unverified here. A tenant's directory and identity provider
    can name another organisation's address. If that counted, the person would become one human with its owner.
    """
    return person.email_verified_at is None and proven_address(tenant_id, came) == person.email


def _link(current: Step, tenant: Tenant | None, person: Person, came: AssertedIdentity) -> None:
    Identity.objects.create(
        tenant=tenant, issuer=came.issuer, subject=came.subject, person=person, linked_at=current.at
    )
    detail = {**described(person), "issuer": came.issuer, "subject": came.subject}
    if came.authenticated_at:
        detail |= {"context": came.context, "authenticated_at": came.authenticated_at}
    current.witness(IDENTITY_LINKED, detail=detail, text=person.name)


def _make_one(current: Step, person: Person, other: Person, came: AssertedIdentity) -> None:
    """Make one human of two accounts. A human counts once, no matter how many accounts they have (threat 2)."""
    detail = {"person": str(person.pk), "email": person.email, "because": "same_identity", "issuer": came.issuer}
    detail |= {"human": str(other.human_id), "human_before": str(person.human_id)}
    logs = logs_of(person.human_id, other.human_id)
    witness_in(current, ACCOUNTS_LINKED, logs, detail=detail, text=person.name)
    merge(current, other.human_id, person.human_id)
    person.human_id = other.human_id


def _follow(current: Step, tenant: Tenant, person: Person, sign_on: SignOn, groups: Iterable[str]) -> None:
    """Give and take roles, so that the person has the roles that their groups name.

    Roles that no group gives are left alone: only administrators change them. The last approver and the last
    administrator keep their role. A person who would have no role left becomes a member.
    """
    # Under two-person control, groups do not give or take the roles that decide.
    role_map = {group: role for group, role in sign_on.role_map.items() if not (tenant.needs_two and role in DECIDING)}
    wanted = {role_map[group] for group in groups if group in role_map}
    held = {row.role: row for row in person.memberships.filter(tenant=tenant)}
    for role in sorted(wanted - held.keys()):
        give(current, tenant, person, role)
    gone = sorted((set(role_map.values()) & held.keys()) - wanted)
    if gone and not wanted and set(gone) == set(held):
        if Membership.Role.MEMBER in gone:
            gone.remove(Membership.Role.MEMBER)
        else:
            give(current, tenant, person, Membership.Role.MEMBER)
    for role in gone:
        if not _has_to_stay(tenant, held[role]):
            take(current, tenant, person, held[role])


def _has_to_stay(tenant: Tenant, membership: Membership) -> bool:
    try:
        require_not_last(tenant, membership)
    except WrongState:
        return True
    return False


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
        if connection.metadata_url:
            return service.fetched(connection.metadata_url, private=private, peer=str(tenant.pk), at=at)
        return metadata.read(connection.metadata.encode(), at=at) if connection.metadata.strip() else None
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
    _fill_switches(row, connection, tenant)


def _fill_saml(
    row: SignOn, connection: Connection, tenant: Tenant, given: IdentityProvider | SignOnFailed | None
) -> None:
    field = "metadata_url" if connection.metadata_url else "metadata"
    if isinstance(given, SignOnFailed):
        raise Unacceptable(_metadata_words(given.code), field=field)
    if connection.metadata_url and connection.metadata.strip():
        raise Unacceptable(_("Enter the metadata or its address, not both."), field="metadata")
    if given is None and not (row.is_saml and row.identity_provider):
        raise Unacceptable(_("Enter the identity provider’s metadata, or its address."), field="metadata")
    if given is not None:
        if not settings.SSO_PRIVATE_NETWORK and not given.sso_url.startswith("https://"):
            raise Unacceptable(_("The identity provider’s sign-in address must begin with https://."), field=field)
        row.issuer, row.identity_provider = given.entity_id, given.stored()
    row.protocol, row.client_id = SignOn.Protocol.SAML, entity_id(str(tenant.pk))
    row.sealed = row.scopes = ""
    row.metadata_url = _line(connection.metadata_url, "metadata_url", at_most=300)
    row.key_claim = _line(connection.key_claim, "key_claim", at_most=80)
    row.email_claim = _line(connection.email_claim, "email_claim", at_most=80)
    row.is_proof = connection.is_proof


def _metadata_words(code: str) -> str:
    return {
        "unreachable": _(
            "The metadata can’t be read at this address. It must begin with https://, be public, and answer without a "
            "redirect."
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
