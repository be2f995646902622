"""People and their roles: a tenant's members by its administrator, the provider's people by staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.installation import (
    ADD_PERSON,
    GIVE_QUEUE_ROLE,
    GIVE_QUEUE_ROLE_ANNOUNCED,
    MAKE_STAFF,
    MAKE_STAFF_ANNOUNCED,
    TAKE_QUEUE_ROLE,
)
from requests_app.domain.acts.members import (
    GIVE_ROLE,
    SWITCH_OFF_PERSON,
    SWITCH_ON_PERSON,
    SWITCH_ON_PROVIDER,
    TAKE_ROLE,
)
from requests_app.domain.acts.own_account import SET_PASSWORD
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.events import Event
from requests_app.messages.topics import Topic
from requests_app.models import (
    AccessRequest,
    Membership,
    Person,
    QueueAssignment,
    Service,
    StaffTerm,
    Tenant,
    Token,
)
from requests_app.operations._announced import Said, announce, announced, is_announced
from requests_app.operations._change import PROVIDER_LOG, Step, act, lock_access
from requests_app.operations._ending import end_access
from requests_app.operations._humans import join_verified, others_of_mailbox
from requests_app.operations._own import own_act
from requests_app.operations._people import (
    ADMINISTRATOR,
    DECIDING,
    administered,
    described,
    give,
    key,
    memberships_of,
    new_person,
    require_first,
    require_not_last,
    require_password,
    switch_off,
    switch_on,
    take,
)
from requests_app.operations._second import controlled, hold
from requests_app.platform import hashing


def add_person(
    *,
    actor: Actor,
    email: str,
    name: str,
    password: str,
    time_zone: str = "UTC",
    is_staff: bool = False,
) -> Person:
    """Staff add an account of the provider's; it may do nothing until it is given a role.

    Its first password opens nothing but a mail: the sign-in sends a link, through which its holder sets their own.

    A customer's people come by invitation (`invite_person`): nobody else ever knew their password.
    """
    with act(ADD_PERSON, actor=actor) as current:
        policy.require_staff(current.actor)
        person = new_person(email=email, name=name, side=Person.Side.PROVIDER, time_zone=time_zone, password=password)
        current.concerns("person", person, PROVIDER_LOG)
        if is_staff:
            policy.require_step_up(current.actor, current.at)
            if is_announced(MAKE_STAFF_ANNOUNCED, _named(person)):
                words = _(
                    "Add the account first. Then choose “Make staff” on its page: that is announced to customers."
                )
                raise Unacceptable(words, field="is_staff")
        person.is_staff, person.created_at = is_staff, current.at
        person.save(force_insert=True)
        if is_staff:
            StaffTerm.begin(person, at=current.at)
        current.witness(Event.PERSON_CREATED, detail=described(person), text=person.name)
    return person


def make_staff(person_id: object, *, actor: Actor) -> Person:
    """Make one of the provider's people staff. Once a customer has had Lockbox on, this is announced first."""
    with act(MAKE_STAFF, actor=actor) as current:
        policy.require_staff(current.actor)
        person = _of_provider(person_id)
        current.concerns("person", person, PROVIDER_LOG)
        if person.is_staff:
            raise WrongState(_("%(name)s is staff already.") % {"name": person.name})
        policy.require_step_up(current.actor, current.at)
        announce(current, MAKE_STAFF_ANNOUNCED, _named(person))
        _make_staff(current, person)
    return person


def _make_staff(current: Step, person: Person) -> None:
    person.is_staff = True
    person.save(update_fields=["is_staff"])
    StaffTerm.begin(person, at=current.at)
    current.witness(Event.ROLE_GIVEN, detail={**described(person), "role": str(Role.STAFF)}, text=person.name)


def _of_provider(person_id: object) -> Person:
    """One of the provider's people who is switched on, locked."""
    people = Person.objects.active().humans().select_for_update(no_key=True)
    person = people.filter(pk=key(person_id), side=Person.Side.PROVIDER).first()
    if person is None:
        raise NotFound
    return person


def _named(person: Person) -> Said:
    return {"person": str(person.pk), "name": person.name}


