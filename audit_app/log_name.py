"""The name of this installation's logs, which is in the origin line of each checkpoint (C2SP tlog-checkpoint).

The name is stored in the database once, before the first signature. After that, no setting changes it. A log with
another name would be another log: it would have no stored head, and customers and witnesses would not know it.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.conf import settings

from audit_app.keys import BadKey
from audit_app.models import Checkpoint, LogOrigin
from audit_app.notes import COSIGNATURE, Verifier

#: What this process has read. The rows never change, so this is never out of date.
_rows: dict[int, LogOrigin] = {}
_of_log: dict[UUID, str] = {}


class WrongName(BadKey):
    """The settings and the database have different names for the logs. Nothing is then signed."""


def current() -> str:
    """Return the installation's name for logs.

    New logs get this name. The signature that dates a checkpoint has it too.
    """
    if (row := _row()) is not None:
        return row.origin
    newest = Checkpoint.objects.order_by("-pk").first()
    # Without a row but with a checkpoint, the previous version has signed after the database was migrated.
    return name_in(newest.note) if newest is not None else settings.LOG_ORIGIN


def of_log(tenant_id: UUID) -> str:
    """Return the name of one log.

    It differs from the current name if the installation was renamed before names were stored.
    """
    row = _row()
    if row is None or not row.is_mixed:
        return current() if row is None else row.origin
    if tenant_id not in _of_log:
        newest = Checkpoint.objects.filter(tenant_id=tenant_id).order_by("-shard", "-size").first()
        if newest is None:
            return row.origin
        _of_log[tenant_id] = name_in(newest.note)
    return _of_log[tenant_id]


def is_recorded() -> bool:
    """Return whether the name is stored in the database, so that it can't change any more."""
    return _row() is not None


def record(at: dt.datetime) -> None:
    """Store the current name, unless a name is stored already."""
    if _row() is None:
        LogOrigin.objects.bulk_create([LogOrigin(origin=current(), kept_at=at)], ignore_conflicts=True)


def require() -> None:
    """Raise WrongName if LOG_ORIGIN differs from the name in the signed checkpoints."""
    if why := contradiction():
        raise WrongName(why)


def contradiction() -> str:
    """Return why the setting LOG_ORIGIN is wrong and what to do, or "" if it is not set or is right."""
    if not settings.LOG_ORIGIN_IS_SET or (signed := current()) == settings.LOG_ORIGIN:
        return ""
    return (
        f"LOG_ORIGIN is {settings.LOG_ORIGIN}, but the logs in this database were signed as {signed}, and a log never "
        f"changes its name: set LOG_ORIGIN={signed} or remove LOG_ORIGIN from the settings; if these are not the logs "
        "that you expect, correct DATABASE_URL"
    )


def origin(name: str, tenant_id: UUID, shard: int) -> str:
    """Return the origin line of one shard of a log."""
    base = f"{name}/log/{tenant_id}"
    return f"{base}/{shard}" if shard else base


def clock_key(public: bytes, *, name: str = "") -> Verifier:
    """Return the verifier for the cosignatures with which this key dates the checkpoints of all logs."""
    return Verifier(name or current(), public, COSIGNATURE)


def name_in(note: str) -> str:
    """Return the name in a checkpoint's origin line."""
    return note.partition("\n")[0].rpartition("/log/")[0]


def log_in(origin: str) -> tuple[UUID, int] | None:
    """Return the tenant and the shard in an origin line, or None if it is not the origin line of a log."""
    tenant_id, _slash, shard = origin.rpartition("/log/")[2].partition("/")
    try:
        return UUID(tenant_id), int(shard or 0)
    except ValueError:
        return None


def forget() -> None:
    """Clear this process's cache of the name. Tests that change databases need this."""
    _rows.clear()
    _of_log.clear()


def _row() -> LogOrigin | None:
    if LogOrigin.ONLY not in _rows:
        row = LogOrigin.objects.filter(pk=LogOrigin.ONLY).first()
        if row is None:
            return None
        _rows[LogOrigin.ONLY] = row
    return _rows[LogOrigin.ONLY]
