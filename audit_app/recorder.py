"""Adds entries to the logs of tenants, inside the caller's transaction. Nothing else writes entries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model
from django.db.models.base import ModelState

from audit_app import canonical
from audit_app.beside import (
    SKIPPING,
    Beside,
    Changed,
    Fields,
    columns_of,
    insert,
    inserted,
    require_updated,
    values_of,
)
from audit_app.models import AuditEntry, ChainHead


class NotInTransaction(RuntimeError):
    """`record` was called outside a transaction. A change could then be saved without its entry."""


@dataclass(frozen=True, kw_only=True)
class Witnessed:
    """An entry to write. `actor` is {kind, id, name, side, …}.

    `detail` is JSON with strings, integers and lists only.
    """

    tenant_id: UUID
    event: str
    door: str
    actor: dict[str, Any]
    subject_type: str
    subject_id: str
    correlation_id: UUID | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    text: str = ""


_listeners: list[Callable[[], object]] = []


def tell(listener: Callable[[], object]) -> None:
    """Call this function in each transaction that adds entries with `record`, for example to wait for its commit."""
    _listeners.append(listener)


def record(
    entries: Sequence[Witnessed], *, at: datetime, locked_head: ChainHead | None = None, beside: Beside | None = None
) -> list[AuditEntry]:
    """Add each entry to the log of its tenant. Return the rows with their numbers.

    The heads of the logs stay locked until the caller commits. So the numbers of a log have no gaps and are in the
    order of the commits, and writers to different logs do not wait for each other. Heads are always locked in the same
    order, so writers to several logs never deadlock. An entry is never older than the entry before it: if the clock was
    set back, the log's time stays the same until the clock has caught up.

    `locked_head` is the head of the only log that is written to, if this transaction has already locked and read it
    (`audit_lock_head`). `beside` has rows of the caller that are inserted together with the entry. It is allowed only
    with a single entry. On PostgreSQL, one statement inserts all of them.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("record() was called outside a transaction")
    for listener in _listeners:
        listener()
    if not entries:
        return []
    if len(entries) == 1 and locked_head is None and beside is None and connection.vendor == "postgresql":
        return [_append(entries[0], at)]
    tenants = {entry.tenant_id for entry in entries}
    is_locked = locked_head is not None and tenants == {locked_head.pk}
    heads = {locked_head.pk: locked_head} if locked_head is not None and is_locked else _locked_heads(tenants)
    texts = _texts(entry.actor for entry in entries)
    rows = [_appended(entry, heads[entry.tenant_id], at, who=texts[id(entry.actor)]) for entry in entries]
    if connection.vendor == "postgresql" and len(rows) == len(heads) == 1:
        _write_one(rows[0], heads[rows[0].tenant_id], beside)
        return rows
    if beside is not None:
        beside.insert()
    _write(rows, list(heads.values()))
    return rows


