"""Finds times in logs. No entry is older than the entry before it, so a period of a log is a range of numbers.

The recorder ensures this: it has the lock of the log, and gives an entry the time of the newest entry if the clock is
behind it. It is also true over all shards of a log. So the entries need no index of their times. Some numbers can be
missing, because old entries were removed or a shard was closed.

A time is read from the bytes of an entry, which the tree proves, and not from the column `at`. Otherwise a single
changed column could mislead the search, and half of the log would be missing from a period.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from audit_app import canonical
from audit_app.models import AuditEntry, ChainHead

#: More entries than any log has.
_MOST = 1 << 62
#: All entries below `low` are older. If all entries below `low + step` are older too, `low` moves there. The step is
#: halved each time. One entry is read for it, and none if it would go beyond the end.
_SEARCH = f"""
    WITH RECURSIVE search (log, low, step, ends) AS (
        SELECT tenant_id, CAST(%s AS bigint), CAST({_MOST} AS bigint),
            CASE WHEN size < CAST(%s AS bigint) THEN size ELSE CAST(%s AS bigint) END
        FROM {ChainHead._meta.db_table} WHERE tenant_id IN (logs)
    UNION ALL
        SELECT log, low + CASE
            WHEN step <= ends - low AND coalesce((
                SELECT time_of_entry < %s FROM {AuditEntry._meta.db_table} AS entry
                WHERE entry.tenant_id = log AND entry.seq >= low AND entry.seq < low + step
                ORDER BY entry.seq DESC LIMIT 1
            ), 1 = 1) THEN step ELSE 0 END, step / 2, ends
        FROM search WHERE step > 0
    )
    SELECT log, low, ends FROM search WHERE step = 0
"""  # noqa: S608 - names of the models
#: The time in the bytes of an entry. All times have the same form, so their bytes have their order. Nothing that is
#: stored in place of an entry's bytes can make these expressions fail.
_TIME = {
    "postgresql": "substr(entry.canonical, position(CAST(%s AS bytea) IN entry.canonical) + %s, %s)",
    "sqlite": "CAST(substr(entry.canonical, instr(entry.canonical, %s) + %s, %s) AS BLOB)",
}
_LOG = ChainHead._meta.pk


def first_since(tenant_id: UUID, at: dt.datetime, *, first: int = 0, end: int = _MOST) -> int:
    """Return the number of the first entry from `first` on that is not older than `at`.

    Without one before `end`, return `end`, or the number after the newest entry if the log is shorter, but at least
    `first`.
    """
    low, _end = _search([tenant_id], at, first, end).get(tenant_id, (min(first, end), 0))
    return low


def firsts_since(tenant_ids: Collection[UUID], at: dt.datetime) -> dict[UUID, int]:
    """Return the same for each of these logs that has a head, in one statement."""
    found = _search(tenant_ids, at, 0, _MOST) if tenant_ids else {}
    return {tenant_id: low for tenant_id, (low, _end) in found.items()}


def last_before(tenant_id: UUID, at: dt.datetime, *, first: int = 0) -> int | None:
    """Return the number of the last entry from `first` on that is older than `at`, or None."""
    end = first_since(tenant_id, at, first=first)
    older = AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=first, seq__lt=end)
    return older.order_by("-seq").values_list("seq", flat=True).first()


def within(
    rows: QuerySet[AuditEntry], tenant_id: UUID, *, since: dt.datetime | None, until: dt.datetime | None
) -> QuerySet[AuditEntry]:
    """Return those of a log's entries that are not older than `since`, and older than `until`.

    Only their numbers are compared. So if the whole log is older than `since`, entries that are added after this
    search belong to no period: they can be older too.
    """
    if since:
        first, end = _search([tenant_id], since, 0, _MOST).get(tenant_id, (0, 0))
        rows = rows.filter(seq__gte=first) if first < end else rows.none()
    return rows.filter(seq__lt=first_since(tenant_id, until)) if until else rows


def statement(tenant_ids: Collection[UUID], at: dt.datetime, first: int, end: int) -> tuple[str, list[Any]]:
    """Return the statement that searches these logs, with its values."""
    text = _SEARCH.replace("logs", ", ".join(["%s"] * len(tenant_ids))).replace(
        "time_of_entry", _TIME[connection.vendor]
    )
    logs = [_LOG.get_db_prep_value(tenant_id, connection) for tenant_id in tenant_ids]
    before, time = canonical.BEFORE_TIME, canonical.instant(at).encode()
    return text, [first, end, end, *logs, before, len(before), len(time), time]


def _search(tenant_ids: Collection[UUID], at: dt.datetime, first: int, end: int) -> dict[UUID, tuple[int, int]]:
    """Return the found number in each log, and the number at which the search ended."""
    with connection.cursor() as cursor:
        cursor.execute(*statement(tenant_ids, at, first, end))
        return {UUID(str(log)): (low, ends) for log, low, ends in cursor.fetchall()}
