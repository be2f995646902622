"""Two acts at the same moment that save the same id or locator, except for its letter case: one of them is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from requests_app import operations
from requests_app.models import Resource, Tenant
from requests_app.operations import _rows
from tests.cast import Cast
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def resource_with(world: Cast, tenant: str = "contoso", **fields: str) -> Callable[[], Any]:
    values: dict[str, Any] = {"kind": "mailbox", "name": "New", "service_id": world.exchange.pk, **fields}
    return lambda: operations.save_resource(tenant_id=world.tenants[tenant].pk, actor=world.as_("stella"), **values)


def tenant_with(world: Cast, slug: str, external_id: str) -> Callable[[], Any]:
    return lambda: operations.create_tenant(
        name=f"New {slug}", slug=slug, external_id=external_id, plan_id=world.contoso.plan_id, actor=world.as_("stella")
    )


def both_past_their_checks(monkeypatch: pytest.MonkeyPatch, *calls: Callable[[], Any]) -> list[Any]:
    """Run both acts in transactions of their own. Neither writes before both have found that the text is free."""
    barrier, results = threading.Barrier(len(calls)), list[Any]()
    valid = _rows.validated

    def validated(row: Any) -> Any:
        found = valid(row)
        barrier.wait(20)
        return found

    monkeypatch.setattr("requests_app.operations._rows.validated", validated)
    monkeypatch.setattr("requests_app.operations.tenants.validated", validated)

    def run(call: Callable[[], Any]) -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def causes(results: list[Any]) -> list[Any]:
    return [(each, getattr(each, "__cause__", None)) for each in results]


@pytest.mark.parametrize("other", ["X-1", "x-1"])
def test_two_resources_never_get_one_external_id(world: Cast, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """In two tenants, because acts of one tenant wait for each other at its log."""
    results = both_past_their_checks(
        monkeypatch,
        resource_with(world, "northwind", locator="northwind/mail/new", external_id="x-1"),
        resource_with(world, "fabrikam", locator="fabrikam/mail/new", external_id=other),
    )
    assert sorted(type(each).__name__ for each in results) == ["Resource", "WrongState"], causes(results)
    assert Resource.objects.filter(external_id__iexact="x-1").count() == 1


def test_two_resources_never_get_one_locator(world: Cast) -> None:
    """Acts of one tenant wait for each other before they check, so the second one sees the first."""
    results = at_once(
        resource_with(world, locator="contoso/mail/new", external_id="x-1"),
        resource_with(world, locator="contoso/mail/NEW", external_id="x-2"),
    )
    assert sorted(type(each).__name__ for each in results) == ["Resource", "Unacceptable"], causes(results)
    assert Resource.objects.filter(locator__iexact="contoso/mail/new").count() == 1


def test_two_tenants_never_get_one_external_id(world: Cast) -> None:
    """Acts in the provider's log wait for each other in the same way."""
    results = at_once(tenant_with(world, "one", "C-1"), tenant_with(world, "two", "c-1"))
    assert sorted(type(each).__name__ for each in results) == ["Tenant", "Unacceptable"], causes(results)
    assert Tenant.objects.filter(external_id__iexact="c-1").count() == 1