def record_in(
    entries: Sequence[tuple[Witnessed, datetime]],
    *,
    heads: Mapping[UUID, ChainHead],
    beside: Sequence[Model] = (),
    changed: Sequence[Changed] = (),
    skips_known: bool = False,
    calls_listeners: bool = False,
) -> list[AuditEntry]:
    """Add entries to several logs whose heads the caller has locked and read. Each entry has a time of its own.

    `beside` has rows of one model that are inserted together with the entries, and `changed` rows that are updated.
    With `skips_known`, those whose key the table already has are left out. On PostgreSQL, one statement writes
    everything. With `calls_listeners`, the functions that were given to `tell` are called, as by `record`.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("record_in() was called outside a transaction")
    for listener in _listeners if calls_listeners else ():
        listener()
    texts = _texts(entry.actor for entry, _at in entries)
    rows = [_appended(entry, heads[entry.tenant_id], at, who=texts[id(entry.actor)]) for entry, at in entries]
    moved = [heads[tenant_id] for tenant_id in sorted({row.tenant_id for row in rows})]
    if not rows:
        return []
    if connection.vendor == "postgresql":
        _write_together(rows, moved, beside, changed, skips_known=skips_known)
        return rows
    for change in changed:
        change.update()
    if beside:
        insert(beside, skips_known=skips_known)
    _add(rows)
    _move(moved)
    return rows


#: If there are more heads than this, they are locked in one statement.
EACH_FOR_ITSELF = 20
_FIELDS = Fields(field for field in AuditEntry._meta.concrete_fields if field.column != "id")
_COLUMNS = _FIELDS.names
_VALUES = attrgetter(*_COLUMNS)
_INTO = f"{AuditEntry._meta.db_table} ({', '.join(_COLUMNS)})"
_HEADS = ChainHead._meta.db_table
#: One entry and its head in one statement, which nearly every act writes. The text is fixed, because building it from
#: the model took longer than running it. Without the head, no entry is inserted.
_ONE = f"""
    WITH head AS (
        UPDATE {_HEADS} SET size = %s, last_at = %s, unsigned_since = %s WHERE tenant_id = %s RETURNING 1
    )
    INSERT INTO {_INTO} SELECT {", ".join(["%s"] * len(_COLUMNS))} WHERE (SELECT count(*) FROM head) = 1
