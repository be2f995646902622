"""Formats texts for mails. The plain part and the HTML part get the same words.

In texts that other people wrote, hidden characters are made visible.
"""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import dateformat, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from requests_app.models import Level, Person, Proposal, Resource, Ticket
from requests_app.words import sentences, times
from requests_app.words import text as _text

#: How much of a text a mail quotes. The page shows the complete text.
QUOTE_CHARS, QUOTE_LINES = 1200, 14
#: The width of the text part, and the column in which the values of the facts begin.
WIDTH, INDENT = 76, 14


@dataclass(frozen=True)
class Fact:
    """One row of a mail's table of facts: a label, and one or more lines."""

    label: str
    lines: list[str]

    @property
    def text(self) -> str:
        """The row as plain text. All lines after the first are indented to the column of the value."""
        first = f"{self.label}: ".ljust(INDENT)
        wrapped = [part for value in self.lines for part in _wrapped(value, WIDTH - INDENT)]
        return first + f"\n{' ' * INDENT}".join(wrapped)


@dataclass(frozen=True)
class Quote:
    """A text that a person wrote, as lines. `is_cut` says whether the end of the text is left out."""

    title: str
    lines: list[str]
    is_cut: bool

    @property
    def text(self) -> str:
        return "\n".join(f"> {part}".rstrip() for value in self.lines for part in _wrapped(value, WIDTH - 2))


def _wrapped(text: str, width: int) -> list[str]:
    # Addresses and file names are not broken, even if they are longer than the width.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def paragraphs(text: str) -> str:
    """Wrap lines that are too long. Lines that begin with a space or with ">" are already wrapped."""
    lines = text.split("\n")
    return "\n".join("\n".join([raw] if raw[:1] in (" ", ">") else _wrapped(raw, WIDTH)) for raw in lines)


def line(text: object) -> str:
    """Return the text on one line.

    Each line break is replaced with "↵", and each hidden character with its code.
    """
    parts = str(text or "").strip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return " ↵ ".join(_shown(part).strip() for part in parts)


def quote(title: str, text: str) -> Quote:
    """Return a text as a Quote, with its line breaks. Only the beginning of a long text is quoted."""
    shown, left = [], QUOTE_CHARS
    lines = text.strip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for raw in lines[:QUOTE_LINES]:
        if left <= 0:
            break
        shown.append(_shown(raw[:left]).rstrip())
        left -= len(raw)
    is_cut = left < 0 or len(shown) < len(lines)
    if is_cut:
        shown[-1] += " …"
    return Quote(title, shown, is_cut)


def _shown(text: str) -> str:
    return _text.HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text.replace("\t", "    "))


def name(person: Person) -> str:
    """Return a person's name for a mail. Hidden characters are shown as codes.

    If the name mixes letters of different alphabets, a warning is added.
    """
    if _text.is_mixed_script(person.name):
        return _("%(name)s (this name mixes letters of different alphabets)") % {"name": line(person.name)}
    return line(unicodedata.normalize("NFC", person.name))


def proposer(row: Proposal) -> str:
    """Return the name of the person who proposed a change, or of the API client and of the person who holds it."""
    if row.proposed_through is None:
        return name(row.proposed_by)
    return _("API client %(client)s of %(name)s") % {
        "client": name(row.proposed_through),
        "name": name(row.proposed_by),
    }


def who(person: Person, tenant_name: str = "") -> str:
    """Return a person's name with their organisation, for example "Priya N. (Microsoft)"."""
    place = settings.PROVIDER_NAME if person.side == Person.Side.PROVIDER else tenant_name
    return f"{name(person)} ({line(place)})" if place else name(person)


def when(at: datetime, now: datetime) -> str:
    """Return an instant in the recipient's time zone, for example "Tue 25 Nov, 14:05 CET"."""
    return times.when_words(at, now)


def short_when(at: datetime) -> str:
    """Return an instant within a week in a form that is short enough for a subject, for example "Tue 14:05 CET"."""
    local = timezone.localtime(at)
    # Translators: an instant within a week, in the letters of Django's "date" filter: Tue 14:05
    return f"{dateformat.format(local, pgettext('instant of this week', 'D H:i'))} {times.zone_words(local)}"


def duration(seconds: float) -> str:
    return times.duration_words(seconds)


def about_left(seconds: float) -> str:
    """Return how much time is left, rounded to 5 minutes. In the last half hour, round it to 1 minute.

    The mail shows the exact time beside it.
    """
    unit = 300 if seconds >= 1800 else 60
    return times.duration_words(max(60, int(seconds / unit + 0.5) * unit))


_CAN: dict[str, Promise] = {
    Level.NAMES: gettext_lazy("can see the names of items"),
    Level.VIEW: gettext_lazy("can view content, without downloading it"),
    Level.READ: gettext_lazy("can read content"),
    Level.ACT_AS: gettext_lazy("can change things: can act as users, and open, change, send and delete"),
}


def reading(level: str, resources: list[Resource]) -> str:
    """Return what the engineer wants to do, in words short enough for a subject, for example "read 1 mailbox"."""
    amount = sentences.amount(resources)
    if level == Level.ACT_AS:
        return _("change things as users of %(amount)s") % {"amount": amount}
    if level == Level.READ:
        return _("read %(amount)s") % {"amount": amount}
    if level == Level.VIEW:
        return _("view %(amount)s") % {"amount": amount}
    return _("list the items in %(amount)s") % {"amount": amount}


def level(level: str, resources: list[Resource], *, enforced_by: str) -> str:
    """Return what an engineer can do at this level of access, and what they can't do.

    In a window that another application enforces, the product does not know what they can't do.
    """
    if enforced_by:
        can = _CAN.get(level, _CAN[Level.NAMES])
        return _("%(can)s; %(application)s enforces this") % {"can": can, "application": line(enforced_by)}
    kinds = {str(resource.kind) for resource in resources}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if level == Level.READ:
        read: dict[str, str] = {
            Resource.Kind.MAILBOX: _("can read messages, can’t change anything"),
            Resource.Kind.LIBRARY: _("can read documents, can’t change anything"),
            Resource.Kind.DATABASE: _("can read records, can’t change anything"),
        }
        return read.get(kind) or _("can read content, can’t change anything")
    if level == Level.VIEW:
        view: dict[str, str] = {
            Resource.Kind.MAILBOX: _("can view messages, can’t download or change anything"),
            Resource.Kind.LIBRARY: _("can view documents, can’t download or change anything"),
            Resource.Kind.DATABASE: _("can view records, can’t download or change anything"),
        }
        return view.get(kind) or _("can view content, can’t download or change anything")
    if kind == Resource.Kind.MAILBOX:
        # The list of a mailbox shows more than names, and an approver must know that.
        return _("can see senders, dates and subjects, can’t open anything")
    return _("can see the names of items, can’t open anything")


def ticket(row: Ticket) -> str:
    return f"{row.reference}, {line(row.title)}"


def grouped(digest: str) -> list[str]:
    """Return a digest as lines of groups of four characters. The lines are short enough for a phone."""
    groups = [digest[start : start + 4] for start in range(0, len(digest), 4)]
    return [" ".join(groups[start : start + 8]) for start in range(0, len(groups), 8)]
