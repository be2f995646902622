"""Reads the facts for mails about new people: invitations, and the use of a recovery key."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.domain import link_secrets
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import Invitation, OutboxMessage, Person
from requests_app.queries import single_sign_on
from requests_app.queries.invitations import invited_to
from requests_app.words import invitations


@reads(Topic.INVITATION)
def invited(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for an invitation to a role: who invites, for which organisation, to what, and until when.

    If the invitation was made with the recovery key, the invited person becomes an administrator after a delay.
    """
    row = Invitation.objects.select_related("tenant", "invited_by", "invited_through", "proposal").get(pk=message.about)
    facts = [Fact(_("Tenant"), [words.line(row.tenant.name)])] if row.tenant is not None else []
    offers = invited_to(row)
    for each in offers:
        facts.append(Fact(_("Role"), [f"{each.get_role_display()}: {invitations.ROLE_HELP[str(each.role)]}"]))
        if queues := each.services.order_by("name").values_list("name", flat=True):
            facts.append(Fact(_("Queues"), [words.line(name) for name in queues]))
    facts.append(Fact(_("Address"), [words.line(row.email)]))
    sender = words.line(invitations.sender(row))
    if row.is_recovery:
        facts.append(Fact(_("The link works from"), [words.when(row.valid_from, at)]))
    else:
        facts.append(Fact(_("Invited by"), [sender]))
    facts.append(Fact(_("The link works until"), [words.when(row.expires_at, at)]))
    return {
        "path": f"/invitation/{link_secrets.MARK}/",
        "is_invited": True,
        "is_recovery": row.is_recovery,
        "is_colleague": row.tenant is None,
        "is_proposed": any(map(invitations.is_proposed, offers)),
        "has_sign_on": bool(single_sign_on.name_for_invited(row)),
        "sender": sender,
        "by_provider": row.invited_by is not None and row.invited_by.side == Person.Side.PROVIDER,
        "from": words.when(row.valid_from, at),
        "until": words.when(row.expires_at, at),
        "facts": facts,
    }


@reads(Topic.RECOVERY_KEY)
def recovery_key(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a recovery key was made or used.

    If the key was used, the facts include the address of the new administrator, and when the invitation begins to work.
    """
    assert message.tenant is not None
    is_used = message.payload["what"] == "used"
    facts = [Fact(_("Tenant"), [words.line(message.tenant.name)])]
    found: Facts = {"by": words.line(message.payload["by"]), "is_used": is_used, "is_of_tenant": True}
    if is_used:
        row = Invitation.objects.get(pk=message.payload["invitation"])
        facts.append(Fact(_("New administrator"), [words.line(row.email)]))
        facts.append(Fact(_("Administrator from"), [words.when(row.valid_from, at)]))
        found |= {"email": words.line(row.email), "from": words.when(row.valid_from, at)}
    else:
        facts.append(Fact(_("Created by"), [found["by"]]))
    facts.append(Fact(_("Key used") if is_used else _("Created"), [words.when(message.created_at, at)]))
    return {"path": f"/tenant/{message.tenant_id}/people/", "facts": facts, **found}
