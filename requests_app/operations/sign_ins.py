"""Signs people in through single sign-on: finds the account of an identity, and lets its roles follow the groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import ACCOUNTS_LINKED
from requests_app.domain.acts.single_sign_on import (
    IDENTITY_LINKED,
    NOTE_BYPASS,
    SIGN_IN,
    SIGN_ON_BYPASSED,
)
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.messages.topics import Topic
from requests_app.models import DirectoryRecord, Identity, Membership, Person, SignOn, Tenant
from requests_app.operations._change import Step, act
from requests_app.operations._humans import join_verified, lock_humans, logs_of, merge, others_of_mailbox, witness_in
from requests_app.operations._newcomers import admit, role_of_newcomer
from requests_app.operations._people import (
    DECIDING,
    described,
    give,
    require_not_last,
    take,
)
from requests_app.operations._sign_on import open_connection, proven_address, tell


def sign_in(tenant_id: UUID | None, *, came: AssertedIdentity, actor: Actor) -> Person:
    """Return the person with this issuer and subject. At the first sign-in, link this identity to an account.

    The account is found by the directory's key or by its address. The address counts only if the issuer has
    verified it and the tenant has verified its domain. If no account is found, one is made if the tenant allows this;
    otherwise, raise NotAllowed. The person's roles follow their groups.
    """
    if not actor.is_system:
        raise NotAllowed
    with act(SIGN_IN, actor=actor) as current:
        open_connection(tenant_id, came)
        known = Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, subject=came.subject).first()
        found = known.person_id if known else _theirs(tenant_id, came)
        if found is None and tenant_id is not None and role_of_newcomer(tenant_id, came):
            home, newcomer = admit(current, tenant_id, came)
            _link(current, home, newcomer, came)
            _follow_groups(current, home, newcomer, open_connection(tenant_id, came), came)
            return newcomer
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
        if tenant is not None:
            _follow_groups(current, tenant, person, sign_on, came)
    return person


@dataclass(frozen=True)
class Preview:
    """What a sign-in would do: whom it would find, the roles of the groups, and the role that a new account gets."""

    person: Person | None
    roles: list[str]
    newcomer_role: str = ""


def preview(tenant_id: UUID | None, *, came: AssertedIdentity) -> Preview:
    """Return what sign_in() would do. Change nothing. Use it to test a connection."""
    sign_on = SignOn.objects.filter(tenant=tenant_id).first() if tenant_id else None
    known = Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, subject=came.subject).first()
    found = known.person_id if known else _theirs(tenant_id, came)
    role_map = sign_on.role_map if sign_on else {}
    roles = sorted({role_map[group] for group in came.groups or () if group in role_map})
    if found is None:
        return Preview(None, roles, role_of_newcomer(tenant_id, came))
    try:
        return Preview(_locked_person(tenant_id, found), roles)
    except NotAllowed:
        return Preview(None, roles)


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


def _follow_groups(
    current: Step, tenant: Tenant, person: Person, sign_on: SignOn | None, came: AssertedIdentity
) -> None:
    if sign_on is not None and came.groups is not None and sign_on.role_map:
        _follow(current, tenant, person, sign_on, came.groups)


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
