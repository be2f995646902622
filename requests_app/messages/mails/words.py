"""Words for mails: plain text that reads the same in both parts, with nothing hidden in what strangers wrote."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import dateformat, timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from requests_app.models import Level, Person, Resource, Ticket
from requests_app.words import sentences, times
from requests_app.words import text as _text

#: How much of a text a mail quotes; the page has the whole.
QUOTE_CHARS, QUOTE_LINES = 1200, 14
#: Columns of the text part, and where a fact's value begins.
WIDTH, INDENT = 76, 14


@dataclass(frozen=True)
class Fact:
    """One row of the table: a label, and one line or several."""

    label: str
    lines: list[str]

    @property
    def text(self) -> str:
        """The row in plain text; what does not fit goes on below its beginning."""
        first = f"{self.label}: ".ljust(INDENT)
        wrapped = [part for value in self.lines for part in _wrapped(value, WIDTH - INDENT)]
        return first + f"\n{' ' * INDENT}".join(wrapped)


@dataclass(frozen=True)
class Quote:
    """What somebody wrote, line by line."""

    title: str
    lines: list[str]
    is_cut: bool

    @property
    def text(self) -> str:
        return "\n".join(f"> {part}".rstrip() for value in self.lines for part in _wrapped(value, WIDTH - 2))


def _wrapped(text: str, width: int) -> list[str]:
    # Addresses and names of files stay whole, even where they stick out.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def paragraphs(text: str) -> str:
    """Wrap the lines that are too long; what is indented or quoted has been wrapped already."""
    lines = text.split("\n")
    return "\n".join("\n".join([raw] if raw[:1] in (" ", ">") else _wrapped(raw, WIDTH)) for raw in lines)


def line(text: object) -> str:
    """Text on one line: a line break is a sign, and a character that hides or turns others shows as its code."""
    parts = str(text or "").strip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return " ↵ ".join(_shown(part).strip() for part in parts)


def quote(title: str, text: str) -> Quote:
    """The beginning of a longer text, its lines kept."""
    kept, left = [], QUOTE_CHARS
    lines = text.strip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for raw in lines[:QUOTE_LINES]:
        if left <= 0:
            break
        kept.append(_shown(raw[:left]).rstrip())
        left -= len(raw)
    is_cut = left < 0 or len(kept) < len(lines)
    if is_cut:
        kept[-1] += " …"
    return Quote(title, kept, is_cut)


def _shown(text: str) -> str:
    return _text.HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text.replace("\t", "    "))


def name(person: Person) -> str:
    """A name; one that mixes alphabets, or hides a character, says so."""
    if _text.is_mixed_script(person.name):
        return _("%(name)s (letters of different alphabets in this name)") % {"name": line(person.name)}
    return line(unicodedata.normalize("NFC", person.name))


def who(person: Person, tenant_name: str = "") -> str:
    """A name and where the person works: "Priya N. (Microsoft)"."""
    place = settings.PROVIDER_NAME if person.side == Person.Side.PROVIDER else tenant_name
    return f"{name(person)} ({line(place)})" if place else name(person)


def when(at: datetime, now: datetime) -> str:
    """ "Tue 25 Nov, 14:05 CET", in the recipient's zone."""
    return times.when_words(at, now)


def short_when(at: datetime) -> str:
    """ "Tue 14:05 CET": for subjects, about an instant of these days."""
    local = timezone.localtime(at)
    # Translators: an instant within a week, in the letters of Django's "date" filter: Tue 14:05
    return f"{dateformat.format(local, pgettext('instant of this week', 'D H:i'))} {times.zone_words(local)}"


def duration(seconds: float) -> str:
    return times.duration_words(seconds)


def about_left(seconds: float) -> str:
    """How long is left, to the nearest five minutes, near the end to the minute: the instant stands beside it."""
    unit = 300 if seconds >= 1800 else 60
    return times.duration_words(max(60, int(seconds / unit + 0.5) * unit))


def reading(level: str, resources: list[Resource]) -> str:
    """What would be done, short enough for a subject: "read 1 mailbox"."""
    amount = sentences.amount(resources)
    if level == Level.READ:
        return _("read %(amount)s") % {"amount": amount}
    return _("see names in %(amount)s") % {"amount": amount}


def level(level: str, resources: list[Resource]) -> str:
    """What is given and what is not."""
    kinds = {str(resource.kind) for resource in resources}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if level == Level.READ:
        read: dict[str, str] = {
            Resource.Kind.MAILBOX: _("read messages; change nothing"),
            Resource.Kind.LIBRARY: _("read documents; change nothing"),
            Resource.Kind.DATABASE: _("read records; change nothing"),
        }
        return read.get(kind) or _("read content; change nothing")
    if kind == Resource.Kind.MAILBOX:
        # A mailbox's list shows more than names, and whoever says yes must know that.
        return _("see senders, dates and subjects; open nothing")
    return _("see names; open nothing")


def ticket(row: Ticket) -> str:
    return f"{row.reference}, {line(row.title)}"


def grouped(digest: str) -> list[str]:
    """A digest in groups of four, in lines that fit a phone."""
    groups = [digest[start : start + 4] for start in range(0, len(digest), 4)]
    return [" ".join(groups[start : start + 8]) for start in range(0, len(groups), 8)]