def _lock_named(said: Said) -> None:
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=said["person"]))


@announced(MAKE_STAFF_ANNOUNCED, lock=_lock_named)
def _make_staff_agreed(current: Step, said: Said) -> None:
    person = _of_provider(said["person"])
    if person.is_staff:
        raise WrongState(_("%(name)s is staff already.") % {"name": person.name})
    current.subject_type, current.subject_id = "person", str(person.pk)
    _make_staff(current, person)


def give_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> Membership:
    """Give a role in a tenant: its administrator does, or staff as long as the tenant has nobody in that role.

    Staff can set up a new tenant's first people. From then on who decides there is the customer's choice alone.
    """
    with act(GIVE_ROLE, actor=actor) as current:
        tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
        current.concerns("tenant", tenant, tenant.pk)
        if current.actor.is_staff:
            require_first(tenant, role)
            people = Person.objects.active().humans()
            person = people.filter(pk=key(person_id), side=Person.Side.CUSTOMER).first()
        else:
            policy.require_role(current.actor, ADMINISTRATOR, tenant_id=tenant.pk)
            people = Person.objects.active().humans()
            person = people.filter(pk=key(person_id), memberships__tenant=tenant).first()
        if person is None:
            raise NotFound
        if role in DECIDING:
            hold(current, tenant, person=str(person.pk), name=person.name, role=role)
        return give(current, tenant, person, role)


@controlled(GIVE_ROLE)
def _give_confirmed(current: Step, tenant: Tenant, said: dict[str, Any]) -> None:
    person = Person.objects.active().humans().filter(pk=key(said["person"]), memberships__tenant=tenant).first()
    if person is None:
        raise NotFound
    give(current, tenant, person, said["role"])


def take_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Take a role away. A tenant keeps its last approver and its last administrator, and a person their last role.

    Whoever held none would be a stranger, whom nobody could bring back; switching the account off is the way out.
    """
    with act(TAKE_ROLE, actor=actor) as current:
        tenant = administered(tenant_id, current)
        membership = _takeable(tenant, person_id, role)
        if role in DECIDING:
            hold(current, tenant, person=str(membership.person_id), name=membership.person.name, role=role)
        take(current, tenant, membership.person, membership)


@controlled(TAKE_ROLE)
def _take_confirmed(current: Step, tenant: Tenant, said: dict[str, Any]) -> None:
    membership = _takeable(tenant, said["person"], said["role"])
    take(current, tenant, membership.person, membership)


def _takeable(tenant: Tenant, person_id: object, role: str) -> Membership:
    membership = Membership.objects.filter(tenant=tenant, person=key(person_id), role=role).first()
    if membership is None:
        raise NotFound
    require_not_last(tenant, membership)
    person = membership.person
    if not person.memberships.exclude(pk=membership.pk).exists():
        words = _("This is the last role of %(name)s. Switch the account off instead.")
        raise WrongState(words % {"name": person.name})
    return membership


def give_queue_role(service_id: object, person_id: object, *, role: str, actor: Actor) -> QueueAssignment:
    """Staff put one of the provider's people into a service's queue. Once a customer has had Lockbox on, this is
    announced first."""
    with act(GIVE_QUEUE_ROLE, actor=actor) as current:
        policy.require_staff(current.actor)
        service = Service.objects.visible_to(current.actor).find(service_id)
        person = _of_provider(person_id)
        current.concerns("person", person, PROVIDER_LOG)
        if role not in QueueAssignment.Role.values:
            raise Unacceptable(_("There is no such role."), field="role")
        _require_not_in_queue(service, person, role)
        if role == QueueAssignment.Role.PROVIDER_APPROVER:
            policy.require_step_up(current.actor, current.at)
        said = {**_named(person), "role": role, "service": str(service.pk), "service_name": service.name}
        announce(current, GIVE_QUEUE_ROLE_ANNOUNCED, said)
        return _give_queue_role(current, service, person, role)


def _require_not_in_queue(service: Service, person: Person, role: str) -> None:
    if QueueAssignment.objects.filter(service=service, person=person, role=role).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})


def _give_queue_role(current: Step, service: Service, person: Person, role: str) -> QueueAssignment:
    row = QueueAssignment.objects.create(service=service, person=person, role=role, given_at=current.at)
    detail = {**described(person), "role": role, "service": service.key}
    current.witness(Event.ROLE_GIVEN, detail=detail, text=person.name)
    return row


@announced(GIVE_QUEUE_ROLE_ANNOUNCED, lock=_lock_named)
def _give_queue_role_agreed(current: Step, said: Said) -> None:
    service, person = Service.objects.get(pk=said["service"]), _of_provider(said["person"])
    _require_not_in_queue(service, person, said["role"])
    current.subject_type, current.subject_id = "person", str(person.pk)
    _give_queue_role(current, service, person, said["role"])


def take_queue_role(service_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Staff take one of the provider's people out of a queue; an engineer's access there ends with it."""
    with act(TAKE_QUEUE_ROLE, actor=actor) as current:
        policy.require_staff(current.actor)
        service = Service.objects.visible_to(current.actor).find(service_id)
        row = QueueAssignment.objects.filter(service=service, person=key(person_id), role=role).first()
        if row is None:
            raise NotFound
        person = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=row.person_id)
        theirs = AccessRequest.objects.filter(requested_by=person, service=service)
        lock_access(theirs)
        current.concerns("person", person, PROVIDER_LOG)
        if role == QueueAssignment.Role.PROVIDER_APPROVER:
            policy.require_step_up(current.actor, current.at)
        row.delete()
        detail = {**described(person), "role": role, "service": service.key}
        current.witness(Event.ROLE_TAKEN, detail=detail, text=person.name)
        if role == QueueAssignment.Role.ENGINEER:
            end_access(current, theirs, cause="role-taken")


