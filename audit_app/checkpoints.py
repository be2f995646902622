"""Signs a log's next checkpoint, or records why it can't be signed.

A head is signed only if two conditions hold. It must continue the head that is stored outside the database (heads.py).
And two computations must give the same root: one in memory, from the stored frontier and the bytes of the entries, and
one from the tiles, as the database returns them. Any difference raises Refusal: an alarm is recorded, and nothing is
signed.

Each signature has three steps, and no transaction is open between them: the stored head is moved by compare-and-set;
the head is signed; the checkpoint is published in the database, if no other signer has published meanwhile. A process
can stop between any two steps, for any time: if it continues after another signer, the next step fails.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from audit_app import (
    batches,
    canonical,
    entry_checks,
    heads,
    heads_place,
    keys,
    lease,
    log_events,
    log_name,
    notes,
    other_host,
    rechecks,
    recorder,
    unwitnessed,
)
from audit_app.entries import flaws_of
from audit_app.hsm import HsmFault
from audit_app.keys import BadKey, Keys, NoKey
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, LogAlarm, LogKey, SignedHead
from audit_app.notes import BadNote, Head, Note, Signature
from audit_app.stored_heads import HeadConflict, HeadsUnavailable, NoAnswer, PlaceUnusable, StoredHead
from audit_app.tiles import BITS, WIDTH, MissingTile, Tiles
from audit_app.tree import EMPTY, Frontier

logger = structlog.get_logger(__name__)

#: The most entries that are read for one checkpoint. If more entries wait, several checkpoints are made.
MOST_ENTRIES = 20_000
#: The smallest number of signed entries that are compared again before each signature: 8 tiles (see rechecks.py).
LOOK_BACK = 8 * WIDTH

#: What identifies the last signature of a log in its `SignedHead`. Each signature changes it.
Place = tuple[int, int, dt.datetime | None]

_SYSTEM = {"kind": "system", "id": None, "name": "signer", "side": "system", "email": ""}


class Refusal(Exception):
    """The log differs from what was signed, or can't be compared. `code` is stable; `detail` explains the case."""

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


def place_of(row: SignedHead) -> Place:
    return row.shard, row.size, row.dated_at


def origin_of(tenant_id: UUID, shard: int) -> str:
    """Return the first line of the checkpoints of this shard. It is different for every shard and log."""
    return log_name.origin(log_name.of_log(tenant_id), tenant_id, shard)


# --- One round -------------------------------------------------------------------------------------------


def sign(tenant_id: UUID, *, at: dt.datetime, have: Keys | None = None) -> Checkpoint | None:
    """Sign a log's newest entries, or sign its last checkpoint again with a new time.

    If this succeeds, the log's alarm is removed. Return None for an empty log, or if another signer is at work.
    Raise NoKey if there is no key, PlaceUnusable if the place of the heads can't be used, and NoAnswer if it does not
    answer about this log. If the log is refused, record an alarm and raise Refusal.
    """
    is_round, have = have is not None, have or keys.load()
    log_name.require()
    log_name.record(at)
    try:
        if not is_round:
            # A round has compared this host with the other hosts already.
            other_host.require(have, at)
            heads_place.claim()
        if doubt := unwitnessed.doubt(tenant_id):
            raise Refusal("unwitnessed", **doubt)
        _announce(tenant_id, have, at)
        found = None
        while found is None or found[1]:
            found = _step(tenant_id, have, at)
            if found is None:
                return None
    except PlaceUnusable:
        raise
    except (MissingTile, HeadsUnavailable) as error:
        refusal = Refusal("tile", why=str(error))
        if isinstance(error, HeadsUnavailable):
            heads_place.require_reachable()
            if isinstance(error, NoAnswer):
                raise
            refusal = Refusal("outside_unreadable", why=str(error), host=lease.host())
        alarm(tenant_id, refusal, at)
        raise refusal from error
    except Refusal as refusal:
        alarm(tenant_id, refusal, at)
        raise
    except HeadConflict:
        return None
    if LogAlarm.objects.filter(pk=tenant_id).delete()[0]:
        logger.info("log_signing_recovered", tenant=str(tenant_id))
    return found[0]


