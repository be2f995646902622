"""Helpers for the acts on people: making accounts, giving and taking roles, and switching accounts off and on."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from requests_app.domain import policy, texts
from requests_app.domain.actors import Role
from requests_app.domain.acts.members import PERSON_SWITCHED_OFF, PERSON_SWITCHED_ON, ROLE_GIVEN, ROLE_TAKEN
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.identity.passwords import require_far
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import (
    AccessRequest,
    Membership,
    Passkey,
    Person,
    QueueAssignment,
    Service,
    SignOn,
    StaffTerm,
    Tenant,
    Token,
)
from requests_app.operations._change import Step
from requests_app.operations._ending import end_access
from requests_app.platform import time_zones

ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
#: The roles that decide, that may decide later, or that choose who decides. The approvers always get a mail if one is
#: given or taken, and the provider can't give one.
DECIDING = (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR, Membership.Role.DEPUTY)


def give(current: Step, tenant: Tenant, person: Person, role: str) -> Membership:
    if role not in Membership.Role.values:
        raise Unacceptable(_("There is no such role."), field="role")
    if Membership.objects.filter(tenant=tenant, person=person, role=role).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})
    if person.memberships.exclude(tenant=tenant).exists():
        raise Unacceptable(_("%(name)s belongs to another tenant.") % {"name": person.name}, field="person")
    _require_proof(current, role)
    if role in DECIDING:
        require_two(current, tenant)
    membership = Membership.objects.create(tenant=tenant, person=person, role=role, given_at=current.at)
    # A passkey from before the first role now belongs to a person of the tenant, so the tenant's people can see it.
    Passkey.objects.filter(person=person, tenant=None).update(tenant=tenant)
    current.witness(ROLE_GIVEN, detail={**described(person), "role": role}, text=person.name)
    tell_approvers(current, tenant, role, person, given=True)
    return membership


def take(current: Step, tenant: Tenant, person: Person, membership: Membership) -> None:
    """Take one role away. Raise WrongState if the person is the last holder of a role that the tenant needs.

    The caller makes sure that the person still has another role.
    """
    require_not_last(tenant, membership)
    role = membership.role
    _require_proof(current, role)
    if role in DECIDING:
        require_two(current, tenant)
    membership.delete()
    current.witness(ROLE_TAKEN, detail={**described(person), "role": role}, text=person.name)
    tell_approvers(current, tenant, role, person, given=False)


def tell_approvers(current: Step, tenant: Tenant, role: str, person: Person, *, given: bool) -> None:
    """Send a mail to the approvers, if the role decides or administers.

    The people who decide for a tenant must never change without a message.
    """
    if role not in DECIDING:
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


def require_two(current: Step, tenant: Tenant) -> None:
    """Raise NotAllowed if the tenant is under two-person control and no second person has confirmed this change.

    A change by a person of the tenant becomes a proposal earlier (`_second.hold`). So only changes by a
    directory or by the provider are refused here.
    """
    if tenant.needs_two and current.confirmed is None:
        raise NotAllowed(_("This tenant is under two-person control: two of its own people have to do this."))


def require_first(tenant: Tenant, role: str) -> None:
    """Raise NotAllowed if the customer's own people can give this role. Call this when staff want to give it.

    For a role that decides or administers, people whose accounts are switched off count too. If all approvers
    and administrators are switched off, the customer must use its recovery key.
    """
    sealed = tenant.memberships.filter(role__in=[Role.APPROVER, Role.ADMINISTRATOR])
    if role in DECIDING:
        if sealed.exists():
            raise NotAllowed(
                _(
                    "This tenant already has approvers or administrators. Only its own people can "
                    "give this role to others."
                )
            )
    elif tenant.memberships.filter(role=Role.ADMINISTRATOR, person__is_active=True).exists():
        raise NotAllowed(_("This tenant has an administrator. Only an administrator of the tenant can give this role."))


def require_not_last(tenant: Tenant, membership: Membership) -> None:
    """Raise WrongState if the tenant would have no approver, or no administrator, without this role.

    If the tenant's people must use single sign-on, one administrator can sign in without it. Also raise
    WrongState for this administrator's role.
    """
    if membership.role not in (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR):
        return
    others = tenant.memberships.filter(role=membership.role, person__is_active=True).exclude(pk=membership.pk)
    if not others.exists():
        role = membership.get_role_display().lower()
        raise WrongState(
            _("This is the last %(role)s of the tenant. Give the role to somebody else first.") % {"role": role}
        )
    is_way_back = SignOn.objects.filter(tenant=tenant, is_only=True, break_glass=membership.person_id).exists()
    if is_way_back and membership.role == Membership.Role.ADMINISTRATOR:
        name = membership.person.name
        words = _(
            "%(name)s is the administrator who can sign in without single sign-on. First choose another "
            "administrator for this."
        )
        raise WrongState(words % {"name": name})


def switch_off(current: Step, person: Person, memberships: list[Membership]) -> None:
    """Switch off the account, revoke its tokens, and end its access requests and windows.

    While the account is off, its roles have no effect. Raise WrongState if the person is the last holder of a role that
    a tenant needs. The caller must have locked the tenants of `memberships`.
    """
    for membership in memberships:
        require_not_last(membership.tenant, membership)
    _require_proof(current, *_held_by(person))
    for membership in memberships:
        if membership.role in DECIDING:
            require_two(current, membership.tenant)
    person.is_active = False
    # This ends the person's sessions. They are not valid again if the account is switched on later.
    person.session_epoch += 1
    person.save(update_fields=["is_active", "session_epoch"])
    StaffTerm.end(person, at=current.at)
    # Permanently: a person with a stolen token must not be able to wait until the account is switched on again.
    live = Token.objects.filter(account=person).live(current.at)
    live.update(revoked_at=current.at, revoked_by=current.actor.person_id)
    current.witness(PERSON_SWITCHED_OFF, detail=described(person), text=person.name)
    for membership in memberships:
        tell_approvers(current, membership.tenant, membership.role, person, given=False)
    end_access(current, AccessRequest.objects.filter(requested_by=person), cause="person-switched-off")


def require_other_staff(person: Person) -> None:
    """Raise WrongState if this is the last member of the staff. A client must not leave the provider without staff."""
    staff = Person.objects.get_queryset().active().humans().filter(is_staff=True)
    if person.is_staff and not staff.exclude(pk=person.pk).exists():
        raise WrongState(_("This is the last member of the staff. An API client can't switch the account off."))


def switch_on(current: Step, person: Person, memberships: list[Membership]) -> None:
    _require_proof(current, *_held_by(person))
    for membership in memberships:
        if membership.role in DECIDING:
            require_two(current, membership.tenant)
    person.is_active = True
    person.save(update_fields=["is_active"])
    if person.is_staff:
        StaffTerm.begin(person, at=current.at)
    current.witness(PERSON_SWITCHED_ON, detail=described(person), text=person.name)
    for membership in memberships:
        tell_approvers(current, membership.tenant, membership.role, person, given=True)


def begin_staff(current: Step, person: Person) -> None:
    """Make the person staff, with the entry. The caller has judged whether this needs a second person."""
    person.is_staff = True
    person.save(update_fields=["is_staff"])
    StaffTerm.begin(person, at=current.at)
    current.witness(ROLE_GIVEN, detail={**described(person), "role": str(Role.STAFF)}, text=person.name)
    _tell_holder(current, person, str(Role.STAFF))


def _tell_holder(current: Step, person: Person, role: str) -> None:
    """Send a mail to a person whose announced role takes effect, because they have waited for it.

    Several queues of one role become one mail: its facts are read when it is sent.
    """
    if current.confirmed is None:
        return
    since = current.at.isoformat()
    note = Note(
        topic=Topic.ROLE_GIVEN,
        tenant_id=None,
        about=person.pk,
        audiences=(Audience.ROLE_HOLDER,),
        mark=f"{role} {since}",
        extra={"role": role, "since": since},
    )
    if note not in current.notes:
        current.tell(note)


def assign_to_queue(
    current: Step, service: Service, person: Person, role: str, *, through_group: str = ""
) -> QueueAssignment:
    """Give the person a role in a queue, with the entry. The caller has judged whether this needs a second person.

    `through_group` is the name of the directory's group through which the person gets the role.
    """
    of = {"service": service, "person": person, "role": role, "is_through_group": bool(through_group)}
    row = QueueAssignment.objects.create(**of, given_at=current.at)
    detail = {**described(person), "role": role, "service": service.key}
    detail |= {"group": through_group} if through_group else {}
    current.witness(ROLE_GIVEN, detail=detail, text=person.name)
    _tell_holder(current, person, str(role))
    return row


def take_from_queue(current: Step, row: QueueAssignment) -> None:
    """Take a role in a queue away, with the entry. An engineer's access requests and windows there end, too.

    The caller must have locked them (`lock_access`).
    """
    person, service = row.person, row.service
    row.delete()
    detail = {**described(person), "role": row.role, "service": service.key}
    current.witness(ROLE_TAKEN, detail=detail, text=person.name)
    if row.role == QueueAssignment.Role.ENGINEER:
        theirs = AccessRequest.objects.filter(requested_by=person, service=service)
        end_access(current, theirs, cause="role-taken")


def memberships_of(person: Person) -> list[Membership]:
    return list(person.memberships.select_related("tenant").order_by("pk"))


def _require_proof(current: Step, *roles: str) -> None:
    """Require a fresh proof if this changes who decides or administers.

    An unattended session must not be enough for such a change.
    """
    current.require_proof(needed=bool(policy.DECIDING_OR_MANAGING & set(roles)))


def _held_by(person: Person) -> list[str]:
    """Return the roles that this person has, or would have if the account were switched on."""
    held = [
        *person.memberships.values_list("role", flat=True),
        *person.queue_assignments.values_list("role", flat=True),
    ]
    return [*held, str(Role.STAFF)] if person.is_staff else held


def time_zone_of(text: str) -> str:
    """Return the name of the time zone that a name or a city means. Raise Unacceptable for another text."""
    if not (found := time_zones.found(text)):
        raise Unacceptable(_("There is no such time zone."), field="time_zone")
    return found


def new_person(
    *,
    email: str,
    name: str,
    side: str,
    time_zone: str,
    password: str | None,
    near: str = "",
    row: Person | None = None,
) -> Person:
    """Return an account that is not saved yet. Without `row`, a new row is made.

    Without a password, nobody can sign in until the holder has set one. The password may not contain `near`,
    for example the tenant's name, which is not in the row.
    """
    name = name_of(name)
    time_zone = time_zone_of(time_zone)
    person = row if row is not None else Person()
    person.email, person.name, person.side, person.time_zone = email.strip().lower(), name, side, time_zone
    try:
        person.clean_fields(exclude=["password", "created_at"])
    except ValidationError as error:
        raise Unacceptable(" ".join(error.messages), field=next(iter(error.error_dict))) from error
    if password is not None:
        require_password(password, person, near=near)
    if Person.objects.get_queryset().filter(email=person.email).exists():
        raise Unacceptable(_("This address has an account already."), field="email")
    person.set_password(password)
    return person


def can_be_set_up_again(person: Person) -> bool:
    """Return whether this is an active account of a customer's human without a role."""
    is_free = person.is_active and person.kind == Person.Kind.HUMAN and person.side == Person.Side.CUSTOMER
    return is_free and not person.memberships.exists()


def set_up_again(person: Person, *, name: str, password: str | None, near: str, at: datetime) -> Person:
    """Set up an existing account again, when an invitation to its address is accepted.

    Without a password, nobody can sign in with a password from now on.

    The caller has checked that the account can be set up again (`can_be_set_up_again`).
    """
    person.name = name_of(name)
    if password is not None:
        require_password(password, person, near=near)
    person.set_password(password)
    person.email_verified_at = at
    person.save(update_fields=["name", "password", "email_verified_at"])
    # The address may have a new owner. A token of the former owner must not get the new role.
    Token.objects.filter(account=person).personal().live(at).update(revoked_at=at, revoked_by=person)
    return person


def name_of(value: str) -> str:
    return texts.require_name(value, field="name", at_most=120)


def require_password(password: str, person: Person, *, near: str = "") -> None:
    try:
        validate_password(password, person)
        require_far(password, [near])
    except ValidationError as error:
        raise Unacceptable(" ".join(error.messages), field="password") from error


def described(person: Person) -> dict[str, str]:
    return {"person": str(person.pk), "name": person.name, "email": person.email, "side": str(person.side)}


def key(value: object) -> UUID:
    found = as_id(value)
    if found is None:
        raise NotFound
    return found
