"""The pages and calls after a restore from a backup: what people read, what they confirm, and what nobody gets past."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequest,
    Grant,
    Membership,
    QueueAssignment,
    Restoration,
    RestoredConfirmation,
    RestoredTenant,
    Tenant,
    Token,
)
from requests_app.queries import restored as queries
from tests.acts.restored import restore
from tests.caller import access_token, caller_for, client_of
from tests.cast import Cast
from tests.factors import force_login
from tests.operations.test_set_back import set_back
from tests.web.pages import answer, nothing_happens

pytestmark = pytest.mark.django_db


def signed_in(cast: Cast, name: str, *, is_fresh: bool = True) -> Client:
    client = Client()
    force_login(client, cast.people[name], is_fresh=is_fresh)
    return client


def page(cast: Cast, tenant: str = "contoso") -> str:
    return reverse("web:restored", args=[cast.tenants[tenant].pk])


def shown_on(text: str) -> str:
    found = re.search(r'name="shown" value="([0-9a-f]{64})"', text)
    assert found is not None, "the page has no button"
    return found[1]


def test_an_administrator_reads_everything_and_confirms_with_one_press(cast: Cast) -> None:
    restore(cast)
    text = (ines := signed_in(cast, "ines")).get(page(cast)).content.decode()
    for words in ("Lockbox is on", "ada@contoso.example", "Nobody is muted", "Two people must confirm exactly this"):
        assert words in text
    for name in ("people", "mutes", "level_rules", "webhooks", "clients", "addresses", "sign_on"):
        assert reverse(f"web:{name}", args=[cast.contoso.pk]) in text
    after = ines.post(page(cast), {"shown": shown_on(text)}, follow=True).content.decode()
    assert "Another person must confirm it, too." in after
    assert 'name="shown"' not in after
    ada = signed_in(cast, "ada")
    first = ada.get("/").content.decode()
    assert ("must be confirmed" in first, "Nothing is waiting for you" in first) == (True, False)
    shown = shown_on(ada.get(page(cast)).content.decode())
    assert "Everything is confirmed." in ada.post(page(cast), {"shown": shown}, follow=True).content.decode()
    assert "Nothing that was restored waits" in ada.get(page(cast)).content.decode()


def test_a_confirmation_on_the_page_needs_fresh_proof(cast: Cast) -> None:
    restore(cast)
    client = signed_in(cast, "ines", is_fresh=False)
    shown = shown_on(client.get(page(cast)).content.decode())
    client.post(page(cast), {"shown": shown})
    assert not RestoredConfirmation.objects.exists()


@pytest.mark.parametrize(
    ("name", "sees", "may"), [("mia", False, False), ("otto", True, False), ("stella", True, False)]
)
def test_others_read_but_have_no_button(cast: Cast, name: str, sees: bool, may: bool) -> None:
    restore(cast)
    text = signed_in(cast, name).get(page(cast)).content.decode()
    assert ("alan@contoso.example" in text, 'name="shown"' in text) == (sees, False)


def test_the_page_is_not_there_for_another_tenant_or_an_engineer(cast: Cast) -> None:
    restore(cast)
    for name in ("frida", "priya"):
        assert signed_in(cast, name).get(page(cast)).status_code == 404


def test_people_and_engineers_read_why_nothing_opens(cast: Cast) -> None:
    restore(cast)
    row = cast.submitted()
    assert "Check what was restored" in signed_in(cast, "mia").get("/").content.decode()
    assert (
        "No window can open yet"
        in signed_in(cast, "ada").get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()
    )
    engineer = signed_in(cast, "priya")
    assert "until the staff of" in engineer.get("/").content.decode()
    text = engineer.get(reverse("web:access_request", args=[row.pk])).content.decode()
    assert "must confirm what was restored. The staff of Microsoft must confirm who their people are." in text
    decider = signed_in(cast, "pat").get(reverse("web:access_request", args=[row.pk])).content.decode()
    assert "the people of Contoso have not confirmed yet what was restored" in re.sub(r"\s+", " ", decider)


def test_no_page_and_no_call_approves(cast: Cast) -> None:
    restore(cast)
    row = cast.submitted("northwind")
    url = reverse("web:decide", args=[row.pk, "approve"])
    shown = signed_in(cast, "pat").post(url, answer(row))
    assert shown.status_code == 409
    caller = caller_for(cast, "pat", Scope.DECISIONS_WRITE, Scope.REQUESTS_READ)
    refused = caller.decide("approve", row, "")
    assert (refused.status_code, refused.json()["code"]) == (409, "restore_not_confirmed")
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_PROVIDER"
    assert not Grant.objects.filter(closed_at=None).exists()


def test_the_api_shows_and_confirms_the_same(cast: Cast) -> None:
    restore(cast)
    caller = caller_for(cast, "ines", Scope.TENANT_READ, Scope.TENANT_MANAGE, fresh=False)
    found = caller.get(f"tenants/{cast.contoso.pk}/restored").json()
    assert (found["waits_for_tenant"], found["needed"], found["restored"]["lockbox_on"]) == (True, 2, True)
    with nothing_happens():
        stale = caller.post(f"tenants/{cast.contoso.pk}/restored", {"shown": found["shown"]})
    assert (stale.status_code, stale.json()["code"]) == (403, "step_up_required")
    assert caller_for(cast, "mia", Scope.TENANT_READ).get(f"tenants/{cast.contoso.pk}/restored").status_code == 403
    assert caller_for(cast, "frida", Scope.TENANT_READ).get(f"tenants/{cast.contoso.pk}/restored").status_code == 404


def test_the_secret_of_a_client_gives_no_token_before_the_confirmations(cast: Cast) -> None:
    ours, secret = client_of(cast, "contoso", Scope.LOG_READ)
    providers, other = client_of(cast, None, Scope.EVALUATE)
    assert access_token(ours, secret).status_code == access_token(providers, other).status_code == 200
    restore(cast, keeps_tokens=False)
    assert not Token.objects.filter(revoked_at=None).exists()
    assert access_token(ours, secret).status_code == access_token(providers, other).status_code == 401
    for name in ("ines", "ada"):
        facts = queries.facts_of_tenant(Tenant.objects.get(pk=cast.contoso.pk), clock.now())
        operations.confirm_restored(cast.contoso.pk, shown=queries.digest(facts), actor=cast.as_(name))
    assert access_token(ours, secret).status_code == 200
    assert access_token(providers, other).status_code == 401
    shown = queries.digest(queries.facts_of_provider())
    operations.confirm_restored_people(shown=shown, actor=cast.as_("stella"))
    assert access_token(providers, other).status_code == 200


def test_staff_read_and_confirm_the_providers_people(cast: Cast) -> None:
    cast.colleague()
    restore(cast)
    stella = signed_in(cast, "stella")
    assert reverse("admin:restored") in stella.get("/").content.decode()
    text = stella.get(reverse("admin:restored")).content.decode()
    for words in ("sten@provider.example", "pat@provider.example", "Two members of the staff"):
        assert words in text
    after = stella.post(reverse("admin:restored"), {"shown": shown_on(text)}, follow=True).content.decode()
    assert "Another member of the staff must, too." in after
    sten = signed_in(cast, "sten")
    text = sten.get(reverse("admin:restored")).content.decode()
    assert "Stella Test</bdi> confirmed exactly this" in text or "Stella Test confirmed exactly this" in text
    after = sten.post(reverse("admin:restored"), {"shown": shown_on(text)}, follow=True).content.decode()
    assert "The staff have confirmed" in after


def test_the_people_who_are_confirmed_are_read_without_objects(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """There can be thousands of them. To make an object of each takes ten times as long."""

    def read() -> tuple[Any, Any]:
        return queries.facts_of_provider()["roles"], queries.facts_of_tenant(cast.contoso, clock.now())["people"]

    roles, people = wanted = read()
    exchange = cast.exchange.name
    assert {"name": "Priya Test", "email": cast.priya.email, "role": "engineer", "service": exchange} in roles
    assert {"name": "Ada Test", "email": cast.ada.email, "is_on": True, "roles": ["approver", "member"]} in people
    for model in (QueueAssignment, Membership):
        monkeypatch.setattr(model, "from_db", None)
    assert read() == wanted


def test_staff_read_which_customers_have_not_confirmed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    restore(cast)
    stella = signed_in(cast, "stella")

    def main() -> str:
        return stella.get(reverse("admin:restored")).content.decode().partition("Customers that have not confirmed")[2]

    waiting = list(queries.unconfirmed_tenants().order_by("name"))
    assert len(waiting) > 1
    for tenant in waiting:
        assert reverse("admin:requests_app_tenant_change", args=[tenant.pk]) in main()
    RestoredTenant.objects.filter(tenant=waiting[0]).update(confirmed_at=clock.now())
    assert reverse("admin:requests_app_tenant_change", args=[waiting[0].pk]) not in main()
    Restoration.objects.update(confirmed_at=clock.now())
    assert "have not confirmed what was restored" in stella.get(reverse("admin:index")).content.decode()
    monkeypatch.setattr("requests_app.doors.admin.restored._MOST_NAMED", 1)
    assert main().count("<li>") == 1
    assert "more." in main()
    RestoredTenant.objects.update(confirmed_at=clock.now())
    assert "Nothing that was restored waits" in stella.get(reverse("admin:restored")).content.decode()
    assert "not confirmed what was restored" not in stella.get(reverse("admin:index")).content.decode()


def test_the_staffs_page_refuses_what_is_no_longer_so(cast: Cast) -> None:
    restore(cast)
    refused = signed_in(cast, "stella").post(reverse("admin:restored"), {"shown": "0" * 64})
    assert (refused.status_code, "Something has changed since" in refused.content.decode()) == (409, True)
    assert not RestoredConfirmation.objects.exists()


def test_after_a_database_was_set_back_by_hand_people_read_what_they_wait_for(cast: Cast) -> None:
    """Nobody can confirm before an operator has said when the copy was made. The pages name the command."""
    cast.colleague()
    assert set_back(cast)
    ines, stella = signed_in(cast, "ines"), signed_in(cast, "stella")
    text = " ".join(ines.get(page(cast)).content.decode().split())
    assert "An operator of Microsoft must first say when this copy of the database was made." in text
    staff = stella.get(reverse("admin:restored")).content.decode()
    assert "restored_by_hand --taken-at TIME" in staff
    for each in (text, staff):
        assert 'name="shown"' not in each
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(hours=1))
    # The command has ended all sessions.
    for name, address in (("ines", page(cast)), ("stella", reverse("admin:restored"))):
        cast.people[name].refresh_from_db()
        assert shown_on(signed_in(cast, name).get(address).content.decode())