@dataclass
class _Reading:
    """The state of a log as it was read for one signature."""

    tenant_id: UUID
    shard: int
    first_seq: int
    size: int
    last: StoredHead | None
    signed: SignedHead
    latest: Checkpoint | None
    pruned_to: int

    @property
    def origin(self) -> str:
        return origin_of(self.tenant_id, self.shard)

    @property
    def before(self) -> Frontier:
        return self.last.frontier.copy() if self.last else Frontier()


def _step(tenant_id: UUID, have: Keys, at: dt.datetime) -> tuple[Checkpoint, bool] | None:
    """Sign one checkpoint. Return it, and whether more entries wait. Return None if there is nothing to sign."""
    reading = _read(tenant_id)
    if reading is None:
        return None
    # A signer that was stopped before it read the log has an old time. The dates of a log's checkpoints never go back.
    at = max(at, reading.signed.dated_at or at)
    size = min(reading.size, reading.before.size + MOST_ENTRIES)
    tiled = min(reading.signed.size, size)
    # After a crash or a restore, the tiles and the stored head may have different lengths.
    start = min(tiled, reading.before.size)
    computed, stored = _leaves(reading, start, size)
    frontier = reading.before
    frontier.extend(computed[frontier.size - start :])
    _look_back(reading, at)
    place = _extend_tiles(reading, tiled, stored[tiled - start :], size)
    if place is None:
        return None
    _agree(reading, Tiles(tenant_id, reading.shard), frontier)
    head, note = _move_and_sign(reading, frontier, have, at)
    checkpoint = _publish(reading, place, head, note, have, at)
    if checkpoint is None:
        return None
    _mark(reading, size, at)
    return checkpoint, size < reading.size


def _extend_tiles(reading: _Reading, tiled: int, leaves: list[bytes], size: int) -> Place | None:
    """Add the new leaves to the tiles, before anything is signed.

    Return the row's place afterwards, or None if another signer has changed the row. No transaction stays open while
    the heads are moved: on SQLite it would stop all other writers, and the heads can be on another machine.
    """
    with transaction.atomic():
        locked = SignedHead.objects.select_for_update().filter(pk=reading.tenant_id).first()
        if locked is None or place_of(locked) != place_of(reading.signed):
            return None
        Tiles(reading.tenant_id, reading.shard).extend(tiled, leaves)
        if locked.size < size:
            locked.size = size
            locked.save(update_fields=["size"])
        return place_of(locked)


def _move_and_sign(reading: _Reading, frontier: Frontier, have: Keys, at: dt.datetime) -> tuple[Head, Note]:
    """Move the stored head to the new one, then sign it, and store the signed note beside it.

    Raise HeadConflict, before anything is signed, if the stored head is not the one that was read. A process that ends
    after the move leaves a head without a note, and the next signer signs it. If another signer has moved the head
    meanwhile, the note can't be stored, and this one is not published.
    """
    last, head = reading.last, Head(reading.origin, frontier.size, frontier.root())

    def again() -> Head:
        return _head_again(reading.tenant_id, reading.shard, frontier.size)

    if head != again():
        raise Refusal("signature", why="the computed head is another one than that of the tiles")
    note_before = last.note if last is not None and last.head == head else ""
    moved = heads.put(head, frontier, note_before, after=last)
    note = signed_note(head, have, at, last=last, again=again)
    if not moved.note:
        heads.put(head, frontier, str(note), after=moved)
    return head, note


def _publish(reading: _Reading, place: Place, head: Head, note: Note, have: Keys, at: dt.datetime) -> Checkpoint | None:
    """Write the checkpoint to the database, or return None if another signer has written one meanwhile."""
    with transaction.atomic():
        locked = SignedHead.objects.select_for_update().filter(pk=reading.tenant_id).first()
        if locked is None or place_of(locked) != place:
            return None
        return _write(reading, head, note, have, locked, at)


