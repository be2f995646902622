"""Chooses the sentence for an entry. The event declares the sentence, and _log_words fills in the names."""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts import ACTS, EVENTS

Fields = dict[str, Any]

#: For an event of a newer version, and for an entry that can't be read.
BY_NAME = _("{who}: {title}")

#: Why access ended as a consequence of another act. The key is the cause in the entry.
CAUSES: dict[str, Promise] = {
    "ticket-closed": _("{by} closed the ticket"),
    "ticket-resolved": _("{by} resolved the ticket"),
    "person-switched-off": _("{by} switched off the engineer’s account"),
    "role-taken": _("{by} removed the engineer from the queue"),
    "service-switched-off": _("{by} switched off the service"),
    "tenant-switched-off": _("{by} switched off the tenant"),
    "level-ruled-out": _("{by} ruled out this level of access"),
    "accounts-linked": _("{by} linked two accounts, and one human was then on both sides of the access request"),
    "restored": _("the installation was restored from a backup"),
}


def pattern_for(event: str, detail: Fields, actor: Fields) -> Promise:
    """Return the sentence of the event, or of the event's variant that matches the detail."""
    declared = EVENTS.get(event)
    if not actor or declared is None:
        return BY_NAME
    for applies, words in declared.variants:
        if applies(detail, actor):
            return words
    return declared.sentence


def tried(action: str) -> str:
    """Return the words that follow "tried" in a sentence. They begin with "to", also for an unknown action."""
    act = ACTS.get(action)
    return gettext("to %(action)s") % {"action": action} if act is None or act.tried is None else str(act.tried)
