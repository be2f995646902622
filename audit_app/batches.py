"""Reads stored entries in batches, as plain rows."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import UUIDField
from django.db.models.base import ModelState

from audit_app.entry_checks import StoredBatch
from audit_app.models import AuditEntry

#: How many entries are read with one query.
SIZE = 1000
_TENANT = UUIDField()
_ENTRIES = AuditEntry._meta.db_table


_NOTHING = StoredBatch(*[()] * len(StoredBatch._fields))
_PLAIN = "event, door, actor_kind, {actor}, actor_name, subject_type, subject_id, {request}, canonical, leaf_hash"
#: A range with both ends. With a LIMIT and one end, PostgreSQL expects fewer rows than there are. For each page, it
#: then reads the whole table and sorts it.
_RANGE = f" FROM {_ENTRIES} WHERE tenant_id = %s AND seq >= %s AND seq < %s ORDER BY seq"
_READ = {
    "postgresql": "SELECT seq, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    + _PLAIN.format(actor="actor_id::text", request="correlation_id::text")
    + _RANGE,
    "sqlite": "SELECT seq, at || '', " + _PLAIN.format(actor="actor_id", request="correlation_id") + _RANGE,
}
_BODIES = f"SELECT seq, canonical, leaf_hash{_RANGE}"
#: The columns from which a bundle and its timelines are made.
EXPORTED = (
    "id", "seq", "at", "event", "actor_name", "subject_type", "subject_id", "correlation_id", "canonical", "leaf_hash",
)  # fmt: skip
_EXPORTED = {
    "postgresql": f"SELECT {', '.join(EXPORTED)}{_RANGE}",
    # As an expression, the time is a text. Django's own way to read it takes longer.
    "sqlite": f"SELECT {', '.join(EXPORTED)}{_RANGE}".replace(" at,", " at || '',"),
}


def read(tenant_id: UUID, start: int, end: int) -> StoredBatch:
    """Return the stored entries with numbers from `start` to `end`, which is not included."""
    rows = _rows(_READ[connection.vendor], tenant_id, start, end)
    if not rows:
        return _NOTHING
    found = StoredBatch(*zip(*rows, strict=True))
    if connection.vendor == "postgresql":
        return found
    return found._replace(
        times=tuple(map(_time_as_text, map(str, found.times))),
        actor_ids=tuple(map(_id_as_text, found.actor_ids)),
        access_requests=tuple(map(_id_as_text, found.access_requests)),
    )


def bodies(tenant_id: UUID, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
    """Return (number, bytes, stored leaf hash) of the entries with numbers from `start` to `end`, in order."""
    return _rows(_BODIES, tenant_id, start, end)


def exported(tenant_id: UUID, start: int, end: int) -> list[AuditEntry]:
    """Return the entries with numbers from `start` to `end`, in order. Other columns than EXPORTED are read later."""
    rows = _rows(_EXPORTED[connection.vendor], tenant_id, start, end)
    if connection.vendor == "sqlite":
        read = datetime.fromisoformat
        rows = [(*row[:2], read(row[2]).replace(tzinfo=UTC), *row[3:7], _id(row[7]), *row[8:]) for row in rows]
    alias = connection.alias
    return [_entry(row, alias) for row in rows]


def _entry(row: tuple[Any, ...], alias: str) -> AuditEntry:
    """Return the entry that `AuditEntry.from_db` makes of the columns EXPORTED. Django needs much longer for it."""
    entry, state = AuditEntry.__new__(AuditEntry), ModelState()
    state.adding, state.db = False, alias
    entry.__dict__.update(zip(EXPORTED, row, strict=True), _state=state)
    return entry


def _rows(statement: str, tenant_id: UUID, start: int, end: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # With SQLite, the driver need not be in memory.
            from psycopg.pq import Format

            # As text, the driver would get two digits for each byte of an entry.
            cursor.cursor.format = Format.BINARY
        cursor.execute(statement, [_TENANT.get_db_prep_value(tenant_id, connection), start, end])
        return list(cursor.fetchall())


@lru_cache(maxsize=4096)
def _id(stored: str | None) -> UUID | None:
    return UUID(stored) if stored else None


@lru_cache(maxsize=4096)
def _id_as_text(stored: Any) -> Any:
    """Return an id as entries have it. SQLite stores its 32 digits. Return anything else unchanged."""
    return str(UUID(stored)) if isinstance(stored, str) and len(stored) == 32 else stored


@lru_cache(maxsize=4096)
def _time_as_text(stored: str) -> str:
    """Return a time of SQLite as entries have it: without a fraction, its digits are not stored."""
    return f"{stored[:10]}T{stored[11:]}{'' if '.' in stored else '.000000'}Z"
