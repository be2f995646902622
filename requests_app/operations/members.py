"""Manages people and their roles: those of a tenant, for its administrator, and those of the provider, for staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import (
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
from requests_app.domain.acts.own_account import PERSON_PASSWORD_CHANGED, SET_PASSWORD
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.messages.topics import Topic
from requests_app.models import (
    AccessRequest,
    Membership,
    Person,
    QueueAssignment,
    Service,
    Tenant,
    Token,
)
from requests_app.operations import _group_roles as group_roles
from requests_app.operations._announced import Terms, announced, require_proven
from requests_app.operations._change import PROVIDER_LOG, Step, lock_access
from requests_app.operations._humans import join_verified, others_of_mailbox
from requests_app.operations._own import own_act
from requests_app.operations._people import (
    DECIDING,
    assign_to_queue,
    begin_staff,
    give,
    key,
    memberships_of,
    require_first,
    require_not_last,
    require_other_staff,
    require_password,
    switch_off,
    switch_on,
    take,
    take_from_queue,
    time_zone_of,
)
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._subjects import log_for
from requests_app.platform import hashing


def make_staff(person_id: object, *, actor: Actor) -> Person:
    """Make one of the provider's people staff.

    If any customer has Lockbox on, or had it on before, this is an announced change (`_announced`).
    """

    def announces(current: Step) -> tuple[Change, Terms]:
        return MAKE_STAFF_ANNOUNCED, _named(current.row)

    with perform(
        MAKE_STAFF,
        person_id,
        actor=actor,
        find=_found_of_provider,
        state=lambda current: _require_not_staff(current.row),
        check=lambda current: require_proven(current.row),
        announces=announces,
    ) as current:
        person: Person = current.row
        begin_staff(current, person)
    return person


def _require_not_staff(person: Person) -> None:
    if person.is_staff:
        raise WrongState(_("%(name)s is staff already.") % {"name": person.name})


def _found_of_provider(current: Step, person_id: object) -> Person:
    person = _of_provider(person_id)
    current.concerns("person", person, PROVIDER_LOG)
    return person


def _of_provider(person_id: object) -> Person:
    """Lock one of the provider's people and return them. Raise NotFound if their account is switched off."""
    people = Person.objects.active().humans().select_for_update(no_key=True)
    person = people.filter(pk=key(person_id), side=Person.Side.PROVIDER).first()
    if person is None:
        raise NotFound
    return person


def _named(person: Person) -> Terms:
    return {"person": str(person.pk), "name": person.name}


def _lock_named(terms: Terms) -> None:
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=terms["person"]))


@announced(MAKE_STAFF_ANNOUNCED, lock=_lock_named)
def _make_staff_agreed(current: Step, terms: Terms) -> None:
    person = _of_provider(terms["person"])
    _require_not_staff(person)
    require_proven(person)
    current.subject_type, current.subject_id = "person", str(person.pk)
    begin_staff(current, person)


def give_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> Membership:
    """Give a role in a tenant. The tenant's administrator can do this, or staff while nobody in the tenant can.

    Staff can set up the first people of a new tenant. After that, only the customer chooses who decides for it.
    """

    def may(current: Step) -> None:
        if current.actor.is_staff:
            require_first(current.row, role)

    def someone(current: Step) -> Person:
        people = Person.objects.active().humans().filter(pk=key(person_id))
        theirs = {"side": Person.Side.CUSTOMER} if current.actor.is_staff else {"memberships__tenant": current.row}
        person = people.filter(**theirs).first()
        if person is None:
            raise NotFound
        return person

    def holds(current: Step) -> dict[str, Any] | None:
        if role not in DECIDING:
            return None
        person = someone(current)
        return {"person": str(person.pk), "name": person.name, "role": role}

    with perform(GIVE_ROLE, tenant_id, actor=actor, may=may, check=someone, holds=holds) as current:
        return give(current, current.row, someone(current), role)


@controlled(GIVE_ROLE)
def _give_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    person = Person.objects.active().humans().filter(pk=key(terms["person"]), memberships__tenant=tenant).first()
    if person is None:
        raise NotFound
    give(current, tenant, person, terms["role"])


