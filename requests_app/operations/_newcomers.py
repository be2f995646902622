"""Makes an account for a person whom only the identity provider knows, if the tenant allows this."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.acts.members import PERSON_CREATED
from requests_app.domain.errors import NotAllowed, Unacceptable, WrongState
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.models import Identity, Invitation, Person, SignOn, Tenant, mailboxes
from requests_app.operations._change import Step
from requests_app.operations._people import described, give, name_of, new_person
from requests_app.operations._sign_on import open_connection, proven_address


def role_of_newcomer(tenant_id: UUID | None, came: AssertedIdentity) -> str:
    """Return the role that this person would get with a new account, or "" if they would get none.

    The tenant must have switched this on, and the address must be in one of its verified domains. Nobody may have an
    account with the same mailbox, or with the same subject elsewhere: neither a person who was removed or switched off,
    nor a person of another tenant or of the provider. So a new account is always a new human.
    """
    row = SignOn.objects.filter(tenant=tenant_id, tenant__is_active=True, is_on=True).first() if tenant_id else None
    email = proven_address(tenant_id, came)
    if row is None or not row.newcomer_role or not email:
        return ""
    if Person.objects.get_queryset().filter(mailboxes.same_mailbox(email)).exists():
        return ""
    is_known = came.has_proven_issuer and Identity.objects.filter(issuer=came.issuer, subject=came.subject).exists()
    return "" if is_known else str(row.newcomer_role)


def admit(current: Step, tenant_id: UUID, came: AssertedIdentity) -> tuple[Tenant, Person]:
    """Make the account, and give the role of the tenant's setting. Raise NotAllowed if this is no longer possible.

    The role decides nothing and manages nothing, so it needs no second person.
    """
    tenant: Tenant = Tenant.objects.locked().find(tenant_id)
    current.concerns("tenant", tenant, tenant.pk)
    # Read again: until the turn was taken, others could change the connection, or make this account.
    open_connection(tenant_id, came)
    role, email = role_of_newcomer(tenant_id, came), proven_address(tenant_id, came)
    if not role or Identity.objects.filter(tenant=tenant_id, issuer=came.issuer, subject=came.subject).exists():
        raise WrongState(_("Your account has just changed. Sign in again."))
    if Invitation.objects.filter(tenant=tenant).expected(current.at).filter(email=email).exists():
        # The invitation may give another role, and nobody could accept it any more.
        raise NotAllowed(_("You are invited. Open the link in the mail of your invitation first."))
    person = new_person(
        email=email,
        name=_name(came, email),
        side=Person.Side.CUSTOMER,
        time_zone=tenant.time_zone,
        password=None,
    )
    person.created_at = person.email_verified_at = current.at
    person.save(force_insert=True)
    current.subject_type, current.subject_id = "person", str(person.pk)
    current.witness(PERSON_CREATED, detail={**described(person), "how": "single_sign_on"}, text=person.name)
    give(current, tenant, person, role)
    return tenant, person


def _name(came: AssertedIdentity, email: str) -> str:
    """Return the name that the identity provider sends, if it can be a name here, or else the part before the @."""
    for name in (came.name, email.partition("@")[0]):
        try:
            return name_of(name)
        except Unacceptable:
            continue
    return email
