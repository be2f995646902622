"""Adds, changes and removes the provider's people as the provider's own directory says, over SCIM.

A directory gives no power by itself: it makes nobody staff, and can't change to whom an account with power belongs.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.members import PERSON_CHANGED, PERSON_CREATED
from requests_app.domain.acts.provider_directory import (
    CHANGE_PROVIDER_PERSON,
    PROVISION_PROVIDER_PERSON,
    REMOVE_PROVIDER_PERSON,
)
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable
from requests_app.identity.sso import domains
from requests_app.models import AccessRequest, DirectoryRecord, GroupMember, GroupRole, Person, Tenant
from requests_app.operations import _group_roles as group_roles
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._directory import (
    Drop,
    Profile,
    Still,
    Wanted,
    checked,
    differences,
    folded,
    former,
    keep,
    require_as_read,
    require_client,
    require_free,
    require_free_address,
    set_names,
    unwritten,
)
from requests_app.operations._people import (
    described,
    key,
    new_person,
    require_other_staff,
    switch_off,
    switch_on,
    take_from_queue,
)
from requests_app.operations._perform import perform
from requests_app.queries.single_sign_on import has_provider_connection


def provision_provider_person(*, profile: Profile, actor: Actor, drop: Drop = None) -> Person:
    """Add one of the provider's people from the directory, without a password and without a role.

    If the directory deleted a person and now adds one with the same user name, the former account is used again.
    Its credentials end, and `drop` deletes those of the sign-in library.
    """
    wanted: list[Wanted] = []

    def find(current: Step, _row_id: object) -> Person:
        record = _former(profile.user_name or "")
        # The row of a new person is not saved before the act is judged.
        [person] = group_roles.lock_people([record.person_id]) if record else [Person()]
        current.concerns("person", person, PROVIDER_LOG)
        return person

    def check(current: Step) -> None:
        wanted.append(_checked(current, profile))

    with perform(PROVISION_PROVIDER_PERSON, actor=actor, find=find, may=require_client, check=check) as current:
        current.keep = drop
        [found] = wanted
        record = _former(found.user_name)
        if record is not None and record.person_id == current.row.pk:
            _set(current, current.row, record, found)
            return record.person
        person = _added(current, found)
        if not found.is_active:
            switch_off(current, person, [])
    return person


def change_provider_person(
    person_id: object, *, profile: Profile, actor: Actor, still: Still | None = None, drop: Drop = None
) -> Person:
    """Change one of the provider's people to match the directory. A field that stays the same is not recorded.

    With a new address, the credentials end, and `drop` deletes those of the sign-in library. `still` is called under
    the locks. It raises an error if the person has changed since the directory read them.
    """
    with perform(
        CHANGE_PROVIDER_PERSON,
        person_id,
        actor=actor,
        find=_found,
        may=require_client,
        state=lambda current: _require_as_read(current, still),
    ) as current:
        current.keep = drop
        person: Person = current.row
        record = DirectoryRecord.objects.filter(person=person).first()
        _set(current, person, record or unwritten(person), _checked(current, profile, person, record))
    return person


def remove_provider_person(person_id: object, *, actor: Actor, still: Still | None = None) -> None:
    """Remove one of the provider's people whom the directory deleted.

    Switch off the account, end the roles that came through groups, and hide the person from the directory.
    """
    with perform(
        REMOVE_PROVIDER_PERSON,
        person_id,
        actor=actor,
        find=_found,
        may=require_client,
        state=lambda current: _require_as_read(current, still),
    ) as current:
        person: Person = current.row
        if person.is_active:
            _switch_off(current, person)
        else:
            detail = {**described(person), "changed": ["removed"]}
            current.witness(PERSON_CHANGED, detail=detail, text=person.name)
        _leave_groups(current, person)
        record = DirectoryRecord.objects.filter(person=person).first() or unwritten(person)
        record.removed_at = record.changed_at = current.at
        record.save()


# --- Helpers -------------------------------------------------------------------------------------------


def _former(user_name: str) -> DirectoryRecord | None:
    return former(DirectoryRecord.objects.filter(tenant=None), " ".join(user_name.split()))


def _found(current: Step, person_id: object) -> Person:
    people = group_roles.lock_people([key(person_id)])
    if not people or DirectoryRecord.objects.filter(person=people[0]).exclude(removed_at=None).exists():
        raise NotFound
    current.concerns("person", people[0], PROVIDER_LOG)
    return people[0]


def _require_as_read(current: Step, still: Still | None) -> None:
    require_as_read(still)
    # The functions that change a role or the account require their own proof.
    current.require_proof(needed=False)


def _checked(
    current: Step, profile: Profile, person: Person | None = None, record: DirectoryRecord | None = None
) -> Wanted:
    current.require_proof(needed=False)
    if profile.roles:
        words = _("The provider’s people get their roles through groups, so this attribute can’t be changed.")
        raise Unacceptable(words, field="roles")
    return checked(profile, person, record)


def _added(current: Step, wanted: Wanted) -> Person:
    _require_free(wanted)
    _require_way_in(wanted.email)
    require_free_address(wanted.email)
    person = new_person(
        email=wanted.email,
        name=wanted.name,
        side=Person.Side.PROVIDER,
        time_zone=settings.TIME_ZONE,
        password=None,
    )
    person.created_at = current.at
    person.save(force_insert=True)
    current.subject_type, current.subject_id = "person", str(person.pk)
    keep(current, unwritten(person), wanted)
    current.witness(PERSON_CREATED, detail={**described(person), "how": "directory"}, text=person.name)
    return person


def _set(current: Step, person: Person, record: DirectoryRecord, wanted: Wanted) -> None:
    is_back = record.removed_at is not None
    _require_free(wanted, but=person)
    changed = differences(person, record, wanted)
    _require_changeable(person, changed, at=current.at)
    if "email" in changed:
        _require_way_in(wanted.email)
        require_free_address(wanted.email, but=person)
    if "email" in changed or _has_other_user_name(record, wanted):
        # A membership that was given to one human is never inherited by another.
        _leave_groups(current, person)
    was = {"email_before": person.email} if "email" in changed else {}
    if changed or is_back:
        set_names(current, person, record, wanted, is_new_address="email" in changed)
    if changed:
        detail = {**described(person), **was, "changed": changed}
        current.witness(PERSON_CHANGED, detail=detail, text=person.name)
    if wanted.is_active and not person.is_active:
        _switch_on(current, person)
    elif person.is_active and not wanted.is_active:
        _switch_off(current, person)


def _has_other_user_name(record: DirectoryRecord, wanted: Wanted) -> bool:
    """Return whether the directory had given another user name. Then somebody else may use the account from now on."""
    # In a record that the directory has not written, the user name is only the address.
    return not record._state.adding and record.user_key != folded(wanted.user_name)


def _require_changeable(person: Person, changed: list[str], *, at: datetime) -> None:
    """Raise Unacceptable if the change would put somebody else behind an account with power.

    Links to reset the password go to the address. Customers know a person whose role waits by the name in the
    announcement. They also know by the name who has asked for access.
    """
    is_waiting = group_roles.has_waiting(person, at)
    if "email" in changed and (is_waiting or person.is_staff or person.queue_assignments.exists()):
        words = _(
            "%(name)s is a member of the staff, or has a role in a queue, or will get one. So a directory can’t change "
            "the address of this person."
        )
        raise Unacceptable(words % {"name": person.name}, field="emails")
    if "name" in changed and is_waiting:
        words = _("Customers got a mail that %(name)s gets a role. Change the name after the role has taken effect.")
        raise Unacceptable(words % {"name": person.name}, field="displayName")
    raised = AccessRequest.objects.not_ended().filter(requested_by=person)
    if "name" in changed and raised.exists():
        words = _(
            "An access request or a window of %(name)s has not ended, and the customer reads this name there. Change "
            "the name afterwards."
        )
        raise Unacceptable(words % {"name": person.name}, field="displayName")


def _switch_off(current: Step, person: Person) -> None:
    require_other_staff(person)
    group_roles.lapse_waiting(current, person)
    switch_off(current, person, [])


def _switch_on(current: Step, person: Person) -> None:
    """Switch the account on again. If customers must get notice of roles, it comes back without any.

    Roles through groups are announced again, under the rules for putting somebody into a group, and staff give the
    others again. Otherwise a directory could pass the waiting time by.
    """
    if person.is_staff:
        raise NotAllowed(_("Only a person can switch on the account of a member of the staff."))
    if Tenant.objects.ever_on().exists():
        for held in person.queue_assignments.select_related("person", "service").order_by("pk"):
            take_from_queue(current, held)
    switch_on(current, person, [])
    group_roles.offer_all(current, person)


def _leave_groups(current: Step, person: Person) -> None:
    """Take the person out of all groups. The roles that came through the groups end at once."""
    mappings = list(GroupRole.objects.filter(group__members__person=person).select_related("group", "service"))
    GroupMember.objects.filter(person=person).delete()
    for mapping in mappings:
        group_roles.retract(current, person, mapping)


def _require_free(wanted: Wanted, *, but: Person | None = None) -> None:
    records = DirectoryRecord.objects.filter(tenant=None).present().exclude(person=but)
    people = Person.objects.get_queryset().humans().filter(side=Person.Side.PROVIDER, directory=None)
    require_free(wanted, records=records, others=people.exclude(pk=but.pk) if but else people)


def _require_way_in(email: str) -> None:
    """Raise Unacceptable if the provider has single sign-on, and this address can't sign in there.

    Without single sign-on, the person asks for a password on the sign-in page, and gets a mail.
    """
    if has_provider_connection() and domains.of_address(email) not in settings.SSO_DOMAINS:
        words = _("Your organisation’s single sign-on does not have the domain of this address (SSO_DOMAINS).")
        raise Unacceptable(words, field="emails")
