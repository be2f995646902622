"""Rows and calls that cases in several modules need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.models import Tenant
from tests.acts.case import Call
from tests.cast import Cast


def by_button(model: str, act: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse(f"admin:requests_app_{model}_act", args=[row.pk, act]), form)


def of_tenant(name: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    """Return a function that submits a form on a tenant's page of a webhook or a client."""
    return lambda cast, client, row: client.post(reverse(f"web:{name}", args=[cast.contoso.pk, row.pk]), form)


def by_adding(model: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse(f"admin:requests_app_{model}_add"), form)


def bare(cast: Cast) -> Tenant:
    """Return a tenant without people."""
    found = Tenant.objects.filter(slug="adatum").first()
    return found or operations.create_tenant(plan_id=cast.contoso.plan_id, actor=cast.as_("stella"), **TENANT)


NEW_PASSWORD = "another battery of 7 horses"


TENANT: dict[str, Any] = {"name": "Adatum", "slug": "adatum", "time_zone": "UTC", "external_id": "C-4711"}


def by_azure(verdict: str, reason: str) -> Call:
    """Return a call that makes a decision through Azure's contract. That contract has no ETag."""
    return lambda cast, caller, row: caller.post(
        f"/subscriptions/{row.tenant_id}{AZURE}/requests/{row.pk}/updateApproval?{VERSION}",
        {"status": verdict, "reason": reason},
    )


AZURE, VERSION = "/providers/Microsoft.CustomerLockbox", "api-version=2018-02-28-preview"