"""  # noqa: S608 - names of the models
#: The same if the log has the expected length, and no entry that is newer than this one. Otherwise it changes nothing.
_GUESSED = _ONE.replace("unsigned_since = %s", "unsigned_since = coalesce(unsigned_since, %s)").replace(
    "WHERE tenant_id = %s", "WHERE tenant_id = %s AND size = %s AND coalesce(last_at <= %s, true)"
)
#: The lengths of logs after this process's last entries, and whether nobody else had added one between the last two.
#: Another process, or a transaction that was rolled back, makes a length wrong. The entry then needs one statement
#: more than without it.
_LENGTHS: dict[UUID, tuple[int, bool]] = {}
#: How many of them are remembered.
_KNOWN = 4096
_ADD = f"INSERT INTO {_INTO} VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608 - names of the models


_MOVES = ("size", "last_at", "unsigned_since", "tenant_id")
_MOVED = Fields({field.name: field for field in ChainHead._meta.concrete_fields}[name] for name in _MOVES)
_MOVE = f"UPDATE {_HEADS} SET size = %s, last_at = %s, unsigned_since = %s WHERE tenant_id = %s"  # noqa: S608 - names of the models


def _prepared(text: str) -> str:
    """Return a fixed text that PostgreSQL plans only once for each connection."""
    found: str = connection.prepared(text)  # type: ignore[attr-defined]  # our own
    return found


def _move(heads: list[ChainHead]) -> None:
    """Update all heads in one round trip.

    A sweep changes hundreds of logs, and Django would send hundreds of statements.
    """
    with connection.cursor() as cursor:
        cursor.executemany(_MOVE, values_of(heads, _MOVED))
        require_updated(cursor.rowcount, len(heads))


def _append(entry: Witnessed, at: datetime) -> AuditEntry:
    """Add one entry to a log that may not be locked yet, on PostgreSQL.

    If this process probably knows the length of the log, one statement locks the head, checks the length and inserts
    the entry. If the length is another one, or the clock was set back, it changes nothing. The head is then locked and
    read as always.
    """
    tenant_id = entry.tenant_id
    size, is_likely = _LENGTHS.get(tenant_id, (0, False))
    if is_likely:
        row = _appended(entry, head_of(tenant_id, size, None, None), at)
        with connection.awaiting(_HEADS, tenant_id), connection.cursor() as cursor:  # type: ignore[attr-defined]  # our own
            cursor.execute(_prepared(_GUESSED), [size + 1, at, at, tenant_id, size, at, *_VALUES(row)])
            is_right = cursor.rowcount == 1
        if is_right:
            _LENGTHS[tenant_id] = size + 1, True
            return row
    head = _locked_heads({tenant_id})[tenant_id]
    is_likely = head.size == size
    row = _appended(entry, head, at)
    _write_one(row, head, None)
    if len(_LENGTHS) >= _KNOWN:
        _LENGTHS.clear()
    _LENGTHS[tenant_id] = head.size, is_likely
    return row


def _write_one(row: AuditEntry, head: ChainHead, beside: Beside | None) -> None:
    statement, first = (beside.before(_ONE), beside.values) if beside else (_ONE, [])
    with connection.cursor() as cursor:
        cursor.execute(
            _prepared(statement),
            [*first, head.size, head.last_at, head.unsigned_since, head.pk, *_VALUES(row)],
        )
        require_updated(cursor.rowcount, 1)
    if beside:
        beside.note()


def _write(rows: list[AuditEntry], heads: list[ChainHead]) -> None:
    """Insert the rows and update the heads. The rows do not get their new ids, because nobody needs these."""
    if connection.vendor == "postgresql":
        _write_together(rows, heads, (), (), skips_known=False)
        return
    _add(rows)
    _move(heads)


def _add(rows: list[AuditEntry]) -> None:
    """Insert entries into SQLite. Their fields are texts, numbers, bytes, ids and times, and nothing else."""
    with connection.cursor() as cursor:
        cursor.executemany(_ADD, values_of(rows, _FIELDS))


def _write_together(
    rows: list[AuditEntry],
    heads: list[ChainHead],
    beside: Sequence[Model],
    changed: Sequence[Changed],
    *,
    skips_known: bool,
) -> None:
    """Insert all rows, update the heads and the changed rows, in one statement."""
    values: list[Any] = [[getattr(head, name) for head in heads] for name in _MOVES]
    parts: list[str] = []
    conditions, counts = [_IF_MOVED], [len(heads)]
    for number, change in enumerate(changed):
        statement, more = change.together()
        parts.append(f", changed_{number} AS ({statement} RETURNING 1)")
        conditions.append(f"(SELECT count(*) FROM changed_{number}) = %s")  # noqa: S608 - a number
        counts.append(change.count)
        values += more
    if beside:
        statement, more = inserted(beside, columns_of(type(beside[0])))
        parts.append(f", beside AS ({statement}{SKIPPING if skips_known else ''})")
        values += more
    statement, more = inserted(rows, tuple(_COLUMNS))
    with connection.cursor() as cursor:
        whole = f"{_MOVE_ALL}{''.join(parts)} {statement} WHERE {' AND '.join(conditions)}"
        cursor.execute(_prepared(whole), [*values, *more, *counts])
        require_updated(cursor.rowcount, len(rows))


_MOVE_ALL = f"""
    WITH head AS (
        UPDATE {_HEADS} AS old SET size = new.size, last_at = new.last_at, unsigned_since = new.unsigned_since
        FROM unnest(%b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::uuid[])
            AS new(size, last_at, unsigned_since, tenant_id)
        WHERE old.tenant_id = new.tenant_id
        RETURNING 1
    )"""  # noqa: S608 - names of the models
#: Without all heads, no entry is inserted.
_IF_MOVED = "(SELECT count(*) FROM head) = %s"


def lock(*tenant_ids: UUID, is_holding: bool = False) -> datetime | None:
    """Lock these logs until the caller commits. Return the time of their newest entry.

    Set `is_holding` if the caller has already locked other logs. The caller then waits only a short time,
    because others wait for those logs. Read the clock after this call: a deadline may pass during the wait.
    """
    heads = _locked_heads(set(tenant_ids), is_holding=is_holding).values()
    return max((head.last_at for head in heads if head.last_at is not None), default=None)


def turn(tenant_id: UUID) -> tuple[ChainHead, datetime | None]:
    """Lock one log until the caller commits. Return its head, and on PostgreSQL the time after the wait.

    On PostgreSQL one statement does both: the function in FROM takes the lock before the selected values are computed.
    On other databases there is no time, and the caller reads its clock.
    """
    if connection.vendor != "postgresql":
        return _locked_heads({tenant_id})[tenant_id], None
    with connection.awaiting(_HEADS, tenant_id), connection.cursor() as cursor:  # type: ignore[attr-defined]  # our own
        cursor.execute(_prepared(_TURN), [tenant_id])
        *head, at = cursor.fetchone()
    return _head_of(head), at


def claim(tenant_ids: set[UUID]) -> tuple[dict[UUID, ChainHead], datetime | None]:
    """Lock those of these logs that nobody else has locked, until the caller commits. Nothing is waited for.

    Return their heads, and on PostgreSQL the time after the last lock. On other databases there is no time, and all
    logs are locked, because only one transaction writes.
    """
    if connection.vendor != "postgresql":
        return _locked_heads(tenant_ids), None
    heads, at = _claim(tenant_ids)
    missing = sorted(tenant_ids - heads.keys())
    if missing:
        # Somebody else holds them, or they have no entry yet.
        known = set(ChainHead.objects.filter(pk__in=missing).values_list("pk", flat=True))
        if unknown := [pk for pk in missing if pk not in known]:
            ChainHead.objects.bulk_create([ChainHead(tenant_id=pk) for pk in unknown], ignore_conflicts=True)
            more, later = _claim(set(unknown))
            heads, at = heads | more, later or at
    return heads, at


def _claim(tenant_ids: set[UUID]) -> tuple[dict[UUID, ChainHead], datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [f"{{{','.join(map(str, tenant_ids))}}}"])
        found = cursor.fetchall()
    heads = {row[0]: _head_of(row[:-1]) for row in found}
    # The rows come as they are locked, each with its own time.
    return heads, max((row[-1] for row in found), default=None)


def _texts(actors: Iterable[dict[str, Any]]) -> dict[int, str]:
    """Return the canonical text of each actor, by the id of the object. Of many entries, nearly all have the same."""
    return {key: canonical.text(actor) for key, actor in {id(actor): actor for actor in actors}.items()}


def _appended(entry: Witnessed, head: ChainHead, at: datetime, *, who: str | None = None) -> AuditEntry:
    """Return the row for an entry at the end of its log, and move the head forward.

    `who` is the canonical text of the actor, if the caller has it.
    """
    at = at if head.last_at is None else max(at, head.last_at)
    seq, event, actor = head.size, str(entry.event), entry.actor
    body = canonical.entry(
        tenant=entry.tenant_id,
        seq=seq,
        at=at,
        event=event,
        door=entry.door,
        actor=actor,
        subject_type=entry.subject_type,
        subject_id=entry.subject_id,
        access_request=entry.correlation_id,
        detail=entry.detail,
        who=who,
    )
    # Django needs much longer to make the row.
    row = AuditEntry.__new__(AuditEntry)
    row.__dict__ = {
        "_state": ModelState(),
        "id": None,
        "tenant_id": entry.tenant_id,
        "seq": seq,
        "at": at,
        "event": event,
        "door": entry.door,
        "actor_kind": actor["kind"],
        "actor_id": _id(actor.get("id")),
        "actor_name": actor["name"],
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "correlation_id": entry.correlation_id,
        "text": entry.text,
        "canonical": body,
        "leaf_hash": canonical.leaf_hash(body),
    }
    head.size, head.last_at = seq + 1, at
    head.unsigned_since = head.unsigned_since or at
    return row


def head_of(tenant_id: UUID, size: int, last_at: datetime | None, unsigned_since: datetime | None) -> ChainHead:
    """Return a head that the caller has locked, for `record_in`. It has only what changes when entries are added."""
    head = ChainHead.__new__(ChainHead)
    head.__dict__.update(tenant_id=tenant_id, size=size, last_at=last_at, unsigned_since=unsigned_since)
    head._state = ModelState()
    return head


@lru_cache(maxsize=1024)
def _id(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def _locked_heads(tenant_ids: set[UUID], *, is_holding: bool = False) -> dict[UUID, ChainHead]:
    """Lock the heads of these logs, usually one by one.

    The waits for each log are counted, so callers that wait for one busy log can't occupy every thread. A
    caller that already holds a log waits only a short time for the next one, because other callers wait for the
    log that it holds. Many heads are locked in one statement. All such statements are counted together.
    """
    if connection.vendor != "postgresql" or len(tenant_ids) > EACH_FOR_ITSELF:
        with connection.awaiting(_HEADS, is_holding=is_holding or len(tenant_ids) > 1):  # type: ignore[attr-defined]  # our own
            return _locked_or_made(tenant_ids)
    heads: dict[UUID, ChainHead] = {}
    for tenant_id in sorted(tenant_ids):
        with connection.awaiting(_HEADS, tenant_id, is_holding=is_holding or bool(heads)):  # type: ignore[attr-defined]  # our own
            heads |= _locked_or_made({tenant_id})
    return heads


def _locked_or_made(tenant_ids: set[UUID]) -> dict[UUID, ChainHead]:
    heads = _lock(tenant_ids)
    if missing := sorted(tenant_ids - heads.keys()):
        # Two writers may both find no head. With ON CONFLICT DO NOTHING, one of them creates it, and then both lock it.
        ChainHead.objects.bulk_create([ChainHead(tenant_id=pk) for pk in missing], ignore_conflicts=True)
        heads |= _lock(set(missing))
    return heads


_HEAD = [str(field.column) for field in ChainHead._meta.concrete_fields]
_TURN = f"SELECT {', '.join(_HEAD)}, clock_timestamp() FROM audit_lock_head(%s)"  # noqa: S608 - names of the model
_CLAIM = f"""
    WITH held AS MATERIALIZED (
        SELECT {", ".join(_HEAD)} FROM {_HEADS} WHERE tenant_id = ANY (%s::uuid[])
        ORDER BY tenant_id FOR UPDATE SKIP LOCKED
    )
    SELECT *, clock_timestamp() FROM held
