"""Reads whether backups are made, and whether the heads of the logs are copied to another place."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet

from audit_app.models import SignedHead
from requests_app.models import Heartbeat


@dataclass(frozen=True)
class Trouble:
    """Why there is no good new backup. `last_at` is when the last good one was made, or None without one."""

    last_at: datetime | None
    has_failed: bool


def troubled(since: datetime) -> QuerySet[Heartbeat]:
    """Return the heartbeat of the backups, if the last one failed or the last good one is older than this."""
    rows = Heartbeat.objects.filter(name=Heartbeat.BACKUP)
    return rows.filter(Q(detail__startswith=Heartbeat.FAILED) | Q(at__lt=since))


def trouble(at: datetime) -> Trouble | None:
    """Return what is wrong with the backups, or None. If nobody ever tried to make one, nothing is wrong."""
    row = troubled(at - longest_age()).first()
    if row is None:
        return None
    return Trouble(row.at if row.at > Heartbeat.NEVER else None, row.detail.startswith(Heartbeat.FAILED))


def longest_age() -> timedelta:
    return timedelta(seconds=settings.BACKUP_MAX_AGE_SECONDS)


def are_heads_never_copied(heartbeats: Container[str]) -> bool:
    """Return whether backups are made, but the heads exist only on the machine that signs.

    `heartbeats` has the names of all heartbeats. A shared place (`LOG_HEADS`) is already another one than the disk of
    that machine.
    """
    is_due = Heartbeat.BACKUP in heartbeats and Heartbeat.HEADS not in heartbeats
    return is_due and not settings.LOG_HEADS and SignedHead.objects.exists()
