"""Reads the facts for mails about new people: invitations, and the use of a recovery key."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import link_secrets
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import Invitation, OutboxMessage


@reads(Topic.INVITATION)
def invited(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for an invitation to a role.

    If the invitation was made with the recovery key, the invited person becomes an administrator after a delay.
    """
    row = Invitation.objects.select_related("tenant").get(pk=message.about)
    facts = [
        Fact(_("Tenant"), [words.line(row.tenant.name)]),
        Fact(_("Role"), [str(row.get_role_display())]),
        Fact(_("Address"), [words.line(row.email)]),
    ]
    if row.is_recovery:
        facts.append(Fact(_("The link works from"), [words.when(row.valid_from, at)]))
    else:
        by = words.line(message.payload["by"])
        if message.payload.get("by_provider"):
            by = _("%(name)s, on the staff of %(provider)s") % {
                "name": by,
                "provider": words.line(settings.PROVIDER_NAME),
            }
        facts.append(Fact(_("Invited by"), [by]))
    facts.append(Fact(_("The link works until"), [words.when(row.expires_at, at)]))
    return {
        "path": f"/invitation/{link_secrets.MARK}/",
        "is_invited": True,
        "is_recovery": row.is_recovery,
        "by": words.line(message.payload["by"]),
        "by_provider": message.payload.get("by_provider", ""),
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
