"""Chooses, after a restore, which signed head of each log is stored outside the database.

A head says how long a log was when it was last signed. If an older head replaced a newer one, the signer would sign
other entries in place of those that the restore has lost. So for each log, the larger head is stored, and two heads
that can't be of one log are refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

from audit_app import checkpoints, heads, heads_place, log_name, restored_database, unwitnessed
from audit_app.models import ChainHead, LogAlarm, LogKey, Witness
from audit_app.notes import Head, Note
from audit_app.stored_heads import StoredHead
from audit_app.tiles import Tiles


class Source(IntEnum):
    """Where a head comes from, the most trustworthy place first."""

    HERE = 0  # stored where the signer stores it
    COPY = 1  # copied from there to another place
    BACKUP = 2  # only in the backup: nobody knows what was signed later


class Fork(Exception):
    """Two heads of one log can't both be true, or a head belongs to another installation. The text says which."""


@dataclass
class Choice:
    """The heads to store, and the logs whose newest head may be lost. Make it with `choose`."""

    chosen: dict[str, StoredHead] = field(default_factory=dict)
    doubtful: list[UUID] = field(default_factory=list)

    def store(self) -> None:
        """Store the heads where the signer looks for them. A head that is there and larger stays."""
        present = heads.get_many(list(self.chosen))
        for origin, stored in self.chosen.items():
            before = present.get(origin)
            # Another host may have signed since the heads were read.
            if before is None or before.head.size < stored.head.size:
                heads.put(stored.head, stored.frontier, stored.note, after=before)
            elif before.head.size == stored.head.size and before.head.root != stored.head.root:
                raise Fork(f"another head of {origin} with {before.head.size} entries was stored meanwhile")
        heads_place.accept()

    def mark(self, at: dt.datetime) -> list[UUID]:
        """Write the alarms: of logs that are shorter than signed, and of logs whose witnesses must be asked.

        Call it in the transaction that restores the database. Return the logs that are shorter, or different.
        """
        last: dict[UUID, tuple[int, StoredHead]] = {}
        for stored in self.chosen.values():
            if found := log_name.log_in(stored.head.origin):
                last[found[0]] = max(last.get(found[0], (-1, stored)), (found[1], stored), key=lambda each: each[0])
        set_back = []
        for tenant_id, (shard, stored) in last.items():
            try:
                restored_database.require_follows(tenant_id, shard, stored)
            except checkpoints.Refusal as refusal:
                checkpoints.alarm(tenant_id, refusal, at)
                set_back.append(tenant_id)
        unwitnessed.mark([each for each in self.doubtful if each not in set_back], at=at)
        return set_back


def choose(places: Mapping[Source, Sequence[StoredHead]], known: dict[str, Source]) -> Choice:
    """Compare the heads of all places with each other and with the restored logs, and choose one for each log.

    `known` is where an earlier attempt of this restore found heads, because it may have stored some of the others
    already. Call it while the database is as it was restored, before any entry is added. Raise Fork.
    """
    choice = Choice()
    sources = {**sources_of(places), **known}
    for source in sorted(places):
        for stored in places[source]:
            _require_ours(stored.head.origin)
            origin = stored.head.origin
            _require_same_log(stored)
            other = choice.chosen.get(origin)
            if other is not None and other.head.size == stored.head.size and other.head.root != stored.head.root:
                raise Fork(
                    f"two heads of the log {origin} have {stored.head.size} entries, but different hashes: one of "
                    "them is of another log"
                )
            if other is None or other.head.size < stored.head.size:
                choice.chosen[origin] = stored
    for head in ChainHead.objects.order_by("pk"):
        _from_database(choice, head)
        source = sources.get(checkpoints.origin_of(head.pk, head.shard), Source.BACKUP)
        has_witness = Witness.objects.filter(tenant_id=head.pk).exists()
        is_refused = LogAlarm.objects.filter(pk=head.pk).exclude(code=unwitnessed.CODE).exists()
        if not is_refused and (source == Source.BACKUP or (source == Source.COPY and has_witness)):
            choice.doubtful.append(head.pk)
    return choice


def sources_of(places: Mapping[Source, Sequence[StoredHead]]) -> dict[str, Source]:
    """Return, for each log, the most trustworthy place that has a head of it.

    A head that is shorter than the backup's was an old copy already when the backup was made. It proves nothing.
    """
    of_backup = {stored.head.origin: stored.head.size for stored in places.get(Source.BACKUP, ())}
    found: dict[str, Source] = {}
    for source in sorted(places):
        for stored in places[source]:
            if stored.head.size >= of_backup.get(stored.head.origin, 0):
                found.setdefault(stored.head.origin, source)
    return found


def newest_date(places: Mapping[Source, Sequence[StoredHead]]) -> dt.datetime | None:
    """Return when the newest of these heads was signed, or None. Call it when the database is restored."""
    publics = [bytes(row.public) for row in LogKey.objects.all()]
    notes = [stored.note for heads_there in places.values() for stored in heads_there]
    return max((date for note in notes for date in restored_database.dates_in(note, publics)), default=None)


def _require_ours(origin: str) -> None:
    log = log_name.log_in(origin)
    if log is None or checkpoints.origin_of(*log) != origin:
        raise Fork(f"the head of {origin} belongs to another installation, not to {log_name.current()}")


def _require_same_log(stored: StoredHead) -> None:
    """Raise Fork if the restored log is as long as this head, and has another hash there."""
    log = log_name.log_in(stored.head.origin)
    assert log is not None
    tenant_id, shard = log
    head = ChainHead.objects.filter(pk=tenant_id, shard=shard).first()
    if head is None or head.size - head.first_seq < stored.head.size:
        return
    if restored_database.root(head, stored.head.size) != stored.head.root:
        raise Fork(
            f"the head of {stored.head.origin} with {stored.head.size} entries is not of the log in this backup: "
            "one of the two was changed, or belongs to another installation"
        )


def _from_database(choice: Choice, head: ChainHead) -> None:
    """Choose the newest checkpoint in the database if it is larger. It was signed while the backup was made."""
    origin = checkpoints.origin_of(head.pk, head.shard)
    newest = checkpoints.newest(head.pk, head.shard)
    other = choice.chosen.get(origin)
    if newest is None or (other is not None and other.head.size >= newest.size):
        return
    signed = Head.parse(Note.parse(newest.note).text)
    frontier = Tiles(head.pk, head.shard).frontier(newest.size)
    if signed.origin != origin or signed.root != frontier.root() or signed.size != newest.size:
        raise Fork(f"the newest checkpoint of {origin} does not match its entries")
    choice.chosen[origin] = StoredHead(signed, frontier, newest.note)