def take_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Take a role away, but not a tenant's last approver or administrator, and not a person's last role.

    A person without any role would belong to no tenant, so nobody could give them a role again. To remove a person,
    switch their account off.
    """

    def membership(current: Step) -> Membership:
        return _takeable(current.row, person_id, role)

    def holds(current: Step) -> dict[str, Any] | None:
        if role not in DECIDING:
            return None
        taken = membership(current)
        return {"person": str(taken.person_id), "name": taken.person.name, "role": role}

    with perform(TAKE_ROLE, tenant_id, actor=actor, state=membership, holds=holds) as current:
        taken = membership(current)
        take(current, current.row, taken.person, taken)


@controlled(TAKE_ROLE)
def _take_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    membership = _takeable(tenant, terms["person"], terms["role"])
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
    """Give one of the provider's people a role in the queue of a service.

    If any customer has Lockbox on, or had it on before, this is an announced change (`_announced`).
    """
    service = Service()

    def find(current: Step, row_id: object) -> Person:
        nonlocal service
        service = Service.objects.visible_to(current.actor).find(service_id)
        return _found_of_provider(current, row_id)

    def check(current: Step) -> None:
        if role not in QueueAssignment.Role.values:
            raise Unacceptable(_("There is no such role."), field="role")
        _require_not_in_queue(service, current.row, role)
        if (coming := group_roles.waiting_for(current.row, service, role)) is not None:
            words = _("This role waits already: the group “%(group)s” gives it.")
            raise WrongState(words % {"group": coming.said["group"]})
        require_proven(current.row)
        current.require_proof(needed=role == QueueAssignment.Role.PROVIDER_APPROVER)

    def announces(current: Step) -> tuple[Change, Terms]:
        terms = {**_named(current.row), "role": role, "service": str(service.pk), "service_name": service.name}
        return GIVE_QUEUE_ROLE_ANNOUNCED, terms

    with perform(GIVE_QUEUE_ROLE, person_id, actor=actor, find=find, check=check, announces=announces) as current:
        return assign_to_queue(current, service, current.row, role)


def _require_not_in_queue(service: Service, person: Person, role: str) -> None:
    if _assigned(service, person, role).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})


def _assigned(service: Service, person: Person, role: str) -> QuerySet[QueueAssignment]:
    return QueueAssignment.objects.filter(service=service, person=person, role=role)


@announced(GIVE_QUEUE_ROLE_ANNOUNCED, lock=_lock_named)
def _give_queue_role_agreed(current: Step, terms: Terms) -> None:
    service, person = Service.objects.get(pk=terms["service"]), _of_provider(terms["person"])
    _require_not_in_queue(service, person, terms["role"])
    require_proven(person)
    current.subject_type, current.subject_id = "person", str(person.pk)
    assign_to_queue(current, service, person, terms["role"])


def take_queue_role(service_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Remove one of the provider's people from a queue.

    The access requests and windows of an engineer there end too.
    """

    service = Service()

    def find(current: Step, row_id: object) -> Person:
        nonlocal service
        service = Service.objects.visible_to(current.actor).find(service_id)
        people = Person.objects.get_queryset().select_for_update(no_key=True)
        person = people.filter(pk=key(row_id), side=Person.Side.PROVIDER).first()
        if person is None:
            raise NotFound
        lock_access(AccessRequest.objects.filter(requested_by=person, service=service))
        current.concerns("person", person, PROVIDER_LOG)
        return person

    def state(current: Step) -> None:
        # Checked after the role, because only staff may learn who works in a queue.
        if not _assigned(service, current.row, role).exists():
            raise NotFound
        current.require_proof(needed=role == QueueAssignment.Role.PROVIDER_APPROVER)

    with perform(TAKE_QUEUE_ROLE, person_id, actor=actor, find=find, state=state) as current:
        take_from_queue(current, _assigned(service, current.row, role).select_related("person", "service").get())


def switch_off_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account off.

    The account can do nothing any more: its tokens are revoked, its pending access requests are withdrawn, and its open
    windows close. A tenant's administrator can do this for the tenant's people. Staff can do it for everybody except a
    tenant's last deciders.
    """

    def state(current: Step) -> None:
        person = current.row
        if not person.is_active:
            raise WrongState(_("%(name)s is switched off already.") % {"name": person.name})
        for membership in memberships_of(person):
            require_not_last(membership.tenant, membership)
        if current.actor.machine is not None:
            require_other_staff(person)

    with perform(
        SWITCH_OFF_PERSON, person_id, actor=actor, find=_managed, state=state, holds=_held_if_deciding
    ) as current:
        person: Person = current.row
        if person.side == Person.Side.PROVIDER:
            group_roles.withdraw_waiting(current, person)
        switch_off(current, person, memberships_of(person))
    return person


def _lock_account(terms: dict[str, Any]) -> None:
    """Lock the person, and the access requests and grants that the act might end, as `_managed` does.

    Call this before the tenants are locked.
    """
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=key(terms["person"])))
    lock_access(AccessRequest.objects.filter(requested_by=key(terms["person"])))


@controlled(SWITCH_OFF_PERSON, lock=_lock_account)
def _off_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    person = _account_of(tenant, terms, is_active=True)
    switch_off(current, person, memberships_of(person))


@controlled(SWITCH_ON_PERSON, lock=_lock_account)
def _on_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    person = _account_of(tenant, terms, is_active=False)
    switch_on(current, person, memberships_of(person))


def _account_of(tenant: Tenant, terms: dict[str, Any], *, is_active: bool) -> Person:
    people = Person.objects.get_queryset().humans().filter(pk=key(terms["person"]), memberships__tenant=tenant)
    person = people.first()
    if person is None:
        raise NotFound
    if person.is_active != is_active:
        raise WrongState(
            _("This account is already switched on.")
            if person.is_active
            else _("This account is already switched off.")
        )
    return person


def _held_if_deciding(current: Step) -> dict[str, Any] | None:
    person = current.row
    if not person.memberships.filter(role__in=DECIDING).exists():
        return None
    return {"person": str(person.pk), "name": person.name}


def switch_on_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account on again. Staff can't do this for a customer's approver, administrator or deputy.

    Otherwise an approver whom the customer has removed could come back. For one of the provider's people who is staff
    or in a queue, the act is announced first.
    """

    def may(current: Step) -> None:
        if current.actor.is_staff and current.row.memberships.filter(role__in=DECIDING).exists():
            raise NotAllowed(_("Only the customer's own administrator can do this."))
        if current.actor.machine is not None and current.row.is_staff:
            raise NotAllowed(_("Only a person can switch on the account of a member of the staff."))

    def state(current: Step) -> None:
        if current.row.is_active:
            raise WrongState(_("%(name)s is switched on already.") % {"name": current.row.name})

    def announces(current: Step) -> tuple[Change, Terms] | None:
        person = current.row
        if person.is_staff or person.queue_assignments.exists():
            return SWITCH_ON_PROVIDER, _named(person)
        return None

    with perform(
        SWITCH_ON_PERSON,
        person_id,
        actor=actor,
        find=_managed,
        may=may,
        state=state,
        announces=announces,
        holds=_held_if_deciding,
    ) as current:
        person: Person = current.row
        switch_on(current, person, memberships_of(person))
    return person


