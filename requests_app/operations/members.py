"""People and their roles: a tenant's members by its administrator, the provider's people by staff."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app import limits, policy
from requests_app.actors import Actor, Role
from requests_app.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.events import Event
from requests_app.models import AccessRequest, Membership, Person, QueueAssignment, Service, Tenant, Token
from requests_app.operations._change import PROVIDER_LOG, Act, act, lock_access
from requests_app.operations._ending import end_access
from requests_app.outbox.topics import Audience, Note, Topic

_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})


def add_person(
    *,
    actor: Actor,
    email: str,
    name: str,
    side: str,
    password: str,
    time_zone: str = "UTC",
    is_staff: bool = False,
) -> Person:
    """Staff add an account; it may do nothing until it is given a role."""
    with act("add_person", actor=actor) as current:
        policy.require_staff(current.actor)
        if side not in Person.Side.values or (is_staff and side != Person.Side.PROVIDER):
            raise Unacceptable(_("Choose a side; staff are on the provider's."), field="side")
        person = _new_person(email=email, name=name, side=side, time_zone=time_zone, password=password)
        current.concerns("person", person, PROVIDER_LOG)
        person.is_staff, person.created_at = is_staff, current.at
        person.save(force_insert=True)
        current.witness(Event.PERSON_CREATED, detail=_described(person), text=person.name)
    return person


def add_member(tenant_id: object, *, email: str, name: str, role: str, password: str, actor: Actor) -> Person:
    """A tenant's administrator adds an account for somebody of the tenant, with a first role."""
    with act("add_member", actor=actor) as current:
        tenant = _administered(tenant_id, current)
        zone = tenant.time_zone
        person = _new_person(email=email, name=name, side=Person.Side.CUSTOMER, time_zone=zone, password=password)
        person.created_at = current.at
        person.save(force_insert=True)
        current.witness(Event.PERSON_CREATED, detail=_described(person), text=person.name)
        _give(current, tenant, person, role)
    return person


def give_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> Membership:
    """Give a role in a tenant: its administrator does, or staff as long as the tenant has nobody in that role.

    Staff can set up a new tenant's first people. From then on who decides there is the customer's choice alone.
    """
    with act("give_role", actor=actor) as current:
        tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
        current.concerns("tenant", tenant, tenant.pk)
        if current.actor.is_staff:
            _require_first(tenant, role)
            people = Person.objects.active().humans()
            person = people.filter(pk=_key(person_id), side=Person.Side.CUSTOMER).first()
        else:
            policy.require_role(current.actor, _ADMINISTRATOR, tenant_id=tenant.pk)
            people = Person.objects.active().humans()
            person = people.filter(pk=_key(person_id), memberships__tenant=tenant).first()
        if person is None:
            raise NotFound
        return _give(current, tenant, person, role)


