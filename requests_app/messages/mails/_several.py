"""Reads the facts for one mail about several access requests that wait for the same decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from requests_app.domain.actors import Actor
from requests_app.domain.limits import GROUPED_FOR, MAILS_AT_ONCE
from requests_app.messages.mails import words
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import topic_of
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.queries import access
from requests_app.words import sentences

#: A mail lists at most this many access requests and only counts the others. Mail programs cut long mails.
LISTED = 50


@dataclass(frozen=True)
class Item:
    """One access request in the list of a mail.

    `lines` begins with a sentence about who asks for what, and why. `url` is the address of the request's page.
    """

    decide_by: str
    lines: list[str]
    reference: str
    url: str

    @property
    def text(self) -> str:
        facts = [Fact(_("Answer by"), [self.decide_by]), Fact(_("Asked"), self.lines)]
        return "\n".join(fact.text for fact in [*facts, Fact(_("Reference"), [self.reference])])


def decisions_needed(messages: Sequence[OutboxMessage], at: datetime) -> dict[str, Any]:
    """Return the facts about the access requests that wait, the earliest deadline first.

    All `messages` must have the same topic, tenant and recipient.
    """
    rows = list(
        access.access_requests(Actor.system("outbox"))
        .filter(pk__in={message.about for message in messages})
        .order_by("decide_by", "submitted_at", "pk")
    )
    first = rows[0].decide_by
    services = {row.service_id: words.line(row.service.name) for row in rows}
    return {
        "path": "/",
        # A mail never has both: `messages.grouping` combines practice requests only with each other.
        "is_practice": rows[0].is_practice,
        "purpose": topic_of(messages[0].topic).purpose,
        "access_requests": ngettext("%(n)d access request", "%(n)d access requests", len(rows)) % {"n": len(rows)},
        "at_once": MAILS_AT_ONCE,
        "within": words.duration(GROUPED_FOR.total_seconds()),
        "items": [_item(row, at) for row in rows[:LISTED]],
        "more": max(0, len(rows) - LISTED),
        "decide_by": words.when(first, at),
        "decide_by_short": words.short_when(first),
        "service": get_text_list(sorted(services.values()), _("and")),
    }


def _item(row: AccessRequest, at: datetime) -> Item:
    lines = [words.line(sentences.asks(row))]
    if row.reason_kind == AccessRequest.Reason.LEGAL_DEMAND:
        lines.append(_("The reason is a law-enforcement demand."))
    url = f"{settings.BASE_URL}/access-requests/{row.pk}/"
    return Item(words.when(row.decide_by, at), lines, row.reference, url)
