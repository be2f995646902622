"""Logs of a restored database whose newest signed heads are lost. They are signed only after their witnesses agree.

Such a log has an alarm with the code UNWITNESSED. It ends when every witness of the tenant has cosigned the restored
log, when an operator confirms the log, or when a tombstone closes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from audit_app.models import LogAlarm, Witness

CODE = "unwitnessed"


def mark(tenant_ids: Sequence[UUID], *, at: dt.datetime) -> None:
    """Have the witnesses of these logs asked, and let nothing be signed until they have answered."""
    for tenant_id in tenant_ids:
        LogAlarm.objects.update_or_create(
            pk=tenant_id, defaults={"since": at, "last_at": at, "code": CODE, "detail": {}}
        )
    # What they cosigned before the restore proves nothing about now. They are asked at once.
    Witness.objects.filter(tenant_id__in=tenant_ids).update(
        cosigned_at=None, problem="", failures=0, held_size=0, due_at=at
    )


def doubt(tenant_id: UUID) -> dict[str, Any] | None:
    """Return the detail of the alarm if this log must not be signed yet. Otherwise return None."""
    if not LogAlarm.objects.filter(pk=tenant_id, code=CODE).exists():
        return None
    rows = list(Witness.objects.filter(tenant_id=tenant_id).order_by("added_at", "pk"))
    waiting = [str(row) for row in rows if row.cosigned_at is None or row.problem]
    if rows and not waiting:
        return None
    problems = [f"{row}: {row.problem}" for row in rows if row.problem]
    return {"waiting_for": ", ".join(waiting) or "–", "problems": ", ".join(problems)}


def end(tenant_id: UUID) -> bool:
    """End the alarm, because an operator confirms the log. Return whether there was one."""
    return LogAlarm.objects.filter(pk=tenant_id, code=CODE).delete()[0] > 0


def logs() -> list[UUID]:
    """Return the logs that wait."""
    return list(LogAlarm.objects.filter(code=CODE).order_by("pk").values_list("pk", flat=True))