def take_role(tenant_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Take a role away. A tenant keeps its last approver and its last administrator, and a person their last role.

    Whoever held none would be a stranger, whom nobody could bring back; switching the account off is the way out.
    """
    with act("take_role", actor=actor) as current:
        tenant = _administered(tenant_id, current)
        membership = Membership.objects.filter(tenant=tenant, person=_key(person_id), role=role).first()
        if membership is None:
            raise NotFound
        _require_not_last(tenant, membership)
        person = membership.person
        if not person.memberships.exclude(pk=membership.pk).exists():
            words = _("This is the last role of %(name)s. Switch the account off instead.")
            raise WrongState(words % {"name": person.name})
        membership.delete()
        current.witness(Event.ROLE_TAKEN, detail={**_described(person), "role": role}, text=person.name)
        _tell_approvers(current, tenant, role, person, given=False)


def give_queue_role(service_id: object, person_id: object, *, role: str, actor: Actor) -> QueueAssignment:
    """Staff put one of the provider's people into a service's queue."""
    with act("give_queue_role", actor=actor) as current:
        policy.require_staff(current.actor)
        service = Service.objects.visible_to(current.actor).find(service_id)
        people = Person.objects.active().humans()
        person = people.filter(pk=_key(person_id), side=Person.Side.PROVIDER).first()
        if person is None:
            raise NotFound
        current.concerns("person", person, PROVIDER_LOG)
        if role not in QueueAssignment.Role.values:
            raise Unacceptable(_("There is no such role."), field="role")
        if QueueAssignment.objects.filter(service=service, person=person, role=role).exists():
            raise WrongState(_("%(name)s has this role already.") % {"name": person.name})
        row = QueueAssignment.objects.create(service=service, person=person, role=role, given_at=current.at)
        detail = {**_described(person), "role": role, "service": service.key}
        current.witness(Event.ROLE_GIVEN, detail=detail, text=person.name)
    return row


def take_queue_role(service_id: object, person_id: object, *, role: str, actor: Actor) -> None:
    """Staff take one of the provider's people out of a queue; an engineer's access there ends with it."""
    with act("take_queue_role", actor=actor) as current:
        policy.require_staff(current.actor)
        service = Service.objects.visible_to(current.actor).find(service_id)
        row = QueueAssignment.objects.filter(service=service, person=_key(person_id), role=role).first()
        if row is None:
            raise NotFound
        person = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=row.person_id)
        theirs = AccessRequest.objects.filter(requested_by=person, service=service)
        lock_access(theirs)
        current.concerns("person", person, PROVIDER_LOG)
        row.delete()
        detail = {**_described(person), "role": role, "service": service.key}
        current.witness(Event.ROLE_TAKEN, detail=detail, text=person.name)
        if role == QueueAssignment.Role.ENGINEER:
            end_access(current, theirs, cause="role-taken")


def switch_off_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account off: at once it can do nothing, its tokens are revoked, and what it had asked for or been
    given ends.

    A tenant's administrator may switch off people of the tenant; staff anybody but the last who decide for a tenant.
    """
    with act("switch_off_person", actor=actor) as current:
        person = _managed(person_id, current)
        if not person.is_active:
            raise WrongState(_("%(name)s is switched off already.") % {"name": person.name})
        memberships = list(person.memberships.select_related("tenant").order_by("pk"))
        for membership in memberships:
            _require_not_last(membership.tenant, membership)
        person.is_active = False
        person.save(update_fields=["is_active"])
        # For good: whoever has taken one must not wait for the day when the account is switched on again.
        Token.objects.filter(account=person).live(current.at).update(
            revoked_at=current.at, revoked_by=current.actor.person
        )
        current.witness(Event.PERSON_SWITCHED_OFF, detail=_described(person), text=person.name)
        for membership in memberships:
            _tell_approvers(current, membership.tenant, membership.role, person, given=False)
        end_access(current, AccessRequest.objects.filter(requested_by=person), cause="person-switched-off")
    return person


def switch_on_person(person_id: object, *, actor: Actor) -> Person:
    """Switch an account on again. Staff cannot: that would make an approver of somebody the customer let go."""
    with act("switch_on_person", actor=actor) as current:
        person = _managed(person_id, current)
        if person.is_active:
            raise WrongState(_("%(name)s is switched on already.") % {"name": person.name})
        if current.actor.is_staff and person.memberships.filter(role__in=[Role.APPROVER, Role.ADMINISTRATOR]).exists():
            raise NotAllowed(_("Only the customer's own administrator can do this."))
        person.is_active = True
        person.save(update_fields=["is_active"])
        current.witness(Event.PERSON_SWITCHED_ON, detail=_described(person), text=person.name)
        for membership in person.memberships.select_related("tenant"):
            _tell_approvers(current, membership.tenant, membership.role, person, given=True)
    return person


def set_password(*, actor: Actor, password: str, how: str) -> Person:
    """Set one's own new password: `how` is "change", with the one before, or "reset", through a link sent by mail.

    It is what a decision asks for. So it is in the log of each tenant that the person belongs to, or in the provider's,
    or nothing is changed; and its holder is told, in case it was somebody else.
    """
    with act("set_password", actor=actor) as current:
        person = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=current.actor.person)
        tenants = sorted(set(person.memberships.values_list("tenant_id", flat=True)))
        logs = tenants or [PROVIDER_LOG]
        # In the recorder's order: the others' turns are taken when their entries are written.
        current.concerns("person", person, logs[0])
        if not person.is_active:
            raise NotAllowed
        _require_password(password, person)
        person.set_password(password)
        person.save(update_fields=["password"])
        entry = current.entry(
            Event.PERSON_PASSWORD_CHANGED, detail={**_described(person), "how": how}, text=person.name
        )
        recorder.record([replace(entry, tenant_id=log) for log in logs], at=current.at)
        current.tell(
            Note(
                topic=Topic.PASSWORD_CHANGED,
                tenant_id=tenants[0] if tenants else None,
                about=person.pk,
                audiences=(Audience.ACCOUNT_HOLDER,),
                mark=uuid4().hex,
                extra={"how": how},
            )
        )
    return person


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