def _read(tenant_id: UUID) -> _Reading | None:
    head = ChainHead.objects.filter(pk=tenant_id).first()
    if head is None or head.size == head.first_seq:
        return None
    signed = SignedHead.objects.filter(pk=tenant_id).first()
    if signed is None:
        SignedHead.objects.bulk_create([SignedHead(tenant_id=tenant_id)], ignore_conflicts=True)
        signed = SignedHead.objects.get(pk=tenant_id)
    if signed.shard < head.shard:
        signed.shard, signed.size, signed.checked_to = head.shard, 0, 0
        SignedHead.objects.filter(pk=tenant_id, shard__lt=head.shard).update(shard=head.shard, size=0, checked_to=0)
    # The order matters. Another signer first reads the entries, then stores a head, and then writes its checkpoint. If
    # these were read here in another order, its work could look like a log that was cut.
    latest = newest(tenant_id, head.shard)
    stored = heads.get(origin_of(tenant_id, head.shard))
    head = ChainHead.objects.get(pk=tenant_id)
    if head.shard != signed.shard:
        return None
    size = head.size - head.first_seq
    if latest is not None and (stored is None or stored.head.size < latest.size):
        size_there = stored.head.size if stored else 0
        raise Refusal("outside_behind", kept=size_there, signed=latest.size, host=lease.host())
    if stored is None and latest is None and (why := heads_place.difference()):
        # Any place is as good for a log that was never signed, so only its identity shows that it is a wrong one.
        raise HeadsUnavailable(why)
    if stored is not None and stored.head.size > size:
        raise Refusal("shorter", signed=stored.head.size, found=size, checkpoint=stored.note)
    if (later := heads.get(origin_of(tenant_id, head.shard + 1))) is not None:
        # The database was restored to a state from before a tombstone.
        found = heads.get_many([origin_of(tenant_id, shard) for shard in range(head.shard + 2)])
        end = sum(each.head.size for each in found.values())
        raise Refusal("shorter", signed=later.head.size, found=0, checkpoint=later.note, end=end)
    if stored is None and head.shard:
        _require_tombstone(head)
    return _Reading(tenant_id, head.shard, head.first_seq, size, stored, signed, latest, head.pruned_to)


def _require_tombstone(head: ChainHead) -> None:
    """Raise Refusal unless the current shard begins with a tombstone.

    The tombstone's number must be higher than all numbers that were ever signed. Without this check, a log that
    was cut or rewritten would be signed as the next shard, without an alarm.
    """
    if why := log_events.flaw_of_tombstone(head, closes=origin_of(head.pk, head.shard - 1)):
        raise Refusal("no_tombstone", seq=head.first_seq, why=why)
    if (least := _signed_before(head)) > head.first_seq:
        why = "more was signed before than there are numbers before this part of the log"
        raise Refusal("no_tombstone", seq=head.first_seq, why=why, end=least)


def _signed_before(head: ChainHead) -> int:
    """Return how many entries of the earlier shards were signed, as far as the heads outside the database show it."""
    known = heads.get_many([origin_of(head.pk, shard) for shard in range(head.shard)])
    return sum(each.head.size for each in known.values())


def _leaves(reading: _Reading, start: int, size: int) -> tuple[list[bytes], list[bytes]]:
    """Return two lists of the leaf hashes of the entries from `start` to `size`.

    The first is computed from the entries' bytes, and the second is stored. Raise Refusal if the lists
    differ. The root is later computed twice, once from each list, so that a fault in one list is detected.
    """
    expected, end = reading.first_seq + start, reading.first_seq + size
    computed: list[bytes] = []
    stored: list[bytes] = []
    while expected < end and (rows := batches.bodies(reading.tenant_id, expected, min(expected + batches.SIZE, end))):
        seqs, bodies, beside = zip(*rows, strict=True)
        leaves = entry_checks.leaves_of(bodies)
        if seqs != tuple(range(expected, expected + len(rows))) or leaves != [*beside]:
            raise _first_flaw(rows, expected)
        computed += leaves
        stored += beside
        expected += len(rows)
    if expected != reading.first_seq + size:
        raise Refusal("missing", seq=expected)
    return computed, stored


def _first_flaw(rows: list[tuple[int, bytes, bytes]], expected: int) -> Refusal:
    for seq, (found, body, beside) in enumerate(rows, expected):
        if found != seq:
            return Refusal("missing", seq=seq)
        if canonical.leaf_hash(body) != beside:
            return Refusal("altered", seq=seq, why="the hash does not belong to the bytes")
    raise AssertionError("there is a flaw")


