"""Finds the entries of a log that contain certain words, in the order of their numbers, without reading all of them.

Full segments are searched with their index (search_index.py), all others by reading them. Every entry that is found is
compared with its own text. So the result never depends on whether a segment is indexed yet, or on how old its index is.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import and_
from uuid import UUID

from django.db.models import QuerySet

from audit_app import search_index
from audit_app.models import AuditEntry, IndexPart
from audit_app.search_terms import Words

#: How many entries are read in one statement, to compare their texts: few at first, because most of them match.
AT_FIRST, AT_ONCE = 100, 1000
_COMPARED = ("seq", "text", "actor_name")
#: The most work for one page, in entries that are read. It takes about 40 milliseconds. A long text counts as several
#: entries, by its characters after folding: one letter can become 18.
MOST_READ = 8_000
#: What it costs to look at the index of one segment, in entries that are read.
_SEGMENT_COST = 5
#: How many segments are looked up in one statement: few at first, because frequent words fill a page from one.
_GROUPS = (2, 8, 32, 128)
#: So many bits are compared at once. More are read only for segments in which entries are left.
_SLOTS_AT_ONCE = 4


@dataclass(frozen=True)
class Step:
    """What one step of a search found. Everything up to `edge` has been searched.

    With the newest first, `edge` is the lowest number that was searched. Otherwise it is one more than the highest.
    """

    numbers: list[int]
    edge: int
    cost: int


@dataclass(frozen=True)
class Found:
    """The numbers of the entries that match. If the search stopped early, `edge` says where."""

    numbers: list[int]
    edge: int | None = None


def find(
    rows: QuerySet[AuditEntry],
    tenant_id: UUID,
    words: Words,
    *,
    first: int,
    end: int,
    newest_first: bool,
    limit: int,
    most: int,
) -> Found:
    """Return at most `limit` numbers of matching entries, from `first` up to, and without, `end`.

    `rows` are entries of this log only, selected by everything except words. The search stops early when it has read
    about `most` entries.
    """
    numbers: list[int] = []
    cost, edge = 0, end if newest_first else first
    for step in walk(rows, tenant_id, words, first=first, end=end, newest_first=newest_first):
        numbers += step.numbers
        cost, edge = cost + step.cost, step.edge
        if len(numbers) >= limit:
            return Found(numbers[:limit])
        if cost >= most:
            break
    is_all = edge <= first if newest_first else edge >= end
    return Found(numbers, None if is_all else edge)


def walk(
    rows: QuerySet[AuditEntry], tenant_id: UUID, words: Words, *, first: int, end: int, newest_first: bool
) -> Iterator[Step]:
    """Yield all matching entries in steps. Each step reads a limited number of rows."""
    if words.are_few:
        yield from _compared(rows, words, _Read(first, end), newest_first=newest_first)
        return
    have = _indexed(tenant_id, first, end)
    index = _Index(tenant_id, words.slots(), have)
    for is_indexed, low, high in _stretches(have, first, end, newest_first=newest_first):
        reads = index.candidates(low, high, newest_first=newest_first) if is_indexed else _unread(low, high)
        for some in reads:
            yield from _compared(rows, words, some, newest_first=newest_first)


def entries(rows: QuerySet[AuditEntry], numbers: Sequence[int], *, newest_first: bool) -> list[AuditEntry]:
    """Return the entries with these numbers, in the order of a search."""
    return list(rows.filter(seq__in=numbers).order_by("-seq" if newest_first else "seq")) if numbers else []


def in_order(
    rows: QuerySet[AuditEntry], tenant_id: UUID, words: Words, *, first: int, end: int
) -> Iterator[AuditEntry]:
    """Yield all entries that match, the oldest first. They are read in batches."""
    waiting: list[int] = []
    for step in walk(rows, tenant_id, words, first=first, end=end, newest_first=False):
        waiting += step.numbers
        while len(waiting) >= AT_ONCE:
            yield from entries(rows, waiting[:AT_ONCE], newest_first=False)
            del waiting[:AT_ONCE]
    yield from entries(rows, waiting, newest_first=False)


@dataclass(frozen=True)
class _Read:
    """Entries to compare with their texts: those with `numbers`, or all from `low` up to, and without, `high`."""

    low: int
    high: int
    cost: int = 0
    numbers: Sequence[int] | None = None


def _unread(low: int, high: int) -> Iterator[_Read]:
    yield _Read(low, high)


def _compared(rows: QuerySet[AuditEntry], words: Words, read: _Read, *, newest_first: bool) -> Iterator[Step]:
    """Compare entries with what is searched. A step ends early if its texts are long."""
    for texts, edge, cost in _batches(rows, read, newest_first=newest_first):
        numbers = []
        for seq, text, name in texts:
            is_match, effort = words.compare(text, name)
            cost += effort
            if is_match:
                numbers.append(seq)
            if cost > AT_ONCE:
                yield Step(numbers, seq + (not newest_first), cost)
                numbers, cost = [], 0
        yield Step(numbers, edge, cost)


#: The number of each entry with its text and the name of its actor, in the order of the search.
_Texts = list[tuple[int, str, str]]


def _batches(rows: QuerySet[AuditEntry], read: _Read, *, newest_first: bool) -> Iterator[tuple[_Texts, int, int]]:
    """Yield the entries to compare, each time with the edge behind them, and what it cost to find them."""
    order, last = ("-seq", read.low) if newest_first else ("seq", read.high)
    if read.numbers is not None:
        begins = (0, *range(AT_FIRST, len(read.numbers), AT_ONCE), len(read.numbers))
        cost = read.cost
        for at, end in pairwise(begins):
            part = read.numbers[at:end]
            texts = list(rows.filter(seq__in=part).order_by(order).values_list(*_COMPARED)) if part else []
            edge = last if end == len(read.numbers) else part[-1] + (not newest_first)
            yield texts, edge, cost + len(part) - len(texts)
            cost = 0
        return
    low, high = read.low, read.high
    while True:
        some = rows.filter(seq__gte=low, seq__lt=high).order_by(order)
        texts = list(some.values_list(*_COMPARED)[:AT_ONCE])
        if len(texts) < AT_ONCE:
            yield texts, last, 0
            return
        edge = texts[-1][0] + (not newest_first)
        low, high = (low, edge) if newest_first else (edge, high)
        yield texts, edge, 0


def _indexed(tenant_id: UUID, first: int, end: int) -> dict[int, int]:
    """Return the segments to be searched with the index. To read a few entries takes no longer than to look there."""
    if end - first <= search_index.SEGMENT // 4:
        return {}
    return search_index.indexed(tenant_id, first // search_index.SEGMENT, (end - 1) // search_index.SEGMENT + 1)


def _stretches(have: Container[int], first: int, end: int, *, newest_first: bool) -> list[tuple[bool, int, int]]:
    """Divide the numbers from `first` to `end` into stretches of segments that are indexed, and that are not."""
    found: list[tuple[bool, int, int]] = []
    for segment in range(first // search_index.SEGMENT, (end - 1) // search_index.SEGMENT + 1) if first < end else ():
        is_indexed, at = segment in have, segment * search_index.SEGMENT
        low, high = max(first, at), min(end, at + search_index.SEGMENT)
        if found and found[-1][0] == is_indexed:
            low = found.pop()[1]
        found.append((is_indexed, low, high))
    return found[::-1] if newest_first else found


class _Index:
    """Reads the bits of a search from the index. Once it has seen how frequent each bit is, the rarest come first."""

    def __init__(self, tenant_id: UUID, slots: list[int], have: Mapping[int, int]) -> None:
        self.tenant_id = tenant_id
        self.slots = slots
        self.have = have
        self._is_ordered = False

    def candidates(self, low: int, high: int, *, newest_first: bool) -> Iterator[_Read]:
        """Yield the entries that have all the bits, in groups of segments."""
        segments = list(range(low // search_index.SEGMENT, (high - 1) // search_index.SEGMENT + 1))
        if newest_first:
            segments.reverse()
        at = 0
        for size in (*_GROUPS, *([_GROUPS[-1]] * len(segments))):
            group = segments[at : at + size]
            if not group:
                return
            at += size
            bottom = max(low, min(group) * search_index.SEGMENT)
            top = min(high, (max(group) + 1) * search_index.SEGMENT)
            left = self._left(group)
            if self._is_changed(group):
                yield _Read(bottom, top)
                continue
            numbers = [seq for segment in group for seq in _numbers(segment, left.get(segment, 0), newest_first)]
            numbers = [seq for seq in numbers if bottom <= seq < top]
            yield _Read(bottom, top, len(group) * _SEGMENT_COST, numbers)

    def _is_changed(self, group: list[int]) -> bool:
        """Return whether the index of these segments was deleted or made again since the search began.

        A part of it may have been missing when it was read. This happens when old entries are removed.
        """
        now = search_index.indexed(self.tenant_id, min(group), max(group) + 1)
        return any(now.get(segment) != self.have[segment] for segment in group)

    def _left(self, group: list[int]) -> dict[int, int]:
        """Return, for each segment that has some, the entries that have all the bits."""
        if not self._is_ordered:
            found = self._read(group, self.slots)
            count = {slot: sum(found.get((each, slot), 0).bit_count() for each in group) for slot in self.slots}
            self.slots.sort(key=count.__getitem__)
            self._is_ordered = True
            return _and(group, self.slots, found)
        left: dict[int, int] = {}
        for at in range(0, len(self.slots), _SLOTS_AT_ONCE):
            slots, segments = self.slots[at : at + _SLOTS_AT_ONCE], list(left) if at else group
            more = _and(segments, slots, self._read(segments, slots))
            left = {segment: both for segment, some in more.items() if (both := some & left.get(segment, some))}
            if sum(entries.bit_count() for entries in left.values()) <= AT_FIRST:
                # To read so few entries takes less time than to read more of the index.
                break
        return left

    def _read(self, segments: list[int], slots: list[int]) -> dict[tuple[int, int], int]:
        by_part: dict[int, list[int]] = {}
        for slot in slots:
            by_part.setdefault(search_index.part_of(slot), []).append(slot)
        rows = IndexPart.objects.filter(tenant_id=self.tenant_id, segment__in=segments, part__in=list(by_part))
        return {
            (segment, slot): search_index.bitmap(bytes(bits), slot)
            for segment, part, bits in rows.order_by().values_list("segment", "part", "bits")
            for slot in by_part[part]
        }


def _and(segments: list[int], slots: list[int], found: dict[tuple[int, int], int]) -> dict[int, int]:
    both = {segment: reduce(and_, (found.get((segment, slot), 0) for slot in slots)) for segment in segments}
    return {segment: entries for segment, entries in both.items() if entries}


def _numbers(segment: int, entries: int, newest_first: bool) -> list[int]:
    """Return the numbers of the entries in a bitmap, in the order of the search."""
    digits = f"{entries:b}"  # the highest number comes first
    top = segment * search_index.SEGMENT + len(digits) - 1
    numbers = [top - at for at, digit in enumerate(digits) if digit == "1"]
    return numbers if newest_first else numbers[::-1]