def _give(current: Act, tenant: Tenant, person: Person, role: str) -> Membership:
    if role not in Membership.Role.values:
        raise Unacceptable(_("There is no such role."), field="role")
    if Membership.objects.filter(tenant=tenant, person=person, role=role).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})
    if person.memberships.exclude(tenant=tenant).exists():
        raise Unacceptable(_("%(name)s belongs to another tenant.") % {"name": person.name}, field="person")
    membership = Membership.objects.create(tenant=tenant, person=person, role=role, given_at=current.at)
    current.witness(Event.ROLE_GIVEN, detail={**_described(person), "role": role}, text=person.name)
    _tell_approvers(current, tenant, role, person, given=True)
    return membership


def _tell_approvers(current: Act, tenant: Tenant, role: str, person: Person, *, given: bool) -> None:
    """Who decides for a tenant never changes quietly."""
    if role not in (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR):
        return
    current.tell(
        Note(
            topic=Topic.APPROVERS_CHANGED,
            tenant_id=tenant.pk,
            about=person.pk,
            audiences=(Audience.CUSTOMER,),
            mark=uuid4().hex,
            extra={"role": role, "given": "yes" if given else "", "by": current.actor.name},
        )
    )


def _require_first(tenant: Tenant, role: str) -> None:
    """Whoever once decided here seals the tenant, even if they are switched off now: the way back is the customer's."""
    sealed = tenant.memberships.filter(role__in=[Role.APPROVER, Role.ADMINISTRATOR])
    if role in (Role.APPROVER, Role.ADMINISTRATOR):
        if sealed.exists():
            raise NotAllowed(_("This tenant has people who decide. Only they can add others."))
    elif tenant.memberships.filter(role=Role.ADMINISTRATOR, person__is_active=True).exists():
        raise NotAllowed(_("This tenant has an administrator, who manages its people."))


def _require_not_last(tenant: Tenant, membership: Membership) -> None:
    if membership.role not in (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR):
        return
    others = tenant.memberships.filter(role=membership.role, person__is_active=True).exclude(pk=membership.pk)
    if not others.exists():
        role = membership.get_role_display().lower()
        raise WrongState(
            _("This is the last %(role)s of the tenant. Give the role to somebody else first.") % {"role": role}
        )


def _administered(tenant_id: object, current: Act) -> Tenant:
    tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
    current.concerns("tenant", tenant, tenant.pk)
    policy.require_role(current.actor, _ADMINISTRATOR, tenant_id=tenant.pk)
    return tenant


def _managed(person_id: object, current: Act) -> Person:
    """The person, if the actor is staff or the administrator of the tenant that the person belongs to."""
    actor = current.actor
    # The account of a client is no person: it ends with its client, and stays ended.
    people = Person.objects.get_queryset().humans().select_for_update(no_key=True)
    person = people.filter(pk=_key(person_id)).first()
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
        policy.require_role(actor, _ADMINISTRATOR, tenant_id=current.tenant_id or PROVIDER_LOG)
    return person


def _new_person(*, email: str, name: str, side: str, time_zone: str, password: str) -> Person:
    name = " ".join(limits.require_text(name, field="name", at_most=120).split())
    if time_zone not in available_timezones():
        raise Unacceptable(_("There is no such time zone."), field="time_zone")
    person = Person(email=email.strip().lower(), name=name, side=side, time_zone=time_zone)
    try:
        person.clean_fields(exclude=["password", "created_at"])
        validate_password(password, person)
    except ValidationError as error:
        field = next(iter(error.error_dict)) if hasattr(error, "error_dict") else "password"
        raise Unacceptable(" ".join(error.messages), field=field) from error
    if Person.objects.get_queryset().filter(email=person.email).exists():
        raise Unacceptable(_("This address has an account already."), field="email")
    person.set_password(password)
    return person


def _require_password(password: str, person: Person) -> None:
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise Unacceptable(" ".join(error.messages), field="password") from error


def _described(person: Person) -> dict[str, str]:
    return {"person": str(person.pk), "name": person.name, "email": person.email, "side": str(person.side)}


def _key(value: object) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise NotFound from None