def _agree(reading: _Reading, tiles: Tiles, frontier: Frontier) -> None:
    """Read the tiles. Raise Refusal unless they contain the last signed root and lead to the new frontier."""
    if reading.last and tiles.frontier(reading.last.head.size).root() != reading.last.head.root:
        raise Refusal("different", signed=reading.last.head.size, checkpoint=reading.last.note)
    if tiles.frontier(frontier.size).hashes != frontier.hashes:
        raise Refusal("tile", why="the tiles lead to another root than the entries")


def _head_again(tenant_id: UUID, shard: int, size: int) -> Head:
    """Compute the head a second time, from tiles that are read from the database again."""
    return Head(origin_of(tenant_id, shard), size, Tiles(tenant_id, shard).frontier(size).root())


def signed_note(head: Head, have: Keys, at: dt.datetime, *, last: StoredHead | None, again: Callable[[], Head]) -> Note:
    """Sign a head with every key, check the result as an independent reader would, and return it.

    `last` is the head that was signed last. If it equals `head`, its signatures by retired keys are added.
    Raise BadKey if a key in an HSM can't sign now. `again` computes the head a second time, after signing. Without
    this, a bit that flips in memory after all other comparisons would be signed, and a signature can't be taken back.
    """
    try:
        signatures = [notes.sign(head.text, head.origin, key) for key in have.keys]
        clock = [notes.cosign(head.text, log_name.current(), key, int(at.timestamp())) for key in have.keys]
    except HsmFault as fault:
        raise BadKey(str(fault)) from fault
    note = Note.parse(str(Note(head.text, (*signatures, *clock, *_of_retired(head, have, last)))))
    try:
        for public in have.publics:
            note.times(keys.log_key(head.origin, public))
            note.times(log_name.clock_key(public))
    except BadNote as error:
        raise Refusal("signature", why=str(error)) from error
    if not Head.parse(note.text) == head == again():
        raise Refusal("signature", why="what was signed is another head than that of the tiles")
    return note


def _of_retired(head: Head, have: Keys, stored: StoredHead | None) -> list[Signature]:
    """Return the signatures of retired keys on this head. A reader who has only an old key needs them."""
    if stored is None or stored.head != head:
        return []
    current_keys = [keys.log_key(head.origin, public) for public in have.publics]
    with suppress(BadNote):
        signatures = [each for each in Note.parse(stored.note).signatures if each.name == head.origin]
        return [each for each in signatures if not any(map(each.is_of, current_keys))]
    return []


def _write(reading: _Reading, head: Head, note: Note, have: Keys, locked: SignedHead, at: dt.datetime) -> Checkpoint:
    checkpoint = reading.latest
    if checkpoint is not None and checkpoint.size == head.size:
        checkpoint.note, checkpoint.dated_at = str(note), at
        checkpoint.save(update_fields=["note", "dated_at"])
    else:
        checkpoint = Checkpoint.objects.create(
            tenant_id=reading.tenant_id,
            shard=reading.shard,
            size=head.size,
            root=head.root,
            signed_at=at,
            dated_at=at,
            note=str(note),
        )
    known = {bytes(public) for public in LogKey.objects.values_list("pk", flat=True)}
    LogKey.objects.bulk_create(
        [LogKey(public=public, first_used_at=at) for public in have.publics if public not in known],
        ignore_conflicts=True,
    )
    locked.size, locked.dated_at, locked.key = head.size, at, have.publics[0]
    locked.checked_to = reading.signed.checked_to
    locked.save()
    return checkpoint


def _mark(reading: _Reading, size: int, at: dt.datetime) -> None:
    """Store since when entries wait for a signature, if some do.

    Call it outside the signer's transaction, because it can wait for the lock of the log.
    """
    row = ChainHead.objects.filter(pk=reading.tenant_id, unsigned_since__isnull=False)
    end = reading.first_seq + size
    if not row.filter(size=end, shard=reading.shard).update(unsigned_since=None):
        row.filter(size__gt=end, shard=reading.shard).update(unsigned_since=at)


