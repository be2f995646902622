"""Who invites whom to what, in the words that the mail and the page of an invitation share."""

from __future__ import annotations

import re

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.actors import Role
from requests_app.models import Invitation, Membership, Person, QueueAssignment

#: What each role can do.
ROLE_HELP: dict[str, Promise] = {
    str(Membership.Role.MEMBER): gettext_lazy("opens tickets and follows them"),
    str(Membership.Role.APPROVER): gettext_lazy("decides on access requests, closes windows, reads the log"),
    str(Membership.Role.AUDITOR): gettext_lazy("reads everything, including the log, and decides nothing"),
    str(Membership.Role.ADMINISTRATOR): gettext_lazy(
        "switches Lockbox on and off, manages people and addresses, reads the log"
    ),
    str(Membership.Role.DEPUTY): gettext_lazy("decides only while an approver who named this deputy is away"),
    str(QueueAssignment.Role.ENGINEER): gettext_lazy("works on tickets, and asks customers for access"),
    str(QueueAssignment.Role.PROVIDER_APPROVER): gettext_lazy("decides on access requests before the customer does"),
    str(Role.STAFF): gettext_lazy("sets up tenants, services and people in the administration"),
}


def sender(row: Invitation) -> str:
    """Return the human who sent the invitation, with their organisation: "Stella Ruiz, on the staff of Example Cloud".

    If an API client sent it, the client is named too, with the person who holds its secret. An invitation that was made
    with the recovery key has no sender, and the answer is "".
    """
    by = row.invited_by
    if by is None:
        return ""
    if row.invited_through is not None:
        words = _("the API client %(client)s of %(name)s, on the staff of %(provider)s")
        return words % {"client": row.invited_through.name, "name": by.name, "provider": settings.PROVIDER_NAME}
    if by.side == Person.Side.PROVIDER:
        return _("%(name)s, on the staff of %(provider)s") % {"name": by.name, "provider": settings.PROVIDER_NAME}
    assert row.tenant is not None
    return _("%(name)s, of %(tenant)s") % {"name": by.name, "tenant": row.tenant.name}


def is_proposed(row: Invitation) -> bool:
    """Return whether the role of the invitation still waits for an announced change."""
    return row.proposal is not None and row.proposal.ended_at is None


def name_from(email: str) -> str:
    """Return a name to begin with, from the part of an address before the @: “priya.nair” becomes “Priya Nair”."""
    return " ".join(part.capitalize() for part in re.split(r"[._+-]+", email.partition("@")[0]) if part)
