"""The page on which an approver denies all pending access requests, and mutes an engineer or all engineers."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.models import AccessRequest, Membership, Mute, Person
from requests_app.queries import tenant as tenants
from tests.cast import Cast, events_in
from tests.factors import force_login

pytestmark = pytest.mark.django_db


def page_of(cast: Cast) -> str:
    return reverse("web:mutes", args=[cast.contoso.pk])


def signed_in(client: Client, cast: Cast, name: str) -> Client:
    force_login(client, cast.people[name], is_fresh=True)
    return client


def states() -> list[str]:
    return list(AccessRequest.objects.order_by("submitted_at").values_list("state", flat=True))


def test_an_approver_denies_all_on_one_page_and_is_left_in_peace(cast: Cast, client: Client) -> None:
    rows = [cast.confirmed(), cast.confirmed(), cast.confirmed(by="erik")]
    signed_in(client, cast, "ada")
    home = client.get("/").content.decode()
    assert page_of(cast) in home
    detail = client.get(reverse("web:access_request", args=[rows[0].pk])).content.decode()
    assert f"{page_of(cast)}?engineer={cast.priya.pk}" in detail
    shown = client.get(page_of(cast), {"engineer": str(cast.priya.pk)}).content.decode()
    assert "Priya Test</bdi>: 2 wait" in shown
    assert f'value="{cast.priya.pk}" selected' in shown
    form = {"engineer": str(cast.priya.pk), "hours": "4", "note": "Nobody knows of this."}
    after = client.post(page_of(cast), form, follow=True)
    text = after.content.decode()
    assert "2 access requests were denied. You get no access requests from <bdi" in text
    assert "Priya Test</bdi>: nothing waits" in text
    assert states() == ["DENIED", "DENIED", "PENDING_CUSTOMER"]
    row = Mute.objects.get()
    assert (row.engineer_id, row.denied, row.note) == (cast.priya.pk, 2, "Nobody knows of this.")
    lifted = client.post(page_of(cast), {"lift": str(row.pk)}, follow=True)
    assert "has ended." in lifted.content.decode()
    row.refresh_from_db()
    assert row.lifted_at is not None


def test_everybody_of_the_tenant_sees_who_is_muted_and_only_approvers_the_form(cast: Cast, client: Client) -> None:
    cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    for name, may in (("mia", False), ("otto", False), ("ines", False), ("alan", True)):
        text = signed_in(client, cast, name).get(page_of(cast)).content.decode()
        assert "Who is muted now" in text
        assert ("Deny all access requests that wait for you" in text) is may
        assert ("End the mute" in text) is may


def test_a_missing_choice_is_explained_and_denies_nothing(cast: Cast, client: Client) -> None:
    cast.confirmed()
    signed_in(client, cast, "ada")
    for form in ({"hours": "4"}, {"engineer": "everybody"}, {"engineer": str(cast.erik.pk), "hours": "4"}):
        assert client.post(page_of(cast), form).status_code == 422
    assert client.post(page_of(cast), {"engineer": "everybody", "hours": "4", "tenant": "x"}).status_code == 400
    assert states() == ["PENDING_CUSTOMER"]
    assert Mute.objects.count() == 0


def test_a_session_alone_denies_all_and_is_asked_for_proof_before_a_mute_is_shortened(
    cast: Cast, client: Client
) -> None:
    cast.confirmed()
    client.force_login(cast.ada)
    assert client.post(page_of(cast), {"engineer": "everybody", "hours": "4"}).status_code == 302
    assert states() == ["DENIED"]
    answer = client.post(page_of(cast), {"engineer": "everybody", "hours": "1"})
    assert answer.status_code == 403
    assert "step-up" in answer.content.decode()


def test_nobody_is_chosen_until_somebody_chooses(cast: Cast, client: Client) -> None:
    cast.confirmed()
    text = signed_in(client, cast, "ada").get(page_of(cast)).content.decode()
    [first, *_] = re.findall(r'<option value="([^"]*)"', text[text.index('name="engineer"') :])
    assert first == ""
    assert client.post(page_of(cast), {"engineer": "", "hours": "4"}).status_code == 422
    assert states() == ["PENDING_CUSTOMER"]


def test_hidden_characters_of_a_name_show_among_the_choices(cast: Cast, client: Client) -> None:
    cast.confirmed()
    Person.objects.filter(pk=cast.priya.pk).update(name="Pri\u202eya")
    text = signed_in(client, cast, "ada").get(page_of(cast)).content.decode()
    assert "\u202e" not in text
    assert "U+202E" in text


def test_the_page_counts_what_it_denies_by_human(cast: Cast, client: Client) -> None:
    cast.confirmed()
    cast.confirmed(by="erik")
    cast.agreed(lambda: operations.link_accounts(cast.priya.pk, cast.erik.pk, actor=cast.as_("stella")))
    text = signed_in(client, cast, "ada").get(page_of(cast)).content.decode()
    assert "Priya Test</bdi>: 2 wait" in text
    assert "Erik Test</bdi>: 2 wait" in text


def test_an_approver_of_two_tenants_is_led_to_the_one_that_is_asked_often(cast: Cast, client: Client) -> None:
    Membership.objects.create(tenant=cast.fabrikam, person=cast.ada, role="approver", given_at=cast.ada.created_at)
    cast.confirmed("fabrikam")
    for _ in range(2):
        cast.confirmed()
    home = signed_in(client, cast, "ada").get("/").content.decode()
    assert page_of(cast) in home
    assert reverse("web:mutes", args=[cast.fabrikam.pk]) not in home


def test_a_member_who_tries_is_in_the_log_though_the_form_says_nothing(cast: Cast, client: Client) -> None:
    cast.confirmed()
    assert signed_in(client, cast, "mia").post(page_of(cast), {"hours": "4"}).status_code == 403
    assert events_in(cast.contoso)[-1] == "act.refused"
    assert states() == ["PENDING_CUSTOMER"]


def test_the_provider_reads_beforehand_that_nothing_is_put_to_the_customer(cast: Cast, client: Client) -> None:
    row, ticket = cast.submitted(), cast.ticket()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    says = "accepts no access requests from anybody at Microsoft until"
    detail = signed_in(client, cast, "pat").get(reverse("web:access_request", args=[row.pk])).content.decode()
    assert "You can’t approve this access request now" in detail
    assert says in detail
    assert says in signed_in(client, cast, "priya").get(reverse("web:ask", args=[ticket.pk])).content.decode()


def test_a_search_finds_an_engineer_whom_the_form_does_not_offer(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "CHOICES", 1)
    for by in ("priya", "priya", "erik"):
        cast.confirmed(by=by)
    signed_in(client, cast, "ada")
    shown = client.get(page_of(cast)).content.decode()
    assert "Priya Test</bdi>: 2 wait" in shown
    assert "Erik" not in shown
    found = client.get(page_of(cast), {"find": "ERIK"}).content.decode()
    assert f'value="{cast.erik.pk}" selected' in found
    assert "Priya" not in found
    by_address = client.get(page_of(cast), {"find": cast.erik.email}).content.decode()
    assert f'value="{cast.erik.pk}" selected' in by_address
    # Pat works for the provider, too, but has not asked for access.
    assert "Pat Test" not in client.get(page_of(cast), {"find": "Pat"}).content.decode()
    linked = client.get(page_of(cast), {"engineer": str(cast.erik.pk)}).content.decode()
    assert f'value="{cast.erik.pk}" selected' in linked
    assert client.post(page_of(cast), {"engineer": str(cast.erik.pk), "hours": "4"}).status_code == 302
    assert Mute.objects.get().engineer == cast.erik


def test_the_search_is_above_the_form_and_says_what_it_did_not_find(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "CHOICES", 1)
    for by in ("priya", "erik"):
        cast.confirmed(by=by)
    signed_in(client, cast, "ada")
    incomplete, nobody = "This list is not complete.", "No engineer who asked for access in the last seven days"
    shown = client.get(page_of(cast)).content.decode()
    # The answer shows the form again, and not the beginning of the page.
    assert 'role="search" action="#add-heading"' in shown
    assert shown.index('id="add-heading"') < shown.index('name="find"') < shown.index('name="engineer"')
    assert incomplete in shown
    assert nobody not in shown
    found = client.get(page_of(cast), {"find": "Erik"}).content.decode()
    assert incomplete not in found
    assert nobody not in found
    missing = client.get(page_of(cast), {"find": "Pat"}).content.decode()
    assert incomplete not in missing
    assert nobody in missing


def test_a_form_with_everybody_in_it_has_no_search(cast: Cast, client: Client) -> None:
    cast.confirmed()
    assert 'name="find"' not in signed_in(client, cast, "ada").get(page_of(cast)).content.decode()


@pytest.mark.parametrize("who", ["pat", "mia", "nobody"])
def test_somebody_who_has_not_asked_is_not_muted(cast: Cast, client: Client, who: str) -> None:
    cast.confirmed()
    signed_in(client, cast, "ada")
    chosen = str(cast.people[who].pk) if who in cast.people else who
    assert client.post(page_of(cast), {"engineer": chosen, "hours": "4"}).status_code == 422
    assert Mute.objects.count() == 0
    assert states() == ["PENDING_CUSTOMER"]
