"""What the acts about people share: an account made, a role given, one switched off, and the last that must stay."""

from __future__ import annotations

from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from requests_app import limits
from requests_app.errors import NotFound, Unacceptable, WrongState
from requests_app.events import Event
from requests_app.models import AccessRequest, Membership, Person, Tenant, Token
from requests_app.operations._change import Act
from requests_app.operations._ending import end_access
from requests_app.outbox.topics import Audience, Note, Topic


def give(current: Act, tenant: Tenant, person: Person, role: str) -> Membership:
    if role not in Membership.Role.values:
        raise Unacceptable(_("There is no such role."), field="role")
    if Membership.objects.filter(tenant=tenant, person=person, role=role).exists():
        raise WrongState(_("%(name)s has this role already.") % {"name": person.name})
    if person.memberships.exclude(tenant=tenant).exists():
        raise Unacceptable(_("%(name)s belongs to another tenant.") % {"name": person.name}, field="person")
    membership = Membership.objects.create(tenant=tenant, person=person, role=role, given_at=current.at)
    current.witness(Event.ROLE_GIVEN, detail={**described(person), "role": role}, text=person.name)
    tell_approvers(current, tenant, role, person, given=True)
    return membership


def take(current: Act, tenant: Tenant, person: Person, membership: Membership) -> None:
    """Take one role away, never the last of the tenant's; that the person keeps another is the caller's to see."""
    require_not_last(tenant, membership)
    role = membership.role
    membership.delete()
    current.witness(Event.ROLE_TAKEN, detail={**described(person), "role": role}, text=person.name)
    tell_approvers(current, tenant, role, person, given=False)


def tell_approvers(current: Act, tenant: Tenant, role: str, person: Person, *, given: bool) -> None:
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


def require_not_last(tenant: Tenant, membership: Membership) -> None:
    if membership.role not in (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR):
        return
    others = tenant.memberships.filter(role=membership.role, person__is_active=True).exclude(pk=membership.pk)
    if not others.exists():
        role = membership.get_role_display().lower()
        raise WrongState(
            _("This is the last %(role)s of the tenant. Give the role to somebody else first.") % {"role": role}
        )


def switch_off(current: Act, person: Person, memberships: list[Membership]) -> None:
    """End the account, its tokens, and what it had asked for or been given. Its roles stay, and count for nothing.

    Raises WrongState for the last who decides for a tenant. The tenants of `memberships` are locked already.
    """
    for membership in memberships:
        require_not_last(membership.tenant, membership)
    person.is_active = False
    # Sessions of this person end with this, and stay ended on the day when the account is switched on again.
    person.session_epoch += 1
    person.save(update_fields=["is_active", "session_epoch"])
    # For good: whoever has taken one must not wait for the day when the account is switched on again.
    Token.objects.filter(account=person).live(current.at).update(revoked_at=current.at, revoked_by=current.actor.person)
    current.witness(Event.PERSON_SWITCHED_OFF, detail=described(person), text=person.name)
    for membership in memberships:
        tell_approvers(current, membership.tenant, membership.role, person, given=False)
    end_access(current, AccessRequest.objects.filter(requested_by=person), cause="person-switched-off")


def switch_on(current: Act, person: Person, memberships: list[Membership]) -> None:
    person.is_active = True
    person.save(update_fields=["is_active"])
    current.witness(Event.PERSON_SWITCHED_ON, detail=described(person), text=person.name)
    for membership in memberships:
        tell_approvers(current, membership.tenant, membership.role, person, given=True)


def new_person(*, email: str, name: str, side: str, time_zone: str, password: str | None) -> Person:
    """An account that is not saved yet. Without a password nobody signs in with one until its holder has set it."""
    name = " ".join(limits.require_text(name, field="name", at_most=120).split())
    if time_zone not in available_timezones():
        raise Unacceptable(_("There is no such time zone."), field="time_zone")
    person = Person(email=email.strip().lower(), name=name, side=side, time_zone=time_zone)
    try:
        person.clean_fields(exclude=["password", "created_at"])
        if password is not None:
            validate_password(password, person)
    except ValidationError as error:
        field = next(iter(error.error_dict)) if hasattr(error, "error_dict") else "password"
        raise Unacceptable(" ".join(error.messages), field=field) from error
    if Person.objects.get_queryset().filter(email=person.email).exists():
        raise Unacceptable(_("This address has an account already."), field="email")
    person.set_password(password)
    return person


def described(person: Person) -> dict[str, str]:
    return {"person": str(person.pk), "name": person.name, "email": person.email, "side": str(person.side)}


def key(value: object) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise NotFound from None
