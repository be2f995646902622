"""Reads the facts for mails about tickets."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.domain.acts.declaration import Noun
from requests_app.domain.states import TicketState
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads, reads_plain
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage, Person, Ticket, TicketComment


@reads_plain(Noun.TICKET)
@reads(Topic.TICKET_OPENED, Topic.TICKET_RECORDED)
def opened(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail about a new ticket.

    It goes to the engineers of the ticket's queue, or to the person for whom the ticket was recorded.
    """
    row = _row(message)
    found = _common(row, at)
    found["is_new"] = row.state == TicketState.NEW
    found["quotes"] = [words.quote(_("What happened"), row.body)]
    return found


@reads(Topic.TICKET_ANSWERED)
def answered(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail about a new comment that both sides can read."""
    row = _row(message)
    comment = TicketComment.objects.select_related("author").get(pk=message.payload["comment"], ticket=row)
    if comment.is_internal:
        # The operations send no mail about internal notes. This is the last check that prevents a leak.
        raise ValueError("an internal note is not for mail")
    found = _common(row, at)
    author = words.who(comment.author, row.tenant.name)
    found["author"] = author
    found["is_from_provider"] = comment.author.side == Person.Side.PROVIDER
    found["state"] = str(row.state)
    found["quotes"] = [words.quote(_("%(author)s wrote") % {"author": author}, comment.body)]
    return found


def _row(message: OutboxMessage) -> Ticket:
    people = ("opened_by", "on_behalf_of", "assignee")
    return Ticket.objects.select_related("tenant", "service", *people).get(pk=message.about)


def _common(row: Ticket, at: datetime) -> Facts:
    opened_by = words.who(row.opened_by, row.tenant.name)
    recorded_for = words.who(row.on_behalf_of, row.tenant.name) if row.on_behalf_of else ""
    return {
        "path": f"/tickets/{row.pk}/",
        "ticket_reference": row.reference,
        "is_practice": row.is_practice,
        "title": words.line(row.title),
        "service": words.line(row.service.name),
        "opened_by": opened_by,
        "recorded_for": recorded_for,
        "facts": [
            Fact(_("Ticket"), [row.reference]),
            Fact(_("Title"), [words.line(row.title)]),
            Fact(_("Where"), [f"{words.line(row.tenant.name)}, {words.line(row.service.name)}"]),
            Fact(_("Opened by"), [opened_by, *([_("for %(name)s") % {"name": recorded_for}] if recorded_for else [])]),
            Fact(_("Opened"), [words.when(row.opened_at, at)]),
            Fact(_("Priority"), [row.get_priority_display()]),
            Fact(_("State"), [row.get_state_display()]),
        ],
    }
