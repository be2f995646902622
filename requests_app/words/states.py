"""How a state looks and reads: one of six looks, each a shape and a colour, and the word beside it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy


@dataclass(frozen=True)
class Look:
    """`kind` is the CSS modifier (waiting, active, open, refused, over, sealed), `icon` what print keeps."""

    kind: str
    icon: str
    word: str | Promise


ACCESS_REQUEST: dict[str, Look] = {
    "PENDING_PROVIDER": Look("waiting", "hourglass", gettext_lazy("Waiting for the provider")),
    "PENDING_CUSTOMER": Look("waiting", "hourglass", gettext_lazy("Waiting for the customer")),
    "OPEN": Look("open", "eye", pgettext_lazy("state of a window", "Open now")),
    "DENIED": Look("refused", "x", gettext_lazy("Denied")),
    "WITHDRAWN": Look("over", "undo-2", gettext_lazy("Withdrawn")),
    "EXPIRED": Look("over", "timer-off", gettext_lazy("Expired")),
    "CLOSED": Look("sealed", "lock", gettext_lazy("Closed")),
}

TICKET: dict[str, Look] = {
    "NEW": Look("waiting", "circle", pgettext_lazy("state of a ticket", "New")),
    "ASSIGNED": Look("active", "circle-dot", pgettext_lazy("state of a ticket", "In progress")),
    "WAITING_FOR_CUSTOMER": Look("waiting", "hourglass", gettext_lazy("Waiting for the customer")),
    "RESOLVED": Look("over", "check", pgettext_lazy("state of a ticket", "Resolved")),
    "CLOSED": Look("over", "minus", pgettext_lazy("state of a ticket", "Closed")),
}

OUTBOX: dict[str, Look] = {
    "waiting": Look("waiting", "hourglass", pgettext_lazy("state of a message", "Waiting")),
    "delivered": Look("over", "check", pgettext_lazy("state of a message", "Delivered")),
    "parked": Look("refused", "pause", pgettext_lazy("state of a message", "Parked")),
}

SUBJECTS: dict[str, dict[str, Look]] = {"access_request": ACCESS_REQUEST, "ticket": TICKET, "message": OUTBOX}

#: For a badge that is no state of a row: `{% badge "sealed" subject="kind" word=… %}`.
KIND_ICONS = {
    "waiting": "hourglass",
    "active": "circle-dot",
    "open": "eye",
    "refused": "x",
    "over": "minus",
    "sealed": "shield-check",
}

_LEVEL_WORDS: dict[str, dict[str, str | Promise]] = {
    "read": {
        "mailbox": gettext_lazy("read messages"),
        "library": gettext_lazy("read documents"),
        "database": gettext_lazy("read records"),
        "": gettext_lazy("read content"),
    },
    "names": {
        "mailbox": gettext_lazy("see senders, dates and subjects, but open no messages"),
        "library": gettext_lazy("see the names of documents, but open no documents"),
        "database": gettext_lazy("see the names of records, but open no records"),
        "": gettext_lazy("see names, but open nothing"),
    },
}


def look_of(state: object, subject: str, word: str = "") -> Look:
    """Find the look of a state; an unknown one is shown as its own name, neutral, rather than hidden."""
    name = str(getattr(state, "value", state))
    if subject == "kind":
        return Look(name, KIND_ICONS.get(name, "minus"), word)
    look = SUBJECTS[subject].get(name) or Look("over", "minus", name)
    return Look(look.kind, look.icon, word) if word else look


def level_words(level: object, kind: object = "") -> str:
    """Say a level of access as a verb phrase that fits the kind of resource: "read messages", not "read"."""
    words = _LEVEL_WORDS.get(str(getattr(level, "value", level)))
    if words is None:
        return _("unknown level")
    return str(words.get(str(getattr(kind, "value", kind)), words[""]))
