"""Reads the facts for mails about drafts of access requests."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.domain.acts.declaration import Noun
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads_plain
from requests_app.messages.mails.words import Fact
from requests_app.models import AccessDraft, OutboxMessage


@reads_plain(Noun.ACCESS_DRAFT)
def plain(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts about a draft. The mail goes to the engineer, who knows what the levels mean."""
    row = AccessDraft.objects.select_related("tenant", "service", "resource", "ticket", "client__account").get(
        pk=message.about
    )
    return {
        "path": f"{reverse('web:ask', args=[row.ticket_id])}?draft={row.pk}",
        "tenant": words.line(row.tenant.name),
        "service": words.line(row.service.name),
        "ticket_reference": row.ticket.reference,
        "is_customer": False,
        "client": words.line(str(row.client)),
        "ends": words.when(row.expires_at, at),
        "is_practice": False,
        "facts": [
            Fact(_("Where"), [f"{words.line(row.tenant.name)}, {words.line(row.service.name)}"]),
            Fact(_("What"), [words.line(row.resource.name)]),
            Fact(_("How much"), [words.level(row.level, [row.resource], enforced_by=row.service.application)]),
            Fact(_("How long"), [words.duration(row.window_for)]),
            Fact(_("Ticket"), [words.ticket(row.ticket)]),
        ],
        "quotes": [words.quote(_("The reason that it gives"), row.justification)],
    }
