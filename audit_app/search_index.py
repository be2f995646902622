"""Makes the search index of the logs: for each segment of a log, which of its entries have which bits.

The index is derived from the entries. It is no evidence, nothing is verified with it, and it can be deleted at any
time. A segment is indexed once, when it is full. The newest entries, which fill no segment yet, are searched without an
index (search.py). So no entry waits for this work, and appending an entry costs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from random import SystemRandom
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from audit_app import log_events
from audit_app.models import AuditEntry, ChainHead, IndexedSegment, IndexPart
from audit_app.search_terms import FORM, SLOTS, facts, slots_of

#: How many entries a segment has. Fewer make the index larger, and more make the search of the newest entries slower.
SEGMENT = 4096
#: So many bits of all entries of a segment are in one row. Each row costs about 100 bytes besides its content.
_IN_ROW = 4
_RAW = -15  # deflate without a header and without a checksum
_INDEXED = ("seq", "text", "actor_name", "event", "actor_id")
#: The most characters of a segment that are divided into groups, counted after folding: 500 for each entry. This takes
#: a few seconds. The other entries of the segment set all bits, so that a search reads them.
MOST_FOLDED = 2_000_000
#: How many entries are read in one statement.
_AT_ONCE = 512
_CHANCE = SystemRandom()


def part_of(slot: int) -> int:
    """Return the number of the row with this bit."""
    return slot // _IN_ROW


def bitmap(row: bytes, slot: int) -> int:
    """Return the entries of a segment that have this bit. The lowest bit is the first entry."""
    width = SEGMENT // 8
    at = slot % _IN_ROW * width
    return int.from_bytes(zlib.decompress(row, _RAW)[at : at + width], "little")


def has_new_work() -> bool:
    """Return whether a log that has grown since it was signed last has a full segment that is not indexed.

    This is one short read of a small index. `due` also finds all other segments, but reads the heads of all logs.
    """
    heads = ChainHead.objects.filter(unsigned_since__isnull=False, size__gte=SEGMENT)
    heads = heads.annotate(newest=F("size") / SEGMENT - 1)
    newest = IndexedSegment.objects.filter(tenant_id=OuterRef("pk"), segment=OuterRef("newest"), form=FORM)
    return heads.filter(~Exists(newest)).exists()


def due(*, tenant_id: UUID | None = None) -> list[UUID]:
    """Return the logs that have full segments that are not indexed."""
    indexed = IndexedSegment.objects.filter(tenant_id=OuterRef("pk"), form=FORM).order_by().values("tenant_id")
    count = Coalesce(Subquery(indexed.annotate(count=Count("pk")).values("count")), Value(0))
    heads = ChainHead.objects.filter(size__gte=SEGMENT).annotate(full=F("size") / SEGMENT, indexed=count)
    if tenant_id is not None:
        heads = heads.filter(pk=tenant_id)
    return list(heads.filter(full__gt=F("indexed")).order_by("pk").values_list("pk", flat=True))


def count_indexed(tenant_id: UUID) -> int:
    """Return how many segments of a log are indexed."""
    return IndexedSegment.objects.filter(tenant_id=tenant_id, form=FORM).count()


def missing(tenant_id: UUID) -> list[int]:
    """Return the full segments of a log that are not indexed, the newest first: people search there most."""
    size = ChainHead.objects.filter(pk=tenant_id).values_list("size", flat=True).first() or 0
    have = indexed(tenant_id, 0, size // SEGMENT)
    return [number for number in reversed(range(size // SEGMENT)) if number not in have]


def indexed(tenant_id: UUID, first: int, end: int) -> dict[int, int]:
    """Return which segments of a log are indexed, from `first` up to, and without, `end`.

    Each has a mark, which is another one after the segment was indexed again.
    """
    rows = IndexedSegment.objects.filter(tenant_id=tenant_id, form=FORM, segment__gte=first, segment__lt=end)
    return dict(rows.values_list("segment", "pk"))


def work(is_over: Callable[[], bool], *, tenant_id: UUID | None = None) -> int:
    """Index full segments until none is left or the time is over. Return how many.

    Each segment is one transaction, and an interruption does no harm. The logs take turns, so that a long one does not
    delay the others. Another log is the first one each time, so that a log that ends this process ends no other log's
    index. If a segment fails, the other logs continue, and the error is raised at the end.
    """
    done, logs = 0, due(tenant_id=tenant_id)
    waiting = {pk: missing(pk) for pk in _CHANCE.sample(logs, len(logs))}
    failure: Exception | None = None
    # Each pass builds one segment of each log.
    while waiting:
        for pk, numbers in list(waiting.items()):
            if is_over():
                waiting.clear()
                break
            try:
                done += build(pk, numbers.pop(0))
            except Exception as error:
                failure, numbers = failure or error, []
            if not numbers:
                del waiting[pk]
    if failure:
        raise failure
    return done


def build(tenant_id: UUID, segment: int) -> bool:
    """Index one segment. Return False if another worker did so, or if entries were removed meanwhile.

    The bits are computed before the transaction, so that on SQLite nobody waits for this.
    """
    pruned_to = _pruned_to(tenant_id)
    parts = _parts(tenant_id, segment, pruned_to)
    try:
        with transaction.atomic():
            forget(tenant_id, {segment}, unless=FORM)
            IndexedSegment.objects.create(tenant_id=tenant_id, segment=segment, form=FORM)
            rows = [IndexPart(tenant_id=tenant_id, segment=segment, part=part, bits=bits) for part, bits in parts]
            IndexPart.objects.bulk_create(rows, batch_size=256)
            # The lock is held only for the commit. A removal that is allowed afterwards finds this segment, and one
            # that was allowed meanwhile has moved `pruned_to`. So no removed word stays in the index.
            if _pruned_to(tenant_id, is_locked=True) != pruned_to:
                raise _Pruned
    except (IntegrityError, _Pruned):
        return False
    return True


def forget(tenant_id: UUID, segments: Collection[int], *, unless: str = "") -> None:
    """Delete the index of these segments, unless it has this form. It is made again if they are full."""
    gone = IndexedSegment.objects.filter(tenant_id=tenant_id, segment__in=segments).exclude(form=unless)
    numbers = list(gone.values_list("segment", flat=True))
    if numbers:
        IndexPart.objects.filter(tenant_id=tenant_id, segment__in=numbers).delete()
        gone.delete()


def forget_all(tenant_id: UUID | None = None) -> None:
    """Delete the index of one log, or of all logs."""
    narrow = Q() if tenant_id is None else Q(tenant_id=tenant_id)
    with transaction.atomic():
        IndexPart.objects.filter(narrow).delete()
        IndexedSegment.objects.filter(narrow).delete()


class _Pruned(Exception):
    """Entries were removed while their segment was indexed."""


def _pruned_to(tenant_id: UUID, *, is_locked: bool = False) -> int:
    heads = ChainHead.objects.select_for_update() if is_locked else ChainHead.objects
    return heads.filter(pk=tenant_id).values_list("pruned_to", flat=True).get()


def _parts(tenant_id: UUID, segment: int, pruned_to: int) -> list[tuple[int, bytes]]:
    """Return the rows of the index of a segment. A row without any bit is left out.

    Entries whose removal is allowed are left out, even if they are still there: they may be removed at any moment.
    """
    rows: dict[int, bytearray] = {}
    width, first, left, unread = SEGMENT // 8, segment * SEGMENT, MOST_FOLDED, bytearray(SEGMENT // 8)
    entries = AuditEntry.objects.filter(Q(seq__gte=pruned_to) | Q(event__in=log_events.RETAINED), tenant_id=tenant_id)
    for low in range(first, first + SEGMENT, _AT_ONCE):
        some = entries.filter(seq__gte=low, seq__lt=min(low + _AT_ONCE, first + SEGMENT)).order_by("seq")
        for seq, text, name, event, actor_id in some.values_list(*_INDEXED):
            at, bit = divmod(seq - first, 8)
            if left <= 0:
                unread[at] |= 1 << bit
                continue
            slots, length = slots_of(text, name, facts(event=event, actor_id=actor_id))
            left -= length
            for slot in slots:
                part = part_of(slot)
                row = rows.get(part)
                if row is None:
                    row = rows[part] = bytearray(width * _IN_ROW)
                row[slot % _IN_ROW * width + at] |= 1 << bit
    if any(unread):
        rows = {
            part: _both(bytes(rows.get(part, b"")), bytes(unread) * _IN_ROW) for part in range(part_of(SLOTS - 1) + 1)
        }
    return [(part, zlib.compress(bytes(row), 1, _RAW)) for part, row in sorted(rows.items())]


def _both(row: bytes, more: bytes) -> bytearray:
    return bytearray((int.from_bytes(row, "little") | int.from_bytes(more, "little")).to_bytes(len(more), "little"))
