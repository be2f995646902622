"""The badges of states. Each badge has a word and one of six kinds; each kind has its own shape and colour."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy


@dataclass(frozen=True)
class Badge:
    """A badge. `kind` is its CSS modifier (waiting, active, open, refused, over, sealed, practice, demand).

    `icon` is also visible in print.
    """

    kind: str
    icon: str
    word: str | Promise


ACCESS_REQUEST: dict[str, Badge] = {
    "PENDING_PROVIDER": Badge("waiting", "hourglass", gettext_lazy("Waiting for the provider")),
    "PENDING_CUSTOMER": Badge("waiting", "hourglass", gettext_lazy("Waiting for the customer")),
    "OPEN": Badge("open", "eye", pgettext_lazy("state of a window", "Open now")),
    "DENIED": Badge("refused", "x", gettext_lazy("Denied")),
    "WITHDRAWN": Badge("over", "undo-2", gettext_lazy("Withdrawn")),
    "EXPIRED": Badge("over", "timer-off", gettext_lazy("Expired")),
    "CLOSED": Badge("sealed", "lock", gettext_lazy("Closed")),
}

TICKET: dict[str, Badge] = {
    "NEW": Badge("waiting", "circle", pgettext_lazy("state of a ticket", "New")),
    "ASSIGNED": Badge("active", "circle-dot", pgettext_lazy("state of a ticket", "Assigned")),
    "WAITING_FOR_CUSTOMER": Badge("waiting", "hourglass", gettext_lazy("Waiting for the customer")),
    "RESOLVED": Badge("over", "check", pgettext_lazy("state of a ticket", "Resolved")),
    "CLOSED": Badge("over", "minus", pgettext_lazy("state of a ticket", "Closed")),
}

OUTBOX: dict[str, Badge] = {
    "waiting": Badge("waiting", "hourglass", pgettext_lazy("state of a message", "Waiting")),
    "delivered": Badge("over", "check", pgettext_lazy("state of a message", "Delivered")),
    "parked": Badge("refused", "pause", pgettext_lazy("state of a message", "Parked")),
}

#: The word for a delivered message that only made one mail for each recipient. It says nothing about those mails.
HANDED_ON = pgettext_lazy("state of a message", "Handed on")

SUBJECTS: dict[str, dict[str, Badge]] = {"access_request": ACCESS_REQUEST, "ticket": TICKET, "message": OUTBOX}

#: The icons of badges that do not show the state of a row: `{% badge "sealed" subject="kind" word=… %}`.
KIND_ICONS = {
    "waiting": "hourglass",
    "active": "circle-dot",
    "open": "eye",
    "refused": "x",
    "over": "minus",
    "sealed": "shield-check",
    "practice": "info",
    "demand": "scale",
    "changes": "triangle-alert",
}

_LEVEL_WORDS: dict[str, dict[str, str | Promise]] = {
    "read": {
        "mailbox": gettext_lazy("read messages"),
        "library": gettext_lazy("read documents"),
        "database": gettext_lazy("read records"),
        "": gettext_lazy("read content"),
    },
    "view": {
        "mailbox": gettext_lazy("view messages, but download nothing"),
        "library": gettext_lazy("view documents, but download nothing"),
        "database": gettext_lazy("view records, but download nothing"),
        "": gettext_lazy("view content, but download nothing"),
    },
    "act_as": {"": gettext_lazy("act as users, and change things")},
    "names": {
        "mailbox": gettext_lazy("see senders, dates and subjects, but open no messages"),
        "library": gettext_lazy("see the names of documents, but open no documents"),
        "database": gettext_lazy("see the names of records, but open no records"),
        "": gettext_lazy("see names, but open nothing"),
    },
}


def badge_of(state: object, subject: str, word: str = "") -> Badge:
    """Return the badge of a state. An unknown state gets a neutral badge with its name."""
    name = str(getattr(state, "value", state))
    if subject == "kind":
        return Badge(name, KIND_ICONS.get(name, "minus"), word)
    look = SUBJECTS[subject].get(name) or Badge("over", "minus", name)
    return Badge(look.kind, look.icon, word) if word else look


def level_words(level: object, kind: object = "") -> str:
    """Return a level as a verb phrase that fits the kind of resource, for example "read messages"."""
    words = _LEVEL_WORDS.get(str(getattr(level, "value", level)))
    if words is None:
        return _("unknown level")
    return str(words.get(str(getattr(kind, "value", kind)), words[""]))