def _announce(tenant_id: UUID, have: Keys, at: dt.datetime) -> None:
    """Record a new key in the log before the key signs. An old key that is still present signs this entry too."""
    new = have.publics[0]
    last_key = bytes(SignedHead.objects.filter(pk=tenant_id).values_list("key", flat=True).first() or b"")
    if last_key in (b"", new):
        return
    with transaction.atomic(durable=True):
        recorder.lock(tenant_id)
        head = ChainHead.objects.get(pk=tenant_id)
        if not SignedHead.objects.filter(pk=tenant_id, key=last_key).update(key=new):
            return  # another process has recorded the key meanwhile
        origin = origin_of(tenant_id, head.shard)
        entry = recorder.Witnessed(
            tenant_id=tenant_id,
            event=log_events.KEY_ROTATED,
            door="task",
            actor=_SYSTEM,
            subject_type="log",
            subject_id=str(tenant_id),
            detail={"old": [str(keys.log_key(origin, last_key))], "new": str(keys.log_key(origin, new))},
        )
        recorder.record([entry], at=at)


def alarm(tenant_id: UUID, refusal: Refusal, at: dt.datetime) -> None:
    """Store in the database why this log is not signed, as an alarm."""
    row, is_new = LogAlarm.objects.get_or_create(pk=tenant_id, defaults={"since": at, "last_at": at})
    if is_new or row.code != refusal.code:
        logger.error("log_signing_refused", tenant=str(tenant_id), code=refusal.code)
    row.last_at, row.code, row.detail = at, refusal.code, refusal.detail
    row.save()


# --- Looking back ----------------------------------------------------------------------------------------


def _look_back(reading: _Reading, at: dt.datetime) -> None:
    """Compare some signed tiles with the bytes of their entries, and each full tile with the tile above it."""
    _require_pruning_logged(reading)
    part = rechecks.due(reading.signed, at, least=LOOK_BACK)
    tiles = Tiles(reading.tenant_id, reading.shard)
    for start, end in part.tiles:
        try:
            _look_at_tile(reading, tiles, start, end)
        except Refusal:
            if not _was_pruned(reading):
                raise
            _look_at_tile(reading, tiles, start, end)
    reading.signed.checked_to = part.end


def _require_pruning_logged(reading: _Reading) -> None:
    is_pruned = reading.pruned_to > reading.first_seq
    if is_pruned and not log_events.is_pruning_logged(ChainHead.objects.get(pk=reading.tenant_id)):
        raise Refusal("missing", seq=reading.first_seq, why="no entry says that it was removed")


def _was_pruned(reading: _Reading) -> bool:
    """Return whether retention has removed entries since the head was read. If so, update the reading."""
    before, reading.pruned_to = reading.pruned_to, ChainHead.objects.get(pk=reading.tenant_id).pruned_to
    return reading.pruned_to != before


