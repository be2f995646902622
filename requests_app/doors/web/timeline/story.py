"""The content of a timeline in words, for every format: its first part, who decided what, and every entry."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import unescape
from itertools import islice
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count
from django.utils.formats import number_format
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from audit_app import notes
from audit_app.bundle_selection import ACCESS_REQUEST, PERIOD, BundledShard
from audit_app.entry_checks import leaves_of
from audit_app.evidence import Evidence
from audit_app.models import AuditEntry
from requests_app.domain.actors import Actor
from requests_app.domain.acts import marked
from requests_app.domain.acts.access_requests import ACCESS_REQUEST_SUBMITTED
from requests_app.domain.acts.content import (
    CONTENT_ACCESS_ALLOWED,
    CONTENT_DOWNLOADED,
    CONTENT_LISTED,
    CONTENT_REPORTED,
    CONTENT_REPORTED_OUTSIDE,
)
from requests_app.domain.acts.declaration import Mark
from requests_app.domain.events import title_of
from requests_app.domain.reports import Kind
from requests_app.doors.web._log_forms import Sentences
from requests_app.models import AccessRequest, Resource, Tenant
from requests_app.queries import log as queries
from requests_app.words import sentences, times

#: How many decisions and windows are listed before the entries, and how many opened items.
LISTED, ITEMS = 200, 500
_REPORTED = (CONTENT_REPORTED, CONTENT_REPORTED_OUTSIDE)
_BATCH = 1000

YES, NO, CLOSED, TAKEN = (marked(mark) for mark in (Mark.APPROVED, Mark.DENIED, Mark.CLOSED, Mark.OPENED))
ACCESSED = marked(Mark.OPENED, Mark.LISTED)
_TURNS = marked(Mark.ASKED, Mark.APPROVED, Mark.DENIED, Mark.OVER, Mark.CLOSED)

#: A shape for each kind of entry, so that the kinds are also different in a grey print.
_MARKS = (
    (YES, ("yes", "✓")),
    (NO, ("no", "✕")),
    (CLOSED, ("closed", "■")),
    (ACCESSED, ("looked", "◆")),
    (marked(Mark.TROUBLE), ("no", "▲")),
)
#: An icon refers to another file, which does not exist beside a downloaded page.
_ICON = re.compile(r"<svg\b.*?</svg>", re.DOTALL)


@dataclass(frozen=True)
class Subject:
    """What the evidence is about: the log of this tenant, or one access request in this log."""

    tenant: Tenant
    access_request: AccessRequest | None = None


class Line(NamedTuple):
    """One entry in words. It is a tuple, because there can be a million of them."""

    shard: int
    number: int
    at: dt.datetime
    event: str
    html: SafeString
    comment: str
    reference: str
    #: The first twelve digits of the leaf hash.
    leaf: str
    is_intact: bool

    @property
    def text(self) -> str:
        return unescape(strip_tags(self.html))

    @property
    def when(self) -> str:
        return instant(self.at)

    @property
    def mark(self) -> tuple[str, str]:
        return _mark_of(self.event)


@lru_cache(1000)
def _mark_of(event: str) -> tuple[str, str]:
    return next((mark for events, mark in _MARKS if event in events), ("other", "·"))


@dataclass(frozen=True)
class Fact:
    """A label with the lines of its value. If `is_quote` is true, the value is what somebody wrote."""

    label: str
    lines: list[str]
    is_quote: bool = False


class Story:
    """The content of a timeline. Each part is read at its first use, after the bundle's own files are written."""

    def __init__(self, prepared: Evidence, subject: Subject, *, actor: Actor) -> None:
        self.prepared, self.subject, self.at = prepared, subject, prepared.at
        self._actor = actor
        self._sentences: Sentences | None = None

    # --- The head -----------------------------------------------------------------------------------------

    @cached_property
    def title(self) -> str:
        tenant, row = self.subject.tenant.name, self.subject.access_request
        if row is not None and row.is_practice:
            return _("Evidence of practice request %(reference)s") % {"reference": row.reference}
        if row is not None:
            return _("Evidence of access request %(reference)s") % {"reference": row.reference}
        if self.prepared.wanted.kind == PERIOD:
            return _("Evidence of a period of the log of %(tenant)s") % {"tenant": tenant}
        return _("Evidence of the whole log of %(tenant)s") % {"tenant": tenant}

    @property
    def made(self) -> str:
        return instant(self.at)

    @cached_property
    def facts(self) -> list[Fact]:
        """The customer, the provider, the period, the number of entries, and when the evidence was made."""
        wanted, count = self.prepared.wanted, self.prepared.count
        found = [
            Fact(_("Customer"), [self.subject.tenant.name]),
            Fact(_("Provider"), [settings.PROVIDER_NAME]),
        ]
        if wanted.is_practice:
            found.insert(0, Fact(_("Practice"), [str(sentences.PRACTICE)]))
        if wanted.kind == PERIOD:
            found.append(Fact(_("Period"), [_between(wanted.since, wanted.until)]))
        entries = ngettext("%(n)s entry", "%(n)s entries", count) % {"n": counted(count)}
        found.append(Fact(_("In this evidence"), [entries, *self._gaps()]))
        found.append(Fact(_("Evidence made"), [self.made]))
        return found

    def _gaps(self) -> Iterator[str]:
        waiting = self.prepared.waiting
        if waiting:
            yield ngettext(
                "%(n)s more entry was not signed yet, and is not in this evidence",
                "%(n)s more entries were not signed yet, and are not in this evidence",
                waiting,
            ) % {"n": counted(waiting)}
        for part in self.prepared.parts:
            if part.pruned:
                yield _("entries 0 to %(last)s of log %(shard)s were removed, because their storage time was over") % {
                    "last": counted(part.pruned - 1),
                    "shard": part.shard,
                }
            if part.closed_by is not None:
                yield _("entry number %(seq)s closed log %(shard)s as damaged") % {
                    "shard": part.shard,
                    "seq": counted(part.closed_by),
                }

    @cached_property
    def asked(self) -> list[Fact]:
        """The content of the access request, from the entry about its submission."""
        entry = self._submission
        if entry is None:
            return []
        record = _read(entry)
        detail, actor = record["detail"], record["actor"]
        who = ", ".join(filter(None, (str(actor.get("name", "")), settings.PROVIDER_NAME, str(actor.get("email", "")))))
        resources = [one for one in _list(detail, "resources") if isinstance(one, dict)]
        length = detail.get("window_for")
        found = [
            Fact(_("Who asked"), [who]),
            Fact(_("When"), [instant(entry.at)]),
            Fact(_("To do what"), [_act(detail, resources)]),
            Fact(_("On what"), [str(one.get("name", "")) for one in resources]),
            Fact(_("The service’s words about the level"), [str(detail.get("service_words") or "")]),
            Fact(_("Enforced by"), [self.enforced_by]),
            Fact(_("For how long"), [times.duration_words(length)] if isinstance(length, int) else []),
            Fact(_("No longer than until"), [str(detail.get("until") or "")]),
            Fact(_("Marked as an emergency"), [_("Yes. The mark changes nothing.")] if detail.get("emergency") else []),
            Fact(_("Address that the API client gave"), [str(detail.get("source_url") or "")]),
            Fact(_("Ticket"), [str(detail.get("ticket") or "")]),
            Fact(_("Demanded by"), [" ".join(str(detail.get(n) or "") for n in ("authority", "instrument"))]),
            Fact(_("Why"), str(detail.get("justification", "")).splitlines(), is_quote=True),
            Fact(_("What was tried before"), str(detail.get("tried", "")).splitlines(), is_quote=True),
        ]
        return [fact for fact in found if any(line.strip() for line in fact.lines)]

    @cached_property
    def _submission(self) -> AuditEntry | None:
        if self.subject.access_request is None:
            return None
        return next((one for one in self._entries_of(_TURNS) if one.event == ACCESS_REQUEST_SUBMITTED), None)

    @cached_property
    def enforced_by(self) -> str:
        """The application that enforced the window, according to the log. "" if the content was read through us."""
        found = _read(self._submission)["detail"].get("enforced_by") if self._submission else ""
        return str(found or "")

    @cached_property
    def turns(self) -> list[Line]:
        """At most LISTED entries about who asked, who decided, and how windows ended, in order."""
        return self._lines_of(self._entries_of(_TURNS))

    @cached_property
    def has_more_turns(self) -> bool:
        return sum(n for event, n in self._events.items() if event in _TURNS) > len(self.turns)

    @cached_property
    def window(self) -> str:
        """A sentence that says when the access request's window was open, or "" if there is no window."""
        opened = next((entry for entry in self._entries_of(YES) if _read(entry)["detail"].get("opens_at")), None)
        if self.subject.access_request is None or opened is None:
            return ""
        detail = _read(opened)["detail"]
        closed = next(iter(self._entries_of(CLOSED)), None)
        due = _parsed(detail.get("closes_at"))
        times_of = {"from": instant(_parsed(detail["opens_at"])), "due": instant(due)}
        if closed is None:
            return (
                _(
                    "Opened %(from)s, and could stay open until %(due)s. This evidence does not contain the end of "
                    "the window."
                )
                % times_of
            )
        return _("Opened %(from)s, and could stay open until %(due)s. Closed %(closed)s: %(how)s") % {
            **times_of,
            "closed": instant(closed.at),
            "how": title_of(closed.event),
        }

    @cached_property
    def activities(self) -> tuple[list[tuple[str, list[str]]], bool]:
        """The opened items of each resource, each item once, and whether there are more items."""
        found: dict[str, dict[str, None]] = {}
        opened = self._entries_of(TAKEN, limit=ITEMS + 1)
        for entry in opened[:ITEMS]:
            detail = _read(entry)["detail"]
            name = str(detail.get("reference") or detail.get("item") or "")
            if entry.event == CONTENT_DOWNLOADED:
                how = _("%(name)s: an attachment was downloaded") if detail.get("part") else _("%(name)s: downloaded")
                name = how % {"name": name}
            found.setdefault(str(detail.get("resource_name", "")), {})[name] = None
        return [(resource, list(items)) for resource, items in found.items()], len(opened) > ITEMS

    @cached_property
    def listed(self) -> int:
        """How many items were listed by name. Each item counts once in its resource."""
        found: set[tuple[str, str]] = set()
        for part in self.prepared.parts:
            lists = part.sources()[0].filter(event=CONTENT_LISTED)
            for entry in lists.iterator(chunk_size=_BATCH):
                detail = _read(entry)["detail"]
                items = (item for item in _list(detail, "items") if isinstance(item, dict))
                found |= {(str(detail.get("resource")), str(item.get("id"))) for item in items}
        return len(found)

    @cached_property
    def reported(self) -> int:
        """How many accesses the application reported. One entry can have many of them."""
        found = 0
        for part in self.prepared.parts:
            for entry in part.sources()[0].filter(event__in=_REPORTED).iterator(chunk_size=_BATCH):
                detail = _read(entry)["detail"]
                found += int(detail.get("count", 0)) if detail.get("kind") == Kind.ACCESS else 0
        return found

    @cached_property
    def seen(self) -> str:
        """The text beside the opened items.

        The text says how many names were listed, and how often another service got permission. If another application
        enforced the window, the text says what Lockbox allowed there, and what this application reported.
        """
        if self.window and self.enforced_by:
            n = self._events.get(CONTENT_ACCESS_ALLOWED, 0) + self.reported
            seen = {"kinds": {}, "allowed": n, "reported": self.reported}
            return sentences.summary(seen, enforced_by=self.enforced_by) + "."
        listed = sentences.listed(self.listed) if self.window and self.listed else ""
        if self.window and not self.activities[0] and not self.allowed:
            text = _("%(listed)s, nothing opened") % {"listed": listed} if listed else _("nothing was looked at")
            return f"{capfirst(text)}."
        return " ".join(f"{capfirst(part)}." for part in (listed, self.allowed) if part)

    @cached_property
    def allowed(self) -> str:
        """How often another service got permission, in words, or "" if it never did."""
        n = self._events.get(CONTENT_ACCESS_ALLOWED, 0)
        return sentences.allowed(n) if n else ""

    @cached_property
    def kinds(self) -> list[tuple[str, int]]:
        """How many entries of each kind there are, the most frequent kind first."""
        by_title: Counter[str] = Counter()
        for event, n in self._events.items():
            by_title[title_of(event)] += n
        return sorted(by_title.items(), key=lambda pair: (-pair[1], pair[0]))

    @cached_property
    def logs(self) -> list[tuple[BundledShard, str]]:
        """The shards of the log, each with its signed root."""
        return [(part, notes.hash_lines([bytes(part.checkpoint.root)]).strip()) for part in self.prepared.parts]

    @cached_property
    def _events(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for part in self.prepared.parts:
            for rows in part.sources():
                for event, n in rows.order_by().values_list("event").annotate(n=Count("pk")):
                    found[event] += n
        return found

    def _entries_of(self, events: Iterable[str], *, limit: int | None = None) -> list[AuditEntry]:
        limit = LISTED if limit is None else limit
        found: list[AuditEntry] = []
        for part in self.prepared.parts:
            # Only the first source: the entries about the log itself are not steps of an access request.
            rows = part.sources()[0].filter(event__in=[str(event) for event in events])
            found += rows[: limit - len(found)]
        return found

    # --- The entries --------------------------------------------------------------------------------------

    def lines(self) -> Iterator[Line]:
        """Yield all entries of the bundle in words. The memory does not grow with the number of entries."""
        entries = self.prepared.entries()
        while batch := list(islice(entries, _BATCH)):
            yield from self._lines_of(batch)

    def _lines_of(self, entries: list[AuditEntry]) -> list[Line]:
        about, language = queries.about(entries, actor=self._actor), get_language()
        references, sentences_of = about.access_requests, self._sentences
        if sentences_of is None or sentences_of.language != language:
            sentences_of = self._sentences = Sentences(self.subject.tenant, at=self.at, language=language)
        leaves = leaves_of([bytes(entry.canonical) for entry in entries])
        lines = []
        # One loop without calls of its own: there can be a million entries.
        for entry, computed in zip(entries, leaves, strict=True):
            sentence, comment = sentences_of.of(entry, about)
            if "<svg" in sentence:
                sentence = SafeString(_ICON.sub("", sentence))
            seq, request, leaf = entry.seq, entry.correlation_id, bytes(entry.leaf_hash)
            shard, first_seq = self._place_of(seq)
            reference = references.get(request, "") if request else ""
            digits, is_intact = leaf[:6].hex(), computed == leaf
            number = seq - first_seq
            lines.append(Line(shard, number, entry.at, entry.event, sentence, comment, reference, digits, is_intact))
        return lines

    def _place_of(self, seq: int) -> tuple[int, int]:
        """Return the shard of an entry, and the shard's first number."""
        newest = self._firsts[0]
        return newest if seq >= newest[1] else next(each for each in self._firsts if seq >= each[1])

    @cached_property
    def _firsts(self) -> list[tuple[int, int]]:
        """Each shard and its first number, the newest shard first."""
        return [(part.shard, part.first_seq) for part in reversed(self.prepared.parts)]


# --- Words -----------------------------------------------------------------------------------------------


def instant(at: dt.datetime | None) -> str:
    """Format an instant in UTC, to the second. Return "" for None."""
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def counted(number: int) -> str:
    return number_format(number, use_l10n=True, force_grouping=True)


def _between(since: dt.datetime | None, until: dt.datetime | None) -> str:
    if since and until:
        return _("from %(since)s, and before %(until)s") % {"since": instant(since), "until": instant(until)}
    if since:
        return _("from %(since)s on") % {"since": instant(since)}
    return _("before %(until)s") % {"until": instant(until)}


def _act(detail: dict[str, Any], resources: list[dict[str, Any]]) -> str:
    known = [
        Resource(kind=one["kind"], name=str(one.get("name", "")))
        for one in resources
        if one.get("kind") in Resource.Kind.values
    ]
    text = sentences.reading(str(detail.get("level", "")), known)
    return text[:1].upper() + text[1:]


def _read(entry: AuditEntry) -> dict[str, dict[str, Any]]:
    """Return the `actor` and the `detail` of an entry.

    Both are empty for a damaged entry, so that the rest can be shown.
    """
    try:
        record = json.loads(bytes(entry.canonical))
    except ValueError:
        record = None
    record = record if isinstance(record, dict) else {}
    return {name: found if isinstance(found := record.get(name), dict) else {} for name in ("actor", "detail")}


def _list(detail: dict[str, Any], name: str) -> list[Any]:
    found = detail.get(name)
    return found if isinstance(found, list) else []


def _parsed(text: object) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None


__all__ = ["ACCESS_REQUEST", "Fact", "Line", "Story", "Subject", "counted", "instant"]