@announced(SWITCH_ON_PROVIDER, lock=_lock_named)
def _on_agreed(current: Step, terms: Terms) -> None:
    person = Person.objects.get_queryset().humans().get(pk=terms["person"])
    if person.is_active:
        raise WrongState(_("This account is already switched on."))
    current.subject_type, current.subject_id = "person", str(person.pk)
    switch_on(current, person, memberships_of(person))


def set_password(*, actor: Actor, password: str, how: str) -> Person:
    """Set a new password for the actor. `how` is "change" with the old password, or "reset" through a link in a mail.

    Decisions depend on the password. So the log of each of the person's tenants, or else the provider's log, gets an
    entry about the change. If the entry can't be written, the password stays. The holder gets a mail, because another
    person might have done this.
    """
    others = _newly_known(actor) if how == "reset" else []

    def may(current: Step) -> None:
        if current.row.signs_in_elsewhere():
            raise NotAllowed

    def check(current: Step) -> None:
        # After a link in a mail there is no session. The link itself is the proof.
        current.require_proof(needed=how == "change")
        require_password(password, current.row)

    with (
        hashing.ahead(password),
        own_act(SET_PASSWORD, actor=actor, humans=others, may=may, check=check) as account,
    ):
        person = account.person
        person.set_password(password)
        person.save(update_fields=["password"])
        if how == "reset":
            # A person who knew the old password could have made tokens with it.
            live = Token.objects.filter(account=person).personal().live(account.act.at)
            live.update(revoked_at=account.act.at, revoked_by=person)
            if person.email_verified_at is None:
                person.email_verified_at = account.act.at
                person.save(update_fields=["email_verified_at"])
                join_verified(account.act, person)
        account.witness(PERSON_PASSWORD_CHANGED, detail={"how": how})
        account.tell_holder(Topic.PASSWORD_CHANGED, how=how)
    return person


def _newly_known(actor: Actor) -> list[UUID]:
    """Return the human ids of the other people who have the actor's mailbox.

    The list is empty if the actor's address was verified before.
    """
    person = Person.objects.get_queryset().filter(pk=actor.person, email_verified_at=None).first()
    return others_of_mailbox(person.email, but=person.pk) if person else []


def set_preferences(*, actor: Actor, time_zone: str | None = None, theme: str | None = None) -> Person:
    """Set the actor's own time zone and theme. No entry is written, because no decision depends on these (ADR 0021)."""
    person = Person.objects.get(pk=actor.person)
    if time_zone is not None:
        person.time_zone = time_zone_of(time_zone)
    if theme is not None:
        if theme not in Person.Theme.values:
            raise Unacceptable(_("There is no such theme."), field="theme")
        person.theme = theme
    person.save(update_fields=["time_zone", "theme"])
    return person


def _managed(current: Step, person_id: object) -> Person:
    """Lock the person and return them.

    Raise NotFound unless the actor is staff or belongs to one of the person's tenants.
    """
    actor = current.actor
    # The account of a client is not a person. It ends with its client, and can't be switched on again.
    people = Person.objects.get_queryset().humans().select_for_update(no_key=True)
    person = people.filter(pk=key(person_id)).first()
    if person is None or not (actor.is_staff or actor.tenant_ids):
        raise NotFound
    log = log_for(current, person)
    if not actor.is_staff and log not in actor.tenant_ids:
        raise NotFound
    # Locked in the same way as in take_role(). Otherwise two such acts at the same time could remove the last two
    # holders of a role.
    list(Tenant.objects.filter(memberships__person=person).order_by("pk").locked())
    lock_access(AccessRequest.objects.filter(requested_by=person))
    if person.side == Person.Side.PROVIDER:
        group_roles.lock_waiting([person.pk])
    current.concerns("person", person, log)
    return person
