"""The name of this installation's logs: the first part of the origin line of every checkpoint (C2SP tlog-checkpoint).

It is written down once, in the database, before the first signature. From then on no setting changes it: under another
name a log would be another log, of which no head is kept and which no customer and no witness knows.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.conf import settings

from audit_app.keys import BadKey
from audit_app.models import Checkpoint, LogOrigin

#: What this process has read. Rows never change, so nothing here gets old.
_kept: dict[int, LogOrigin] = {}
_of_log: dict[UUID, str] = {}


class WrongName(BadKey):
    """The settings and the database name the logs differently. Nothing is signed."""


def current() -> str:
    """The name that dates checkpoints and that a new log gets."""
    if (row := _row()) is not None:
        return row.origin
    newest = Checkpoint.objects.order_by("-pk").first()
    # Without a row but with a checkpoint: the version before this one has signed since the database was migrated.
    return name_in(newest.note) if newest is not None else settings.LOG_ORIGIN


def of_log(tenant_id: UUID) -> str:
    """The name of one log. It differs from the current one where the host was renamed before names were kept."""
    row = _row()
    if row is None or not row.is_mixed:
        return current() if row is None else row.origin
    if tenant_id not in _of_log:
        newest = Checkpoint.objects.filter(tenant_id=tenant_id).order_by("-shard", "-size").first()
        if newest is None:
            return row.origin
        _of_log[tenant_id] = name_in(newest.note)
    return _of_log[tenant_id]


def is_kept() -> bool:
    """Whether the name is written down, and so for good."""
    return _row() is not None


def keep(at: dt.datetime) -> None:
    """Write the name down, if it is not yet."""
    if _row() is None:
        LogOrigin.objects.bulk_create([LogOrigin(origin=current(), kept_at=at)], ignore_conflicts=True)


def require() -> None:
    """Raise WrongName where LOG_ORIGIN names the logs differently from what was signed."""
    if why := contradiction():
        raise WrongName(why)


def contradiction() -> str:
    """Why LOG_ORIGIN can't be right, and what to do; empty where it is not set, or is what was signed."""
    if not settings.LOG_ORIGIN_IS_SET or (signed := current()) == settings.LOG_ORIGIN:
        return ""
    return (
        f"LOG_ORIGIN is {settings.LOG_ORIGIN}, but the logs in this database were signed as {signed}, and a log never "
        f"changes its name: set LOG_ORIGIN={signed} or remove LOG_ORIGIN from the settings; if these are not the logs "
        "that you expect, correct DATABASE_URL"
    )


def origin(name: str, tenant_id: UUID, shard: int) -> str:
    """The origin line of one shard of a log."""
    base = f"{name}/log/{tenant_id}"
    return f"{base}/{shard}" if shard else base


def name_in(note: str) -> str:
    """The name in a checkpoint's origin line."""
    return note.partition("\n")[0].rpartition("/log/")[0]


def log_in(origin: str) -> tuple[UUID, int] | None:
    """The tenant and the shard in a log's origin line; None where it has none."""
    tenant_id, _slash, shard = origin.rpartition("/log/")[2].partition("/")
    try:
        return UUID(tenant_id), int(shard or 0)
    except ValueError:
        return None


def forget() -> None:
    """Forget what this process has read, for tests, whose databases come and go."""
    _kept.clear()
    _of_log.clear()


def _row() -> LogOrigin | None:
    if LogOrigin.ONLY not in _kept:
        row = LogOrigin.objects.filter(pk=LogOrigin.ONLY).first()
        if row is None:
            return None
        _kept[LogOrigin.ONLY] = row
    return _kept[LogOrigin.ONLY]