def switch_off_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account off: at once it can do nothing, its tokens are revoked, and what it had asked for or been
    given ends.

    A tenant's administrator may switch off people of the tenant; staff anybody but the last who decide for a tenant.
    """
    with act(SWITCH_OFF_PERSON, actor=actor) as current:
        person = _managed(person_id, current)
        if not person.is_active:
            raise WrongState(_("%(name)s is switched off already.") % {"name": person.name})
        held = memberships_of(person)
        for membership in held:
            require_not_last(membership.tenant, membership)
        _hold_if_deciding(current, person, held)
        switch_off(current, person, held)
    return person


def _lock_account(said: dict[str, Any]) -> None:
    """As `_managed` locks it, before its tenant."""
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=key(said["person"])))
    lock_access(AccessRequest.objects.filter(requested_by=key(said["person"])))


@controlled(SWITCH_OFF_PERSON, lock=_lock_account)
def _off_confirmed(current: Step, tenant: Tenant, said: dict[str, Any]) -> None:
    person = _account_of(tenant, said, is_active=True)
    switch_off(current, person, memberships_of(person))


@controlled(SWITCH_ON_PERSON, lock=_lock_account)
def _on_confirmed(current: Step, tenant: Tenant, said: dict[str, Any]) -> None:
    person = _account_of(tenant, said, is_active=False)
    switch_on(current, person, memberships_of(person))


def _account_of(tenant: Tenant, said: dict[str, Any], *, is_active: bool) -> Person:
    people = Person.objects.get_queryset().humans().filter(pk=key(said["person"]), memberships__tenant=tenant)
    person = people.first()
    if person is None:
        raise NotFound
    if person.is_active != is_active:
        raise WrongState(_("This was done already."))
    return person


def _hold_if_deciding(current: Step, person: Person, held: list[Membership]) -> None:
    for membership in held:
        if membership.role in DECIDING:
            hold(current, membership.tenant, person=str(person.pk), name=person.name)


def switch_on_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account on again. Staff cannot where that would make an approver of somebody the customer let go.

    One of the provider's people who would be staff, an engineer or an approver again is announced first.
    """
    with act(SWITCH_ON_PERSON, actor=actor) as current:
        person = _managed(person_id, current)
        if person.is_active:
            raise WrongState(_("%(name)s is switched on already.") % {"name": person.name})
        if current.actor.is_staff and person.memberships.filter(role__in=DECIDING).exists():
            raise NotAllowed(_("Only the customer's own administrator can do this."))
        held = memberships_of(person)
        _hold_if_deciding(current, person, held)
        if person.is_staff or person.queue_assignments.exists():
            announce(current, SWITCH_ON_PROVIDER, _named(person))
        switch_on(current, person, held)
    return person


