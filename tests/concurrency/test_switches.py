"""After a tenant or a service is switched off, no access is left, also if another act happens at the same moment."""

from __future__ import annotations

from functools import partial

import pytest

from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.models import AccessRequest, Grant, Resource, Service, Tenant
from tests.cast import Cast
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def _left() -> list[str]:
    """Return the states of the access requests that still wait or are open, and "grant" for each open window."""
    states = list(AccessRequest.objects.not_ended().values_list("state", flat=True))
    return states + ["grant"] * Grant.objects.filter(closed_at=None).count()


def test_a_tenant_that_is_switched_off_during_an_approval_and_a_submission_keeps_nothing_open(world: Cast) -> None:
    """Northwind never had Lockbox on, so it is switched off immediately, and one approval opens a window."""
    stella = world.as_("stella")
    for _ in range(4):
        row, ticket = world.submitted("northwind"), world.ticket("northwind", "nora")
        results = at_once(
            partial(operations.switch_off_tenant, world.northwind.pk, actor=stella),
            partial(operations.approve_as_provider, row.pk, actor=world.as_("pat")),
            partial(operations.submit, world.ask(ticket), actor=world.as_("erik")),
        )
        assert isinstance(results[0], Tenant), results
        assert all(isinstance(each, AccessRequest | DomainError) for each in results[1:]), results
        assert _left() == [], results
        operations.switch_on_tenant(world.northwind.pk, actor=stella)
        assert _left() == [], "nothing is restored"


def test_a_service_that_is_switched_off_during_an_approval_keeps_nothing_open(world: Cast) -> None:
    stella = world.as_("stella")
    for _ in range(4):
        row = world.submitted("northwind")
        results = at_once(
            partial(operations.save_service, service_id=row.service_id, is_active=False, actor=stella),
            partial(operations.approve_as_provider, row.pk, actor=world.as_("pat")),
        )
        assert isinstance(results[0], Service), results
        assert _left() == [], results
        operations.save_service(service_id=row.service_id, is_active=True, actor=stella)


def test_the_same_resource_saved_twice_at_once_is_one_resource(world: Cast) -> None:
    for number in range(4):
        wanted = {
            "kind": "mailbox",
            "name": "Legal",
            "locator": f"northwind/mail/{number}",
            "external_id": f"M-{number}",
        }
        save = partial(
            operations.save_resource,
            tenant_id=world.northwind.pk,
            service_id=world.exchange.pk,
            is_upsert=True,
            actor=world.as_("stella"),
            **wanted,
        )
        results = at_once(save, save)
        assert all(isinstance(each, Resource | DomainError) for each in results), results
        assert Resource.objects.filter(tenant=world.northwind, external_id=f"M-{number}").count() == 1
