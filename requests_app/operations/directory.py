"""Adds, changes and removes a tenant's people as the tenant's own directory says, over SCIM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.members import (
    CHANGE_PROVISIONED,
    PERSON_CHANGED,
    PERSON_CREATED,
    PROVISION_MEMBER,
    PROVISION_ROLE,
    REMOVE_PROVISIONED,
)
from requests_app.domain.errors import NotFound, Unacceptable, WrongState
from requests_app.models import DirectoryRecord, Membership, Person, Tenant
from requests_app.operations._change import Step
from requests_app.operations._directory import (
    Drop,
    Profile,
    Still,
    Wanted,
    checked,
    differences,
    former,
    keep,
    require_as_read,
    require_free,
    require_free_address,
    set_names,
    unwritten,
)
from requests_app.operations._people import (
    DECIDING,
    described,
    give,
    key,
    memberships_of,
    new_person,
    switch_off,
    switch_on,
    take,
)
from requests_app.operations._perform import perform
from requests_app.operations._subjects import tenant as found_tenant


def provision_member(tenant_id: object, *, profile: Profile, actor: Actor, drop: Drop = None) -> Person:
    """Add a person from the directory, without a password. The person signs in with the tenant's single sign-on.

    If the directory deleted a person and now adds one with the same user name, the former account is used again, with
    the roles that are sent now. Its credentials end, and `drop` deletes those of the sign-in library.
    """
    roles = profile.roles or frozenset({Membership.Role.MEMBER.value})
    wanted: list[Wanted] = []

    def check(_current: Step) -> None:
        wanted.append(checked(replace(profile, roles=roles)))

    with perform(PROVISION_MEMBER, tenant_id, actor=actor, check=check) as current:
        current.keep = drop
        tenant, [found] = current.row, wanted
        records = DirectoryRecord.objects.filter(tenant=tenant)
        if (record := former(records, found.user_name)) is not None:
            _set(current, tenant, record.person, record, found)
            return record.person
        _require_free(tenant, found)
        require_free_address(found.email)
        person = new_person(
            email=found.email,
            name=found.name,
            side=Person.Side.CUSTOMER,
            time_zone=tenant.time_zone,
            password=None,
        )
        person.created_at = current.at
        person.save(force_insert=True)
        keep(current, unwritten(person, tenant), found)
        current.witness(PERSON_CREATED, detail={**described(person), "how": "directory"}, text=person.name)
        _give_and_take(current, tenant, person, roles)
        if not found.is_active:
            switch_off(current, person, memberships_of(person))
    return person


def change_provisioned(
    tenant_id: object,
    person_id: object,
    *,
    profile: Profile,
    actor: Actor,
    still: Still | None = None,
    drop: Drop = None,
) -> Person:
    """Change one of the tenant's people to match the directory. A field that stays the same is not recorded.

    With a new address, the credentials end, and `drop` deletes those of the sign-in library. `still` is called under
    the locks. It raises an error if the person has changed since the directory read them.
    """
    found: list[tuple[Person, DirectoryRecord | None]] = []

    def find(current: Step, row_id: object) -> Tenant:
        found.append(_found(person_id, actor))
        return found_tenant(current, row_id)

    def state(current: Step) -> None:
        require_as_read(still)
        # The functions that change a role or the account require their own proof.
        current.require_proof(needed=False)

    with perform(CHANGE_PROVISIONED, tenant_id, actor=actor, find=find, state=state) as current:
        current.keep = drop
        [(person, record)] = found
        current.subject_type, current.subject_id = "person", str(person.pk)
        _set(current, current.row, person, record, checked(profile, person, record))
    return person


def provision_role(
    tenant_id: object,
    *,
    role: str,
    to: frozenset[UUID] = frozenset(),
    away_from: frozenset[UUID] = frozenset(),
    actor: Actor,
    still: Still | None = None,
) -> None:
    """Give a role to some of the tenant's people and take it from others, to match a group of the directory.

    The role is given first and taken afterwards, so that one person can hand it over to another. Either all changes are
    made, or none. People who have left the tenant are ignored, because they have no role that could be taken. A person
    whose role stays the same is not recorded.
    """
    people: dict[UUID, Person] = {}

    def find(current: Step, row_id: object) -> Tenant:
        people.update({person.pk: person for person in _present(to | away_from, actor)})
        return found_tenant(current, row_id)

    def check(current: Step) -> None:
        if not to <= people.keys():
            raise Unacceptable(_("One of these people does not belong to the tenant."), field="members")
        # Each role that is given or taken requires its own proof. If none is, no proof is needed.
        current.require_proof(needed=False)

    with perform(
        PROVISION_ROLE,
        tenant_id,
        actor=actor,
        find=find,
        state=lambda current: require_as_read(still),
        check=check,
    ) as current:
        tenant = current.row
        held = {row.person_id: row for row in tenant.memberships.filter(role=role, person__in=people)}
        for pk in sorted(to - held.keys()):
            current.subject_type, current.subject_id = "person", str(pk)
            give(current, tenant, people[pk], role)
        for pk in sorted((away_from - to) & held.keys()):
            current.subject_type, current.subject_id = "person", str(pk)
            _take_or_leave_member(current, tenant, people[pk], held[pk])


def remove_provisioned(tenant_id: object, person_id: object, *, actor: Actor, still: Still | None = None) -> None:
    """Remove a person whom the directory deleted.

    Switch off the account, which also ends its tokens, access requests and windows. Hide it from the directory.
    """
    found: list[tuple[Person, DirectoryRecord | None]] = []

    def find(current: Step, row_id: object) -> Tenant:
        found.append(_found(person_id, actor))
        return found_tenant(current, row_id)

    def state(current: Step) -> None:
        require_as_read(still)
        # The function that switches the account off requires its own proof.
        current.require_proof(needed=False)

    with perform(REMOVE_PROVISIONED, tenant_id, actor=actor, find=find, state=state) as current:
        tenant, [(person, record)] = current.row, found
        current.subject_type, current.subject_id = "person", str(person.pk)
        if person.is_active:
            switch_off(current, person, memberships_of(person))
        else:
            detail = {**described(person), "changed": ["removed"]}
            current.witness(PERSON_CHANGED, detail=detail, text=person.name)
        record = record or unwritten(person, tenant)
        record.removed_at = record.changed_at = current.at
        record.save()


# --- Helpers -------------------------------------------------------------------------------------------


def _present(wanted: frozenset[UUID], actor: Actor) -> list[Person]:
    """Return those of the wanted people who belong to the tenant and whom the directory can see.

    They are locked in one fixed order, before the tenant is locked.
    """
    held = Membership.objects.filter(tenant__in=sorted(actor.tenant_ids)).values("person")
    people = Person.objects.get_queryset().humans().filter(pk__in=wanted).filter(pk__in=held)
    people = people.exclude(pk__in=DirectoryRecord.objects.exclude(removed_at=None).values("person"))
    return list(people.order_by("pk").select_for_update(no_key=True))


def _take_or_leave_member(current: Step, tenant: Tenant, person: Person, membership: Membership) -> None:
    """Take a role away. If the person would have no role left, first give them the role "member".

    Raise WrongState if "member" itself is the last role.
    """
    if not person.memberships.exclude(pk=membership.pk).exists():
        if membership.role == Membership.Role.MEMBER:
            words = _("This is the last role of %(name)s. Switch the account off instead.")
            raise WrongState(words % {"name": person.name})
        give(current, tenant, person, Membership.Role.MEMBER)
    take(current, tenant, person, membership)


def _found(person_id: object, actor: Actor) -> tuple[Person, DirectoryRecord | None]:
    """Lock one of the tenant's people and return them.

    As in all acts on people, this comes before the lock on the tenant.
    """
    people = Person.objects.get_queryset().humans().select_for_update(no_key=True)
    held = Membership.objects.filter(tenant__in=sorted(actor.tenant_ids)).values("person")
    person = people.filter(pk=key(person_id), pk__in=held).first()
    record = DirectoryRecord.objects.filter(person=person).first() if person else None
    if person is None or (record is not None and record.removed_at is not None):
        raise NotFound
    return person, record


def _set(current: Step, tenant: Tenant, person: Person, record: DirectoryRecord | None, wanted: Wanted) -> None:
    record = record or unwritten(person, tenant)
    is_back = record.removed_at is not None
    _require_free(tenant, wanted, but=person)
    changed = differences(person, record, wanted)
    if "email" in changed:
        _change_address(person, wanted)
    if changed or is_back:
        was = {"email_before": person.email} if "email" in changed else {}
        set_names(current, person, record, wanted, is_new_address="email" in changed)
    if changed:
        detail = {**described(person), **was, "changed": changed}
        current.witness(PERSON_CHANGED, detail=detail, text=person.name)
    if wanted.roles is not None:
        _give_and_take(current, tenant, person, wanted.roles)
    if wanted.is_active and not person.is_active:
        switch_on(current, person, memberships_of(person))
    elif person.is_active and not wanted.is_active:
        switch_off(current, person, memberships_of(person))


def _change_address(person: Person, wanted: Wanted) -> None:
    """Change the address of a person. Raise Taken if another account has the new address.

    Raise Unacceptable if the person is an approver or an administrator. A directory may not change their address,
    because links to reset the password are sent to it.
    """
    if person.memberships.filter(role__in=DECIDING).exists():
        words = _(
            "%(name)s is an approver or administrator of the tenant, so a directory can’t change the "
            "address of this person."
        )
        raise Unacceptable(words % {"name": person.name}, field="emails")
    require_free_address(wanted.email, but=person)


def _give_and_take(current: Step, tenant: Tenant, person: Person, roles: Iterable[str]) -> None:
    """Give the missing roles first, and then take the roles that are no longer wanted.

    So nobody is without a role in between, and the tenant always has an approver.
    """
    held = {membership.role: membership for membership in memberships_of(person)}
    wanted = set(roles) or {Membership.Role.MEMBER.value}
    for role in sorted(wanted - held.keys()):
        give(current, tenant, person, role)
    for role in sorted(held.keys() - wanted):
        take(current, tenant, person, held[role])


def _require_free(tenant: Tenant, wanted: Wanted, *, but: Person | None = None) -> None:
    """Raise Taken unless the user name and the directory's key are unique in this tenant.

    Other tenants do not matter.
    """
    records = DirectoryRecord.objects.filter(tenant=tenant).present().exclude(person=but)
    people = Person.objects.get_queryset().filter(memberships__tenant=tenant, directory=None)
    require_free(wanted, records=records, others=people.exclude(pk=but.pk) if but else people)
