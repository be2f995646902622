"""Detects that the database was restored to an older state, before this process adds an entry to any log.

The signer compares each log with its stored head before it signs. For a restored database this is too late:
the log may already have new entries in place of the lost ones. So all logs are compared with the stored
heads when a process starts. An alarm is raised for each log that differs. Nothing is signed here.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.db.backends.signals import connection_created
from django.db.models import Q

from audit_app import canonical, checkpoints, heads, log_name, unwitnessed
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogAlarm, LogKey, SignedHead
from audit_app.notes import BadNote, Head, Note
from audit_app.stored_heads import HeadsUnavailable, StoredHead
from audit_app.tiles import MissingTile, Tiles

#: The number of logs that are compared in one statement.
AT_ONCE = 200
#: How long others wait for a running comparison. After that they continue, so that it can't lock anybody out.
WAIT_SECONDS = 10
#: By how much the clocks of two hosts that sign can differ.
CLOCKS_DIFFER = dt.timedelta(minutes=5)
#: The codes of alarms about a log that lacks entries which were signed.
SET_BACK = ("shorter", "different")
#: The codes of alarms about a restored database.
CODES = (*SET_BACK, unwitnessed.CODE)

_Log = tuple[UUID, int]


@dataclass
class Comparison:
    """Whether this process has compared the logs; `problem` says why it could not."""

    is_made: bool = False
    problem: str = ""
    is_under_way: bool = False
    #: What identifies the newest checkpoint that `look_again` has found.
    seen: dict[str, Any] | None = None


#: The comparison of this process. It is made once.
made = Comparison()
_turn = threading.RLock()


def compare_once(at: dt.datetime) -> Comparison:
    """Compare the logs, unless this process has already done so. Return the result.

    Errors of the database are raised, so the caller must try again. If the stored heads can't be read, no error is
    raised, and the next call tries again.
    """
    if made.is_made or not _turn.acquire(timeout=WAIT_SECONDS):
        return made
    try:
        # A connection that is opened for the comparison calls this function again.
        if not (made.is_made or made.is_under_way):
            _compare_now(at)
    finally:
        _turn.release()
    return made


def look_again(at: dt.datetime) -> None:
    """Compare the logs again if the database was replaced while this process runs.

    No checkpoint is ever deleted. So if the newest one that the process has seen is gone, this is another database, or
    an older copy.
    """
    if made.seen is not None and not Checkpoint.objects.filter(**made.seen).exists():
        made.is_made = False
        compare_once(at)
    newest = Checkpoint.objects.order_by("-pk").values("pk", "tenant_id", "shard", "size", "root").first()
    made.seen = dict(newest) if newest is not None else None


def _compare_now(at: dt.datetime) -> None:
    made.is_under_way = True
    try:
        compare(at)
        made.is_made, made.problem = True, ""
    except HeadsUnavailable as error:
        # The signer reports this too, and refuses to sign.
        made.problem = str(error)
    finally:
        made.is_under_way = False


def compare_when_connected(now: Callable[[], dt.datetime]) -> None:
    """Compare the logs as soon as the database answers, before the first connection is used.

    This is for a process that started without its database. Other threads wait for the comparison, so that nothing is
    added to a log before it. If the file of heads can't be read, nobody waits, and `/readyz` reports it. A forked
    process makes a comparison of its own.
    """

    def compare_first(**_: object) -> None:
        with suppress(DatabaseError, InterfaceError):
            compare_once(now())
            if not made.is_under_way:
                connection_created.disconnect(dispatch_uid="setback")

    connection_created.connect(compare_first, dispatch_uid="setback", weak=False)


def compare(at: dt.datetime) -> list[UUID]:
    """Raise an alarm for every log that does not continue its stored head. Return the tenants of these logs.

    A machine that does not sign has no stored heads, and compares nothing.
    """
    found = []
    for (tenant_id, shard), stored in _doubtful():
        try:
            require_follows(tenant_id, shard, stored)
        except Refusal as refusal:
            checkpoints.alarm(tenant_id, refusal, at)
            found.append(tenant_id)
    return found


def alarms() -> int:
    """Return how many logs are not signed because the database was restored."""
    return LogAlarm.objects.filter(code__in=CODES).count()


def set_back_since() -> dt.datetime | None:
    """Return since when it is proven that the database was set back to an older state, or None.

    Such a database has no checkpoint for the head that was signed last. If entries of one log were removed or changed,
    the checkpoints are still there: then the log has an alarm, but nothing else was set back.
    """
    found = LogAlarm.objects.filter(code__in=SET_BACK, detail__has_key="signed")
    publics = [bytes(row.public) for row in LogKey.objects.all()]
    proofs = sorted(((_proven_at(alarm, publics), alarm) for alarm in found), key=lambda each: each[0], reverse=True)
    return next((at for at, alarm in proofs if not _has_checkpoint(alarm)), None)


def _proven_at(alarm: LogAlarm, publics: Iterable[bytes]) -> dt.datetime:
    """Return since when the alarm has been there, or when the missing head was signed, if that was later.

    The copy of a database can have an old alarm, which somebody answered long ago. It says nothing about this time.
    """
    signed = dates_in(str(alarm.detail.get("checkpoint", "")), publics)
    return max([alarm.since, *(date - CLOCKS_DIFFER for date in signed)])


def copied_before() -> dt.datetime | None:
    """Return a time before which the copy of a set-back database was made, or None if no date proves one.

    The copy has no checkpoint of a head that is missing, so it is older than each signature on this head.
    """
    publics = [bytes(row.public) for row in LogKey.objects.all()]
    missing = LogAlarm.objects.filter(code__in=SET_BACK, detail__has_key="signed")
    notes = [str(alarm.detail.get("checkpoint", "")) for alarm in missing if not _has_checkpoint(alarm)]
    return min((date for note in notes for date in dates_in(note, publics)), default=None)


def _has_checkpoint(alarm: LogAlarm) -> bool:
    """Return whether the database has a checkpoint of the size that the stored head has."""
    rows = Checkpoint.objects.filter(tenant_id=alarm.pk, size=alarm.detail["signed"])
    # Without a readable note, only the size is compared. A signer that was killed has stored a head without its note,
    # and nobody checks a note that comes from the place of the heads.
    with suppress(BadNote):
        log = log_name.log_in(Head.parse(Note.parse(str(alarm.detail.get("checkpoint", ""))).text).origin)
        return log is not None and rows.filter(shard=log[1]).exists()
    return rows.exists()


def dates_in(note: str, publics: Iterable[bytes]) -> set[dt.datetime]:
    """Return when these keys have dated a signed head. Without a good signature, a date says nothing."""
    found: set[dt.datetime] = set()
    for public in publics:
        # The other errors come from a date after the year 9999. BadNote is a ValueError, too.
        with suppress(ValueError, OverflowError, OSError):
            times = Note.parse(note).times(log_name.clock_key(public))
            found.update(dt.datetime.fromtimestamp(at, dt.UTC) for at in times if at)
    return found


def _stored_heads() -> dict[_Log, StoredHead]:
    """Return, for each tenant, the stored head of its last shard.

    Heads under another installation's name are left out.
    """
    if not heads.exists():
        return {}
    last: dict[UUID, tuple[int, StoredHead]] = {}
    for stored in heads.every():
        log = log_name.log_in(stored.head.origin)
        if log is None or checkpoints.origin_of(*log) != stored.head.origin:
            continue
        tenant_id, shard = log
        if tenant_id not in last or last[tenant_id][0] < shard:
            last[tenant_id] = (shard, stored)
    return {(tenant_id, shard): stored for tenant_id, (shard, stored) in last.items()}


def _doubtful() -> Iterator[tuple[_Log, StoredHead]]:
    """Yield each log whose stored head is not a checkpoint in the database. The caller must compare these logs.

    The stored heads are read first. A signer stores a head only after its entries are in the database, so every
    head that was read must already fit the database.
    """
    logs = list(_stored_heads().items())
    for some in (logs[at : at + AT_ONCE] for at in range(0, len(logs), AT_ONCE)):
        roots = _roots(some)
        lengths = {head.pk: head for head in ChainHead.objects.filter(pk__in=[log[0] for log, _stored_heads in some])}
        for log, stored in some:
            head = lengths.get(log[0])
            is_long_enough = head is not None and (
                head.shard > log[1] or (head.shard == log[1] and head.size - head.first_seq >= stored.head.size)
            )
            if not is_long_enough or roots.get((*log, stored.head.size)) != stored.head.root:
                yield log, stored


def _roots(some: Iterable[tuple[_Log, StoredHead]]) -> dict[tuple[UUID, int, int], bytes]:
    wanted = Q()
    for (tenant_id, shard), stored in some:
        wanted |= Q(tenant_id=tenant_id, shard=shard, size=stored.head.size)
    rows = Checkpoint.objects.filter(wanted).order_by().values_list("tenant_id", "shard", "size", "root")
    return {(tenant_id, shard, size): bytes(root) for tenant_id, shard, size, root in rows}


def require_follows(tenant_id: UUID, shard: int, stored: StoredHead) -> None:
    """Raise Refusal if the log is shorter than its stored head.

    Also raise it if the root over as many entries as the head covers is not the head's root.
    """
    head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
    if head.shard > shard:
        # A tombstone has closed this shard.
        return
    size = head.size - head.first_seq if head.shard == shard else 0
    if size < stored.head.size:
        raise Refusal("shorter", signed=stored.head.size, found=size, checkpoint=stored.note)
    try:
        found = root(head, stored.head.size)
    except MissingTile as error:
        raise Refusal("tile", why=str(error)) from error
    if found != stored.head.root:
        raise Refusal("different", signed=stored.head.size, checkpoint=stored.note)


def root(head: ChainHead, size: int) -> bytes:
    """Return the root over the first `size` entries of a shard.

    It is computed from the tiles, and from those entries that no tile covers yet.
    """
    signed = SignedHead.objects.filter(pk=head.pk, shard=head.shard).first()
    tiled = min(signed.size, size) if signed is not None else 0
    frontier = Tiles(head.pk, head.shard).frontier(tiled)
    rows = AuditEntry.objects.filter(
        tenant_id=head.pk, seq__gte=head.first_seq + tiled, seq__lt=head.first_seq + size
    ).order_by("seq")
    for seq, body in rows.values_list("seq", "canonical").iterator(2000):
        if seq != head.first_seq + frontier.size:
            break
        frontier.append(canonical.leaf_hash(bytes(body)))
    if frontier.size != size:
        raise Refusal("missing", seq=head.first_seq + frontier.size)
    return frontier.root()