@announced(SWITCH_ON_PROVIDER, lock=_lock_named)
def _on_agreed(current: Step, said: Said) -> None:
    person = Person.objects.get_queryset().humans().get(pk=said["person"])
    if person.is_active:
        raise WrongState(_("This was done already."))
    current.subject_type, current.subject_id = "person", str(person.pk)
    switch_on(current, person, memberships_of(person))


def set_password(*, actor: Actor, password: str, how: str) -> Person:
    """Set one's own new password: `how` is "change", with the one before, or "reset", through a link sent by mail.

    It is what a decision asks for. So it is in the log of each tenant that the person belongs to, or in the provider's,
    or nothing is changed; and its holder is told, in case it was somebody else.
    """
    others = _newly_known(actor) if how == "reset" else []
    with hashing.ahead(password), own_act(SET_PASSWORD, actor=actor, humans=others) as own:
        person = own.person
        if person.signs_in_elsewhere():
            raise NotAllowed
        if how == "change":
            # Through a link there is no session; the link itself is the proof.
            policy.require_step_up(own.act.actor, own.act.at)
        require_password(password, person)
        person.set_password(password)
        person.save(update_fields=["password"])
        if how == "reset":
            # Whoever had learned the password may have made tokens with it.
            live = Token.objects.filter(account=person).personal().live(own.act.at)
            live.update(revoked_at=own.act.at, revoked_by=person)
            if person.email_verified_at is None:
                person.email_verified_at = own.act.at
                person.save(update_fields=["email_verified_at"])
                join_verified(own.act, person)
        own.witness(Event.PERSON_PASSWORD_CHANGED, detail={"how": how})
        own.tell_holder(Topic.PASSWORD_CHANGED, how=how)
    return person


def _newly_known(actor: Actor) -> list[UUID]:
    """Who else has the mailbox of an address that the link proves for the first time."""
    person = Person.objects.get_queryset().filter(pk=actor.person, email_verified_at=None).first()
    return others_of_mailbox(person.email, but=person.pk) if person else []


def set_preferences(*, actor: Actor, time_zone: str | None = None, theme: str | None = None) -> Person:
    """A person's own time zone and theme; no entry, for no decision rests on them (ADR 0021)."""
    person = Person.objects.get(pk=actor.person)
    if time_zone is not None:
        if time_zone not in available_timezones():
            raise Unacceptable(_("There is no such time zone."), field="time_zone")
        person.time_zone = time_zone
    if theme is not None:
        if theme not in Person.Theme.values:
            raise Unacceptable(_("There is no such theme."), field="theme")
        person.theme = theme
    person.save(update_fields=["time_zone", "theme"])
    return person


def _managed(person_id: object, current: Step) -> Person:
    """The person, if the actor is staff or the administrator of the tenant that the person belongs to."""
    actor = current.actor
    # The account of a client is no person: it ends with its client, and stays ended.
    people = Person.objects.get_queryset().humans().select_for_update(no_key=True)
    person = people.filter(pk=key(person_id)).first()
    if person is None or not (actor.is_staff or actor.tenant_ids):
        raise NotFound
    membership = person.memberships.select_related("tenant").first()
    if not actor.is_staff and (membership is None or membership.tenant_id not in actor.tenant_ids):
        raise NotFound
    # Locked as take_role() locks it: two such acts at once must not each leave the other's as the last.
    list(Tenant.objects.filter(memberships__person=person).order_by("pk").locked())
    lock_access(AccessRequest.objects.filter(requested_by=person))
    current.concerns("person", person, membership.tenant_id if membership else PROVIDER_LOG)
    if not actor.is_staff:
        policy.require_role(actor, ADMINISTRATOR, tenant_id=current.tenant_id or PROVIDER_LOG)
    return person
