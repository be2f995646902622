"""Who gets a role in a tenant, and where the tenant's content is. Staff can arrange neither for themselves."""

from __future__ import annotations

from typing import Any

import pytest

from requests_app import operations
from requests_app.domain.errors import NotAllowed, NotCovered, Unacceptable, WrongState
from requests_app.models import Membership, Person, Resource
from tests.cast import Cast, events_in, outbox_topics
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["emperor", "engineer", "requester", ""])
def test_nobody_is_given_a_role_that_a_tenant_does_not_have(cast: Cast, role: str) -> None:
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        operations.give_role(cast.contoso.pk, cast.mia.pk, role=role, actor=cast.as_("ines"))
    assert refusal.value.field == "role"


@pytest.mark.parametrize("role", ["approver", "administrator"])
def test_staff_add_nobody_who_decides_where_somebody_ever_did(cast: Cast, role: str) -> None:
    """This also holds if all approvers and administrators of the tenant are switched off."""
    cast.contoso.memberships.exclude(role="administrator").delete()
    for person in (cast.ada, cast.alan, cast.ines):
        person.is_active = False
        person.save()
    stranger = cast.stranger()
    with pytest.raises(NotAllowed):
        operations.give_role(cast.contoso.pk, stranger.pk, role=role, actor=cast.as_("stella"))
    assert not Membership.objects.filter(person=stranger).exists()


def test_a_tenant_keeps_its_last_approver_who_is_not_switched_off(cast: Cast) -> None:
    cast.contoso.memberships.create(person=cast.otto, role="approver", given_at=cast.contoso.created_at)
    ines = cast.as_("ines")
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=ines)
    Person.objects.filter(pk=cast.alan.pk).update(is_active=False)
    with only_a_refusal(), pytest.raises(WrongState, match="last approver"):
        operations.take_role(cast.contoso.pk, cast.otto.pk, role="approver", actor=ines)
    assert cast.contoso.memberships.filter(person=cast.otto, role="approver").exists()


def test_switching_an_approver_off_and_on_is_reported(cast: Cast) -> None:
    operations.switch_off_person(cast.alan.pk, actor=cast.as_("ines"))
    operations.switch_on_person(cast.alan.pk, actor=cast.as_("ines"))
    assert outbox_topics() == ["notify.approvers_changed", "notify.approvers_changed"]


@pytest.mark.parametrize(
    "locator",
    ["contoso/docs/legal", "fabrikam/mail/finance", "/contoso/mail/x", "northwind", "northwind/../contoso/mail", ""],
)
def test_a_resource_cannot_stand_for_another_tenants_content(cast: Cast, locator: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        operations.save_resource(
            actor=cast.as_("stella"),
            tenant_id=cast.northwind.pk,
            service_id=cast.sharepoint.pk,
            kind="library",
            name="Support test library",
            locator=locator,
        )
    assert refusal.value.field == "locator"
    assert not Resource.objects.filter(name="Support test library").exists()


@pytest.mark.parametrize("locator", ["contoso/mail/finance", "contoso/mail", "contoso/mail/finance/cur"])
def test_a_harmless_name_cannot_be_given_to_a_place_that_has_one(cast: Cast, locator: str) -> None:
    with pytest.raises(Unacceptable):
        operations.save_resource(
            actor=cast.as_("stella"),
            tenant_id=cast.contoso.pk,
            service_id=cast.exchange.pk,
            kind="mailbox",
            name="Nothing of interest",
            locator=locator,
        )


def test_a_place_that_was_changed_behind_our_back_gives_nothing(cast: Cast) -> None:
    grant, mailbox = cast.opened(), cast.resource()
    Resource.objects.filter(pk=mailbox.pk).update(locator="fabrikam/mail/finance")
    with pytest.raises(NotCovered):
        operations.content.list_items(grant.pk, mailbox.pk, actor=cast.as_("priya"))


def test_a_tenant_keeps_the_name_of_its_root(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        operations.change_tenant(cast.contoso.pk, actor=cast.as_("stella"), slug="somebody-else")


def test_a_service_that_is_no_longer_covered_is_in_the_log_of_each_tenant_it_concerns(cast: Cast) -> None:
    fields: dict[str, Any] = {
        "key": "exchange-online",
        "name": "Exchange Online",
        "connector": "maildir",
        "is_covered": False,
    }
    stella = cast.as_("stella")
    cast.agreed(lambda: operations.save_service(actor=stella, service_id=cast.exchange.pk, **fields))
    assert events_in(cast.contoso) == events_in(cast.fabrikam)
    assert events_in(cast.contoso) == ["proposal.made", "service.changed", "proposal.applied"]
    assert events_in(cast.northwind) == []