"""  # noqa: S608 - names of the models
_READ = f"SELECT {', '.join(_HEAD)} FROM {_HEADS} WHERE tenant_id IN (SELECT value FROM json_each(%s))"  # noqa: S608 - names of the model
_LOCK = f"SELECT {', '.join(_HEAD)} FROM {_HEADS} WHERE tenant_id = %s FOR UPDATE"  # noqa: S608 - names of the model


def _head_of(columns: Sequence[Any]) -> ChainHead:
    """Return the row with these columns. A sweep reads hundreds of heads, and Django needs much longer for each."""
    head = ChainHead.__new__(ChainHead)
    head.__dict__.update(zip(_HEAD, columns, strict=True))
    head._state = ModelState()
    head._state.adding, head._state.db = False, connection.alias
    return head


def _lock(tenant_ids: set[UUID]) -> dict[UUID, ChainHead]:
    if connection.vendor == "sqlite":
        return _read(tenant_ids)
    if len(tenant_ids) == 1:
        with connection.cursor() as cursor:
            cursor.execute(_prepared(_LOCK), list(tenant_ids))
            return {found[0]: _head_of(found) for found in cursor.fetchall()}
    rows = ChainHead.objects.select_for_update().filter(pk__in=tenant_ids).order_by("pk")
    return {head.pk: head for head in rows}


def _read(tenant_ids: set[UUID]) -> dict[UUID, ChainHead]:
    """Read heads from SQLite, where the transaction that writes is the only one.

    The text of the statement is fixed, because Django needs several times as long to make it as SQLite to run it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_READ, [json.dumps([tenant_id.hex for tenant_id in tenant_ids])])
        heads = [_head_of([UUID(tenant_id), *columns]) for tenant_id, *columns in cursor.fetchall()]
    for head in heads:
        head.last_at, head.unsigned_since = _as_utc(head.last_at), _as_utc(head.unsigned_since)
    return {head.pk: head for head in heads}


def _as_utc(at: datetime | None) -> datetime | None:
    """Return an instant of SQLite, which has no time zone there."""
    return at and at.replace(tzinfo=UTC)