def _look_at_tile(reading: _Reading, tiles: Tiles, start: int, end: int) -> None:
    hashes = tiles.leaves(start // WIDTH)
    first = max(start, reading.pruned_to - reading.first_seq)
    rows = AuditEntry.objects.filter(
        tenant_id=reading.tenant_id, seq__gte=reading.first_seq + first, seq__lt=reading.first_seq + end
    ).order_by("seq")
    seq, past = reading.first_seq + first, reading.first_seq + end
    batch = batches.read(reading.tenant_id, seq, past)
    same = b"".join(batch.leaf_hashes) == hashes[(first - start) * 32 : (end - start) * 32]
    is_good = same and batch.size == end - first and entry_checks.is_good(batch, reading.tenant_id, seq, "")
    index, last_at = (end if is_good else first), None
    for entry in () if is_good else rows:
        if why := next(flaws_of(entry, reading.first_seq + index, last_at), None):
            raise Refusal("altered", seq=reading.first_seq + index, why=why)
        at = (index - start) * 32
        if bytes(entry.leaf_hash) != hashes[at : at + 32]:
            raise Refusal("altered", seq=entry.seq, why="the tree has another hash for it")
        index, last_at = index + 1, entry.at
    if index != max(end, first):
        raise Refusal("missing", seq=reading.first_seq + index)
    if end - start == WIDTH:
        look_above(tiles, start // WIDTH)


def look_above(tiles: Tiles, number: int) -> None:
    """Raise Refusal unless a full tile's root is in the tile above it. Repeat this for that tile if it is full."""
    level, last = 0, WIDTH - 1
    while last == WIDTH - 1:
        if tiles.root(level, number) != tiles.subtree((level + 1) * BITS, number):
            raise Refusal("tile", why=f"a hash of level {(level + 1) * BITS} does not belong to those below it")
        level, (number, last) = level + 1, divmod(number, WIDTH)


# --- What is known of a log ------------------------------------------------------------------------------


def newest(tenant_id: UUID, shard: int) -> Checkpoint | None:
    return Checkpoint.objects.filter(tenant_id=tenant_id, shard=shard).order_by("-size").first()


def publics() -> list[bytes]:
    """Return the public keys that have ever signed here, the oldest first."""
    return [bytes(public) for public in LogKey.objects.order_by("first_used_at", "pk").values_list("pk", flat=True)]


def without_key(public: bytes) -> int:
    """Return how many of the signed logs have no entry about this key yet."""
    return SignedHead.objects.filter(size__gt=0).exclude(key=public).count()


def origins(tenant_id: UUID) -> list[str]:
    """Return the names of this log's shards, from the first to the current one."""
    shard = ChainHead.objects.filter(pk=tenant_id).values_list("shard", flat=True).first() or 0
    return [origin_of(tenant_id, each) for each in range(shard + 1)]


@dataclass(frozen=True)
class LogState:
    """The state of a tenant's log: its length, how much of it is signed, and what is wrong with it."""

    tenant_id: UUID
    origin: str
    shard: int
    first_seq: int
    size: int
    last_at: dt.datetime | None
    pruned_to: int
    checkpoint: Checkpoint | None
    unsigned_since: dt.datetime | None
    alarm: LogAlarm | None
    closed: tuple[ClosedShard, ...]

    @property
    def unsigned(self) -> int:
        """How many entries no checkpoint covers yet."""
        return max(0, self.size - self.first_seq - (self.checkpoint.size if self.checkpoint else 0))

    def index(self, seq: int) -> int:
        return seq - self.first_seq


def state(tenant_id: UUID) -> LogState:
    head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
    return LogState(
        tenant_id=tenant_id,
        origin=origin_of(tenant_id, head.shard),
        shard=head.shard,
        first_seq=head.first_seq,
        size=head.size,
        last_at=head.last_at,
        pruned_to=head.pruned_to,
        checkpoint=newest(tenant_id, head.shard),
        unsigned_since=head.unsigned_since,
        alarm=LogAlarm.objects.filter(pk=tenant_id).first(),
        closed=tuple(ClosedShard.objects.filter(tenant_id=tenant_id).order_by("shard")),
    )


# --- Recovery --------------------------------------------------------------------------------------------


def adopt(tenant_id: UUID) -> Head:
    """Store the database's newest checkpoint again outside the database, after the stored heads were lost.

    From then on, all logs are signed with the place of this host. Call it in a transaction.

    Raise Refusal if there is no checkpoint, or if it contradicts the tiles or a larger stored head. The caller
    must be sure that the database was not restored meanwhile. A witness or a saved checkpoint can show this.
    """
    current = state(tenant_id)
    stored = heads.get(current.origin)
    is_elsewhere = bool(heads_place.difference())
    heads_place.accept()
    if current.checkpoint is None and stored is None and (is_elsewhere or unwitnessed.doubt(tenant_id)):
        # The backup was made before the first signature. There is nothing to store.
        return Head(current.origin, 0, EMPTY)
    if current.checkpoint is None:
        raise Refusal("missing", seq=current.first_seq)
    if stored is not None and stored.head.size > current.checkpoint.size:
        raise Refusal("shorter", signed=stored.head.size, found=current.checkpoint.size)
    head = Head.parse(Note.parse(current.checkpoint.note).text)
    frontier = Tiles(tenant_id, current.shard).frontier(head.size)
    if frontier.root() != head.root or head.root != bytes(current.checkpoint.root):
        raise Refusal("different", signed=head.size)
    if stored is None or stored.head != head:
        heads.put(head, frontier, current.checkpoint.note, after=stored)
    return head


__all__ = ["NoKey", "Refusal", "adopt", "newest", "origin_of", "sign", "state"]
