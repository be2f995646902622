"""The customer's pages and the API show an announced change by staff until it is applied or withdrawn."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.scopes import Scope
from requests_app.models import Proposal, Tenant
from tests.caller import Caller, caller_for
from tests.cast import Cast
from tests.imports.files import MAIL, imported
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db


def uncovered(cast: Cast) -> Proposal:
    row = cast.exchange
    wanted: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    with pytest.raises(ChangeProposed) as outcome:
        operations.save_service(service_id=row.pk, **wanted, actor=cast.as_("stella"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def pages(cast: Cast, name: str = "ada", tenant: str = "contoso") -> list[str]:
    browser = signed_in(cast, name)
    addresses = [reverse("web:home"), reverse("web:tenant", args=[cast.tenants[tenant].pk])]
    return [browser.get(address).content.decode() for address in addresses]


def test_an_announcement_is_shown_with_its_facts_until_it_is_withdrawn(cast: Cast) -> None:
    cast.colleague()
    row = uncovered(cast)
    for page in pages(cast):
        assert "change the service Exchange Online: Lockbox no longer covers this service" in page
        assert "A second member of the staff must confirm the change." in page
        assert "Stella Test" in page
    operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    for page in pages(cast):
        assert "The change takes effect on" in page
        assert "Sten Test" in page
    assert "announced" not in pages(cast, "nils", "northwind")[0]
    operations.withdraw_proposal(row.pk, actor=cast.as_("stella"))
    home, tenant = pages(cast)
    assert "Exchange Online" not in home
    assert "Nothing is announced now" in tenant


def test_the_changes_of_an_import_are_counted_and_listed_one_by_one(cast: Cast) -> None:
    """The customer reads what happens to them first. The hash of the file comes last."""
    cast.colleague()
    imported(cast, MAIL)
    row = imported(cast, "contoso,,,,exchange-online,m-1,,counsel@contoso.example,,", "contoso,,Basic,,,,,,,")
    assert row is not None
    home, tenant = pages(cast)
    assert "Announced by Microsoft (2)" in home
    for page in (home, tenant):
        assert "plans 2 changes:" in page
        assert page.index("Move the tenant Contoso") < page.index("Rename the resource") < page.index(row.sha256)


def test_the_page_says_where_nobody_else_could_confirm_it(cast: Cast) -> None:
    uncovered(cast)
    for page in pages(cast):
        assert "so no second person confirmed the change. The waiting time is the only protection." in page


def test_every_customer_sees_how_long_such_a_change_waits(cast: Cast) -> None:
    assert "takes effect 3 days after it was confirmed" in pages(cast, "nils", "northwind")[1]


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_customer_with_a_later_notice_reads_who_proposed_it(cast: Cast, confirmed: bool) -> None:
    Tenant.objects.filter(pk=cast.fabrikam.pk).update(lockbox_on=False, lockbox_first_on_at=None)
    if confirmed:
        cast.colleague()
    row = uncovered(cast)
    if confirmed:
        operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    operations.switch_lockbox(cast.fabrikam.pk, on=True, actor=cast.as_("finn"))
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    for page in pages(cast, "frida", "fabrikam"):
        assert "Lockbox no longer covers this service" in page
        assert "The change takes effect on" in page
    log = signed_in(cast, "fatima").get(reverse("web:log", args=[cast.fabrikam.pk])).content.decode()
    assert "Stella Test</bdi> had proposed to <bdi" in log
    assert ("and the change was confirmed" in log) == confirmed


@pytest.mark.parametrize("name", ["ines", "stella"])
def test_the_customer_and_staff_read_it_over_the_api(cast: Cast, name: str) -> None:
    row = uncovered(cast)
    caller: Caller = caller_for(cast, name, Scope.TENANT_READ)
    [found] = caller.get(f"tenants/{cast.contoso.pk}/announced-changes").json()["items"]
    assert (found["id"], found["act"], found["confirmed_by"]) == (str(row.pk), "change_service", None)
    assert found["proposed_by"]["name"] == "Stella Test"
    assert found["effective_at"] is not None
    assert caller.get(f"tenants/{cast.northwind.pk}/announced-changes").json().get("items", []) == []


def test_pending_and_open_items_are_above_announcements(cast: Cast) -> None:
    cast.opened()
    cast.confirmed(by="erik")
    uncovered(cast)
    home = pages(cast)[0]
    assert -1 < home.index('id="waiting"') < home.index('id="windows"') < home.index('id="announced"')


def test_the_page_says_who_can_still_stop_it(cast: Cast) -> None:
    assert "talk to Microsoft before the change takes effect" not in pages(cast)[1]
    uncovered(cast)
    assert "talk to Microsoft before the change takes effect" in pages(cast)[1]
