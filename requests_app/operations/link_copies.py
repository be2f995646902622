"""Copies the link of an invitation, for the time before mail works, and tells the reader of the link who did this."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from audit_app.models import AuditEntry
from requests_app.domain import link_secrets
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.invitations import (
    COPY_INVITATION_LINK,
    INVITATION_COPY_NOTED,
    INVITATION_LINK_COPIED,
    NOTE_LINK_COPY,
)
from requests_app.domain.acts.members import ROLE_GIVEN
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.models import Domain, Invitation, Membership, Tenant
from requests_app.operations._change import Step
from requests_app.operations._invitations import invitation_detail, is_good
from requests_app.operations._perform import perform
from requests_app.queries.installation import why_no_link_is_copied


@dataclass(frozen=True)
class CopiedLink:
    """An invitation, and the address that its mail links to. The address is shown once and never stored."""

    row: Invitation
    url: str


def copy_invitation_link(invitation_id: object, *, actor: Actor) -> CopiedLink:
    """Return the link of an invitation, once. Staff can do this until mail works or a tenant has switched Lockbox on.

    It is possible for the provider's people, and for the administrator of a tenant that never had one. A person who
    accepts with this link has not shown that they read the mailbox (`came_by_copied_link`).
    """

    def may(current: Step) -> None:
        row: Invitation = current.row
        if row.tenant is not None and (row.role != Role.ADMINISTRATOR or _had_administrator(row.tenant)):
            raise NotAllowed(
                _("Only the link for a tenant’s first administrator can be copied. Everybody else gets a mail.")
            )

    def state(current: Step) -> None:
        row: Invitation = current.row
        if words := why_no_link_is_copied():
            raise WrongState(words)
        if _is_of_others(row):
            raise WrongState(_("This address is in a domain of another tenant. Its link goes by mail only."))
        if row.link_copied_at is not None:
            raise WrongState(_("The link of this invitation was copied already. It can be copied only once."))
        if row.is_recovery or not is_good(row, at=current.at, door=actor.door):
            raise WrongState(_("The link of this invitation no longer works."))

    with perform(COPY_INVITATION_LINK, invitation_id, actor=actor, may=may, state=state) as current:
        row: Invitation = current.row
        row.link_copied_at, row.link_copied_by_id = current.at, current.actor.person
        row.link_copied_send = row.sends
        row.save(update_fields=["link_copied_at", "link_copied_by", "link_copied_send"])
        current.witness(INVITATION_LINK_COPIED, detail=invitation_detail(row), text=row.email)
    return CopiedLink(row, f"{settings.BASE_URL}/invitation/{link_secrets.of(row.pk, row.sends)}/")


def note_link_copy(invitation_id: object, *, actor: Actor) -> Invitation:
    """Record that the person who accepted the invitation has read who copied its link, and when."""

    def state(current: Step) -> None:
        if current.row.link_copied_at is None or current.row.copy_noted_at is not None:
            raise WrongState(_("You have confirmed this already."))

    with perform(NOTE_LINK_COPY, invitation_id, actor=actor, state=state) as current:
        row: Invitation = current.row
        row.copy_noted_at = current.at
        row.save(update_fields=["copy_noted_at"])
        by = row.link_copied_by.name if row.link_copied_by else ""
        current.witness(INVITATION_COPY_NOTED, detail={**invitation_detail(row), "copied_by": by}, text=by)
    return row


def _is_of_others(row: Invitation) -> bool:
    """Return whether people of another tenant have addresses in the invited address's domain, or it has proven it.

    An account that somebody else made would take the address from its owner, whom that tenant may invite later.
    """
    domain = row.email.rpartition("@")[2]
    people = Membership.objects.filter(person__email__iendswith=f"@{domain}").exclude(tenant=row.tenant_id)
    claimed = Domain.objects.filter(name=domain, verified_at__isnull=False).exclude(tenant=row.tenant_id)
    return people.exists() or claimed.exists()


def _had_administrator(tenant: Tenant) -> bool:
    """Return whether the tenant has an administrator, or ever had one.

    A role that was taken away has no row any more. The log still has the entry that gave it.
    """
    if tenant.memberships.filter(role=Role.ADMINISTRATOR).exists():
        return True
    given = AuditEntry.objects.filter(tenant_id=tenant.pk, event=str(ROLE_GIVEN)).values_list("canonical", flat=True)
    return any(json.loads(bytes(entry))["detail"].get("role") == Role.ADMINISTRATOR for entry in given)
