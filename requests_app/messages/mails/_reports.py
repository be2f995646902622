"""Reads the facts for mails about what an application reported, or did not report."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.messages.mails import _access, words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage
from requests_app.words import sentences


@reads(Topic.REPORTED_OUTSIDE, Topic.REPORTED_LATE)
def reported(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for mails about accesses that were not allowed, or that came after the mail about the end."""
    row = _access.row_of(message)
    seen = sentences.summary(_access.seen_in(row.grant), enforced_by=row.enforced_by, has_gate=row.has_gate)
    facts = [Fact(_("Accessed"), [seen]), *_access.window_facts(row.grant, at), *_access.what(row)]
    return {**_access.common(row, message), "seen": seen, "facts": facts}


@reads(Topic.GUARD_SILENT)
def silent(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that says that an application does not report, or nobody asks at its gate."""
    row = _access.row_of(message)
    since = words.when(datetime.fromisoformat(message.payload["since"]), at)
    is_gate = "gate" in message.payload
    first = Fact(_("Came in"), [since]) if is_gate else Fact(_("Last report"), [since])
    facts = [first, *_access.window_facts(row.grant, at), *_access.what(row)]
    return {
        **_access.common(row, message),
        "since": since,
        "is_gate": is_gate,
        "is_over": "over" in message.payload,
        "facts": facts,
    }
