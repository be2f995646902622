"""Dates the checkpoints of logs without new entries, many logs at a time.

200,000 logs may be due every hour. At each dating, a part of the log is compared again. For a short log,
this is one tile. For a long log, the part is so large that the whole log is compared once a day. If a log
differs in any way from what was signed last, it is left to checkpoints.sign(), which refuses it and records
the reason.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from audit_app import canonical, heads, log_events, rechecks
from audit_app.checkpoints import Refusal, look_above, origin_of, place_of, signed_note
from audit_app.keys import Keys
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogAlarm, SignedHead, Tile
from audit_app.notes import Head
from audit_app.stored_heads import StoredHead
from audit_app.tiles import WIDTH, MissingTile, Tiles, places

#: The number of logs that are read, signed and written together, with about one tile of entries each. Long logs, with
#: more to compare, are in smaller batches.
BATCH = 100


def batches(rows: Iterable[SignedHead], *, at: dt.datetime) -> Iterator[list[UUID]]:
    """Group the logs that are dated together. A group must fit into memory."""
    some: list[UUID] = []
    entries = 0
    for row in rows:
        more = _part(row, at).count
        if some and (len(some) >= BATCH or entries + more > BATCH * WIDTH):
            yield some
            some, entries = [], 0
        some.append(row.pk)
        entries += more
    if some:
        yield some


def _part(signed: SignedHead, at: dt.datetime) -> rechecks.Recheck:
    return rechecks.due(signed, at, least=WIDTH)


@dataclass
class _Log:
    """One log as it was read, and the ranges of its entries to compare now."""

    signed: SignedHead
    head: ChainHead
    checkpoint: Checkpoint
    stored: StoredHead
    part: rechecks.Recheck

    def __post_init__(self) -> None:
        self.tiles = Tiles(self.signed.tenant_id, self.signed.shard)
        # Only the hashes of pruned entries are left.
        pruned = self.head.pruned_to - self.head.first_seq
        bounds = [(max(start, pruned), end) for start, end in sorted(self.part.ranges)]
        self.ranges = [(start, end) for start, end in bounds if start < end]
        self.full = [start // WIDTH for start, end in self.part.tiles if end - start == WIDTH]

    @property
    def is_as_signed(self) -> bool:
        size = self.head.size - self.head.first_seq
        return (
            self.head.shard == self.signed.shard == self.checkpoint.shard
            and size == self.signed.size == self.checkpoint.size == self.stored.head.size
            and bytes(self.checkpoint.root) == self.stored.head.root
        )

    @property
    def places(self) -> set[tuple[int, int]]:
        """The tiles to read: those that lead to the root, and those above the compared tiles."""
        return {*places((0, self.signed.size)), *((1, number // WIDTH) for number in self.full)}

    def head_again(self) -> Head:
        """Compute the head a second time, from the tiles that were read."""
        size = self.signed.size
        return Head(origin_of(self.signed.tenant_id, self.signed.shard), size, self.tiles.frontier(size).root())


def date(tenant_ids: Sequence[UUID], *, at: dt.datetime, have: Keys) -> set[UUID]:
    """Date the newest checkpoints of those logs that are still exactly as they were signed. Return the dated logs.

    For this, the bytes of some entries of each log are compared with the tiles. The comparison continues where the last
    one ended.
    """
    # A signer that was stopped meanwhile has an old time, and another may have dated some logs later.
    logs = [log for log in _read(tenant_ids, have, at) if log.is_as_signed and (log.signed.dated_at or at) <= at]
    _read_tiles(logs)
    entries = _read_entries(logs)
    sound = [log for log in logs if _is_sound(log, entries[log.signed.tenant_id])]
    # As for every signature, the stored head is moved first. Here it only gets its next generation.
    moved = heads.renew([log.stored for log in sound])
    notes = {}
    for log in sound:
        if log.stored.head.origin not in moved:
            continue
        try:
            note = signed_note(log.stored.head, have, at, last=log.stored, again=log.head_again)
            notes[log.signed.tenant_id] = str(note)
        except Refusal:
            continue
    return _write([log for log in logs if log.signed.tenant_id in notes], notes, at)


def _read(tenant_ids: Sequence[UUID], have: Keys, at: dt.datetime) -> Iterable[_Log]:
    """Read the state of these logs.

    The tables are read in the same order as in checkpoints._read. In another order, the work of another signer
    could look like a changed log.
    """
    alarmed = LogAlarm.objects.filter(pk__in=tenant_ids).values("pk")
    # A new key is first announced in the log, and a log with an alarm is checked completely. So both are left out.
    signed = SignedHead.objects.filter(pk__in=tenant_ids, key=have.publics[0]).exclude(pk__in=alarmed)
    rows = {row.pk: row for row in signed}
    checkpoints = {each.tenant_id: each for each in _newest(rows)}
    stored = heads.get_many([origin_of(pk, row.shard) for pk, row in rows.items()])
    for head in ChainHead.objects.filter(pk__in=list(checkpoints)):
        row = rows[head.pk]
        outside = stored.get(origin_of(head.pk, row.shard))
        if outside is not None:
            yield _Log(row, head, checkpoints[head.pk], outside, _part(row, at))


def _newest(rows: dict[UUID, SignedHead]) -> QuerySet[Checkpoint]:
    by_shard: dict[int, list[UUID]] = defaultdict(list)
    for pk, row in rows.items():
        by_shard[row.shard].append(pk)
    wanted = Q(pk__in=[])
    for shard, ids in by_shard.items():
        wanted |= Q(shard=shard, tenant_id__in=ids)
    sizes = Checkpoint.objects.filter(wanted).order_by().values("tenant_id", "shard").annotate(size=Max("size"))
    exact = Q(pk__in=[])
    by_size: dict[tuple[int, int], list[UUID]] = defaultdict(list)
    for found in sizes:
        by_size[found["shard"], found["size"]].append(found["tenant_id"])
    for (shard, size), ids in by_size.items():
        exact |= Q(shard=shard, size=size, tenant_id__in=ids)
    return Checkpoint.objects.filter(exact)


def _read_tiles(logs: list[_Log]) -> None:
    # There is one condition for each range of tiles, of any length, because a database limits the number of conditions.
    wanted: dict[tuple[int, int, int, int], list[UUID]] = defaultdict(list)
    for log in logs:
        runs = [(0, start // WIDTH, -(-end // WIDTH)) for start, end in log.part.ranges]
        for run in {*runs, *((level, number, number + 1) for level, number in log.places)}:
            wanted[log.signed.shard, *run].append(log.signed.tenant_id)
    which = Q(pk__in=[])
    for (shard, level, first, end), ids in wanted.items():
        which |= Q(shard=shard, level=level, number__gte=first, number__lt=end, tenant_id__in=ids)
    by_tenant = {log.signed.tenant_id: log.tiles for log in logs}
    for tenant_id, level, number, hashes in Tile.objects.filter(which).values_list(
        "tenant_id", "level", "number", "hashes"
    ):
        by_tenant[tenant_id].give((level, number), bytes(hashes))


def _read_entries(logs: list[_Log]) -> dict[UUID, list[tuple[int, bytes]]]:
    """Return, for each log, the entries to compare: the index, and the leaf hash that is computed from the bytes."""
    wanted: dict[tuple[int, int], list[UUID]] = defaultdict(list)
    firsts = {}
    for log in logs:
        firsts[log.signed.tenant_id] = log.head.first_seq
        for start, end in log.ranges:
            wanted[log.head.first_seq + start, log.head.first_seq + end].append(log.signed.tenant_id)
    which = Q(pk__in=[])
    for (start, end), ids in wanted.items():
        which |= Q(tenant_id__in=ids, seq__gte=start, seq__lt=end)
    found: dict[UUID, list[tuple[int, bytes]]] = defaultdict(list)
    rows = AuditEntry.objects.filter(which).order_by("tenant_id", "seq").values_list("tenant_id", "seq", "canonical")
    for tenant_id, seq, body in rows.iterator(2000):
        found[tenant_id].append((seq - firsts[tenant_id], canonical.leaf_hash(bytes(body))))
    return found


def _is_sound(log: _Log, entries: list[tuple[int, bytes]]) -> bool:
    """Return whether the log's tiles lead to the signed root, and the compared entries fit their tiles."""
    if not log_events.is_pruning_logged(log.head):
        return False
    try:
        if log.tiles.frontier(log.signed.size).hashes != log.stored.frontier.hashes:
            return False
        if [index for index, _leaf in entries] != [index for each in log.ranges for index in range(*each)]:
            return False
        for index, leaf in entries:
            at = index % WIDTH * 32
            if log.tiles.leaves(index // WIDTH)[at : at + 32] != leaf:
                return False
        for number in log.full:
            look_above(log.tiles, number)
    except (MissingTile, Refusal):
        return False
    return True


def _write(logs: list[_Log], notes: dict[UUID, str], at: dt.datetime) -> set[UUID]:
    """Store the dated checkpoints, except those of logs that another signer has changed meanwhile."""
    with transaction.atomic():
        ids = [log.signed.tenant_id for log in logs]
        locked = {row.pk: row for row in SignedHead.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
        same = [log for log in logs if (row := locked.get(log.signed.pk)) and place_of(row) == place_of(log.signed)]
        for log in same:
            log.checkpoint.note, log.checkpoint.dated_at = notes[log.signed.tenant_id], at
            log.signed.dated_at, log.signed.checked_to = at, log.part.end
        # Both rows exist, so that each statement updates many rows.
        Checkpoint.objects.bulk_create(
            [log.checkpoint for log in same],
            update_conflicts=True,
            unique_fields=["tenant_id", "shard", "size"],
            update_fields=["note", "dated_at"],
        )
        SignedHead.objects.bulk_create(
            [log.signed for log in same],
            update_conflicts=True,
            unique_fields=["tenant_id"],
            update_fields=["dated_at", "checked_to"],
        )
    return {log.signed.tenant_id for log in same}
