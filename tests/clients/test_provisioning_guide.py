"""Runs the guide for provisioning from the first line to the last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from requests_app.domain.scopes import Scope
from requests_app.models import (
    Invitation,
    Membership,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
)
from tests.caller import client_of
from tests.cast import Cast
from tests.docs.walk import walking


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_guide_sets_up_a_tenant_and_proposes_a_change(
    cast: Cast, as_: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    client, secret = client_of(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    environment = as_("stella", Scope.TENANT_READ)
    del environment["TENANT"], environment["LOCKBOX_TOKEN"]
    environment |= {"CLIENT_ID": str(client.pk), "CLIENT_SECRET": secret}
    with walking("docs/provisioning.md", tmp_path / "shell", environment) as walk:
        shown = walk.rest()
    tenant = Tenant.objects.get(external_id="C-4711")
    resources = Resource.objects.filter(tenant=tenant).order_by("external_id")
    assert list(resources.values_list("external_id", "name", "is_active")) == [
        ("M-1", "Legal department", True), ("M-2", "Sales", True),
    ]  # fmt: skip
    proposal, invited = Proposal.objects.order_by("proposed_at")
    assert {proposal.proposed_through, invited.proposed_through} == {client.account}
    assert f'"id":"{proposal.pk}"' in shown
    assert str(invited.pk) in shown
    assert Service.objects.get(pk=cast.exchange.pk).name == cast.exchange.name


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_guide_runs_in_an_empty_installation(
    cast: Cast, as_: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    client, secret = client_of(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    environment = as_("stella", Scope.TENANT_READ)
    del environment["TENANT"], environment["LOCKBOX_TOKEN"]
    environment |= {"CLIENT_ID": str(client.pk), "CLIENT_SECRET": secret}
    for model in (QueueAssignment, Resource, Membership, Tenant, Service, Plan):
        model.objects.all().delete()
    with walking("docs/provisioning.md", tmp_path / "shell", environment) as walk:
        walk.rest()
    tenant = Tenant.objects.get()
    assert (tenant.external_id, tenant.plan.name) == ("C-4711", "Standard")
    assert Resource.objects.filter(tenant=tenant, is_active=True).count() == 2
    # No tenant has ever had Lockbox on, so nothing waits.
    assert (Service.objects.get().name, Proposal.objects.count()) == ("Exchange (EU)", 0)
    assert Invitation.objects.get(email="sam@provider.example").tenant is None
