"""What one test changes in the demo world is gone in the next test."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from audit_app import checkpoints
from requests_app.domain import clock
from requests_app.models import AccessRequest, Tenant
from tests.browser.keeping import Keeper


def _heads() -> bytes:
    path = Path(settings.LOG_HEADS_FILE)
    return path.read_bytes() if path.exists() else b""


def test_the_world_comes_back_as_it_was(world: None, keeper: Keeper) -> None:
    rows, heads, tenant = set(AccessRequest.objects.values_list("pk", "state")), _heads(), Tenant.objects.all()[0]
    Tenant.objects.filter(pk=tenant.pk).update(name="Another")
    AccessRequest.objects.update(state="WITHDRAWN")
    assert checkpoints.sign(tenant.pk, at=clock.now()) is not None
    assert _heads() != heads
    keeper.bring()
    assert set(AccessRequest.objects.values_list("pk", "state")) == rows
    assert Tenant.objects.get(pk=tenant.pk).name == tenant.name
    assert _heads() == heads
