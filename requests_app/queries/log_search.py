"""Searches a log for words: which entries a search means, one page or all of them, and how far its index is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit_app import periods, search_index
from audit_app import queries as audit
from audit_app import search as searching
from audit_app.models import AuditEntry
from audit_app.search_terms import Words, facts, terms
from requests_app.domain.errors import Unacceptable
from requests_app.models import Person

#: If no more segments than this are not indexed, people notice no difference.
NEARLY = 2
#: The most entries that a call of the API reads to find a page. It takes less than a second.
MOST_READ = 100_000


@dataclass(frozen=True, kw_only=True)
class Search:
    """The conditions of a search in a log. `person` is a part of a name, or a complete email address."""

    wanted: audit.Filter = field(default_factory=audit.Filter)
    words: str = ""
    person: str = ""

    @property
    def is_by_words(self) -> bool:
        return bool(self.parts)

    @property
    def parts(self) -> Words:
        """What the entries must contain. An address is not searched in names."""
        wanted = self.wanted
        name = () if "@" in self.person else terms(self.person)
        known = facts(event=wanted.event, actor_id=wanted.actor_id)
        return Words(text=terms(self.words), name=name, facts=known, are_few=wanted.correlation_id is not None)

    def rows(self, log_id: UUID) -> QuerySet[AuditEntry]:
        """Return the entries that match everything except words."""
        rows = audit.matching(log_id, self.wanted)
        if "@" in self.person:
            ids = Person.objects.get_queryset().filter(email=self.person.lower()).values_list("pk", flat=True)
            rows = rows.filter(actor_id__in=list(ids))
        return rows


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The entries of a log that match a search by words, as the list of the API reads them: in an order, in slices.

    `rows` are selected by everything except words. Their numbers are from `first` up to, and without, `end`.
    """

    rows: QuerySet[AuditEntry]
    log_id: UUID
    words: Words
    first: int = 0
    end: int
    newest_first: bool = False

    def order_by(self, order: str, *_more: str) -> Matches:
        return replace(self, newest_first=order == "-seq")

    def filter(self, *, seq__gt: object = None, seq__lt: object = None) -> Matches:
        """Begin after one number, or end before another one. The list passes the number in a cursor as a text."""
        first = self.first if seq__gt is None else max(self.first, int(str(seq__gt)) + 1)
        end = self.end if seq__lt is None else min(self.end, int(str(seq__lt)))
        return replace(self, first=first, end=end)

    def in_period(self, since: datetime | None, until: datetime | None) -> Matches:
        """Return the part of a period. An entry is never older than the entry before it."""
        first = max(self.first, self._at(since)) if since else self.first
        end = min(self.end, self._at(until)) if until else self.end
        return replace(self, first=first, end=end)

    def __getitem__(self, part: slice) -> list[AuditEntry]:
        found = self.found(part.stop, most=MOST_READ)
        if found.edge is not None:
            raise Unacceptable(
                _("Too many entries must be read to answer this search. Choose a shorter period, or more words."),
                field="q",
            )
        return self.entries(found.numbers)[part]

    def __iter__(self) -> Iterator[AuditEntry]:
        """Yield all entries, the oldest first. They are read in batches."""
        return searching.in_order(self.rows, self.log_id, self.words, first=self.first, end=self.end)

    def found(self, limit: int, *, most: int | None = None) -> searching.Found:
        return searching.find(
            self.rows,
            self.log_id,
            self.words,
            first=self.first,
            end=self.end,
            newest_first=self.newest_first,
            limit=limit,
            most=searching.MOST_READ if most is None else most,
        )

    def entries(self, numbers: list[int]) -> list[AuditEntry]:
        return searching.entries(self.rows, numbers, newest_first=self.newest_first)

    def _at(self, at: datetime) -> int:
        """Return the number of the first entry that is not older than this."""
        return periods.first_since(self.log_id, at, end=self.end)


def matches(search: Search, log_id: UUID, *, end: int) -> Matches:
    """Return the entries before number `end` that match a search by words."""
    wanted = search.wanted
    whole = replace(search, wanted=replace(wanted, since=None, until=None))
    found = Matches(rows=whole.rows(log_id), log_id=log_id, words=search.parts, end=end)
    return found.in_period(wanted.since, wanted.until)


@dataclass(frozen=True)
class Preparing:
    """How much of a log's search index is made. Each part has thousands of entries."""

    done: int
    of: int


def preparing(log_id: UUID, *, size: int) -> Preparing | None:
    """Return how far the search index of a log with `size` entries is, or None if it is up to date, or nearly so."""
    of = size // search_index.SEGMENT
    if of <= NEARLY:
        return None
    done = search_index.count_indexed(log_id)
    return Preparing(done, of) if of - done > NEARLY else None
