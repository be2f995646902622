"""Closes damaged shards and removes old entries for tests, and writes the entries about both."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest import mock
from uuid import UUID

import time_machine
from django.db import transaction
from django.utils import timezone

from audit_app import closing_shards, pruning, recorder
from audit_app.models import AuditEntry, ChainHead
from requests_app.domain.actors import Actor
from requests_app.models import Plan, Tenant
from requests_app.operations import log_care


def say(tenant_id: UUID, event: str, detail: dict[str, Any], *, at: dt.datetime) -> None:
    """Write an entry about the log itself. Call it in a transaction."""
    entry = recorder.Witnessed(
        tenant_id=tenant_id,
        event=event,
        door="command",
        actor={"kind": "system", "id": None, "name": "operator", "side": "system", "email": ""},
        subject_type="log",
        subject_id=str(tenant_id),
        detail=detail,
    )
    recorder.record([entry], at=at)


def tombstone(tenant_id: UUID, *, at: dt.datetime) -> dict[str, Any]:
    """Close the current shard, as the product's command does. Return the tombstone's detail."""
    with transaction.atomic():
        recorder.lock(tenant_id)
        detail = closing_shards.close_shard(tenant_id, at=at)
        say(tenant_id, "log.tombstoned", detail, at=at)
    return detail


def prune(tenant_id: UUID, seq: int) -> None:
    """Remove the entries below this number, as the product's task does when they are 40 days old."""
    if not Tenant.objects.filter(pk=tenant_id).update(log_retention_days=30):
        plan, _is_new = Plan.objects.get_or_create(name="E5")
        Tenant.objects.create(
            pk=tenant_id, name="Contoso", slug="contoso", plan=plan, log_retention_days=30, created_at=timezone.now()
        )
    count = seq - ChainHead.objects.get(pk=tenant_id).pruned_to
    last_at = AuditEntry.objects.filter(tenant_id=tenant_id).order_by("seq").last().at
    with (
        time_machine.travel(last_at + dt.timedelta(days=40), tick=False),
        mock.patch.object(pruning, "MOST_ENTRIES", count),
    ):
        assert log_care.allow_pruning(tenant_id, actor=Actor.system("retention")) == count
    pruning.remove(tenant_id, limit=100_000)
