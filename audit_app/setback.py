"""Compares the heads kept outside with the database when a process starts, before an entry is added to any log.

The signer compares each log before it signs, which is too late for a database that a restore has set back: new entries
would already follow the gap. This looks at every log at once, signs nothing, and writes an alarm for each that is not
what was signed.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.backends.signals import connection_created
from django.db.models import Q

from audit_app import canonical, checkpoints, heads, log_name
from audit_app.checkpoints import Refusal
from audit_app.heads import HeadsUnavailable, Kept
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogAlarm, SignedHead
from audit_app.tiles import MissingTile, Tiles

#: Logs are compared by so many in one statement.
AT_ONCE = 200
#: So long others wait for the comparison that is under way. It must not lock anybody out.
WAIT_SECONDS = 10
#: The alarms that say that a log was set back.
CODES = ("shorter", "different")

_Log = tuple[UUID, int]


@dataclass
class Comparison:
    """Whether this process has compared, and why it could not."""

    is_made: bool = False
    problem: str = ""
    is_under_way: bool = False


#: Made once in the life of a process.
made = Comparison()
_turn = threading.RLock()


def compare_once(at: dt.datetime) -> Comparison:
    """Compare, unless this process has done so. Raises the database's errors; it is then to be called again.

    Where the kept heads can't be read, the next call tries again.
    """
    if made.is_made or not _turn.acquire(timeout=WAIT_SECONDS):
        return made
    try:
        # A connection that is made anew for the comparison calls this once more.
        if not (made.is_made or made.is_under_way):
            _compare_now(at)
    finally:
        _turn.release()
    return made


def _compare_now(at: dt.datetime) -> None:
    made.is_under_way = True
    try:
        compare(at)
        made.is_made, made.problem = True, ""
    except HeadsUnavailable as error:
        # The signer says so too, and refuses to sign.
        made.problem = str(error)
    finally:
        made.is_under_way = False


def compare_when_connected(now: Callable[[], dt.datetime]) -> None:
    """Have the first connection compare before it is used, in a process that started without its database.

    Others wait for it, so nothing is added to a log before. A file that can't be read holds nobody back:
    `/readyz` says so. A process that is forked does it for itself.
    """

    def compare_first(**_: object) -> None:
        with suppress(DatabaseError, InterfaceError):
            compare_once(now())
            if not made.is_under_way:
                connection_created.disconnect(dispatch_uid="setback")

    connection_created.connect(compare_first, dispatch_uid="setback", weak=False)


def compare(at: dt.datetime) -> list[UUID]:
    """Write an alarm for every log that does not follow from its kept head; return their tenants.

    Where no heads are kept, as on a machine that does not sign, there is nothing to compare.
    """
    found = []
    for (tenant_id, shard), kept in _doubtful():
        try:
            _require_follows(tenant_id, shard, kept)
        except Refusal as refusal:
            checkpoints.alarm(tenant_id, refusal, at)
            found.append(tenant_id)
    return found


def alarms() -> int:
    """How many logs are refused because the database was set back."""
    return LogAlarm.objects.filter(code__in=CODES).count()


def _kept() -> dict[_Log, Kept]:
    """The kept head of each tenant's last shard, of the logs that have the name of this installation's."""
    if not Path(settings.LOG_HEADS_FILE).exists():
        return {}
    last: dict[UUID, tuple[int, Kept]] = {}
    for kept in heads.every():
        log = log_name.log_in(kept.head.origin)
        if log is None or checkpoints.origin_of(*log) != kept.head.origin:
            continue
        tenant_id, shard = log
        if tenant_id not in last or last[tenant_id][0] < shard:
            last[tenant_id] = (shard, kept)
    return {(tenant_id, shard): kept for tenant_id, (shard, kept) in last.items()}


def _doubtful() -> Iterator[tuple[_Log, Kept]]:
    """The logs that must be looked at one by one: all but those whose kept head is a checkpoint of the database.

    The kept heads are read first. An entry is in the database before a head over it is kept.
    """
    logs = list(_kept().items())
    for some in (logs[at : at + AT_ONCE] for at in range(0, len(logs), AT_ONCE)):
        roots = _roots(some)
        lengths = {head.pk: head for head in ChainHead.objects.filter(pk__in=[log[0] for log, _kept in some])}
        for log, kept in some:
            head = lengths.get(log[0])
            is_long_enough = head is not None and (
                head.shard > log[1] or (head.shard == log[1] and head.size - head.first_seq >= kept.head.size)
            )
            if not is_long_enough or roots.get((*log, kept.head.size)) != kept.head.root:
                yield log, kept


def _roots(some: Iterable[tuple[_Log, Kept]]) -> dict[tuple[UUID, int, int], bytes]:
    wanted = Q()
    for (tenant_id, shard), kept in some:
        wanted |= Q(tenant_id=tenant_id, shard=shard, size=kept.head.size)
    rows = Checkpoint.objects.filter(wanted).order_by().values_list("tenant_id", "shard", "size", "root")
    return {(tenant_id, shard, size): bytes(root) for tenant_id, shard, size, root in rows}


def _require_follows(tenant_id: UUID, shard: int, kept: Kept) -> None:
    """Raise Refusal where the log is shorter than its kept head, or has another root at its size."""
    head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
    if head.shard > shard:
        # A tombstone has closed what was signed.
        return
    size = head.size - head.first_seq if head.shard == shard else 0
    if size < kept.head.size:
        raise Refusal("shorter", signed=kept.head.size, found=size, checkpoint=kept.note)
    try:
        root = _root(head, kept.head.size)
    except MissingTile as error:
        raise Refusal("tile", why=str(error)) from error
    if root != kept.head.root:
        raise Refusal("different", signed=kept.head.size, checkpoint=kept.note)


def _root(head: ChainHead, size: int) -> bytes:
    """The root over the first entries of a shard: from the tiles, and from the entries that no tile has yet."""
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
