"""The page on which an approver denies all that waits and is left in peace."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.models import AccessRequest, Mute
from tests.cast import Cast
from tests.factors import stepped_up

pytestmark = pytest.mark.django_db


def page_of(cast: Cast) -> str:
    return reverse("web:mutes", args=[cast.contoso.pk])


def signed_in(client: Client, cast: Cast, name: str) -> Client:
    client.force_login(cast.people[name])
    stepped_up(client, cast.people[name])
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
    assert "Priya Test (priya@provider.example): 2 wait" in shown
    assert f'value="{cast.priya.pk}" selected' in shown
    form = {"engineer": str(cast.priya.pk), "hours": "4", "note": "Nobody knows of this."}
    after = client.post(page_of(cast), form, follow=True)
    text = after.content.decode()
    assert "2 access requests are denied. None from <bdi" in text
    assert "Priya Test (priya@provider.example): none waits" in text
    assert states() == ["DENIED", "DENIED", "PENDING_CUSTOMER"]
    row = Mute.objects.get()
    assert (row.engineer_id, row.denied, row.note) == (cast.priya.pk, 2, "Nobody knows of this.")
    lifted = client.post(page_of(cast), {"lift": str(row.pk)}, follow=True)
    assert "are put to you again." in lifted.content.decode()
    row.refresh_from_db()
    assert row.lifted_at is not None


def test_everybody_of_the_tenant_sees_who_is_muted_and_only_approvers_the_form(cast: Cast, client: Client) -> None:
    cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    for name, may in (("mia", False), ("otto", False), ("ines", False), ("alan", True)):
        text = signed_in(client, cast, name).get(page_of(cast)).content.decode()
        assert "Who is muted now" in text
        assert ("Deny all, and mute" in text) is may
        assert ("Take them again" in text) is may


def test_what_is_missing_is_said_and_denies_nothing(cast: Cast, client: Client) -> None:
    cast.confirmed()
    signed_in(client, cast, "ada")
    for form in ({"hours": "4"}, {"engineer": "everybody"}, {"engineer": str(cast.erik.pk), "hours": "4"}):
        assert client.post(page_of(cast), form).status_code == 422
    assert client.post(page_of(cast), {"engineer": "everybody", "hours": "4", "tenant": "x"}).status_code == 400
    assert states() == ["PENDING_CUSTOMER"]
    assert Mute.objects.count() == 0


def test_without_fresh_proof_it_is_asked_for_and_nothing_is_denied_before(cast: Cast, client: Client) -> None:
    cast.confirmed()
    client.force_login(cast.ada)
    answer = client.post(page_of(cast), {"engineer": "everybody", "hours": "1"})
    assert answer.status_code == 403
    assert "step-up" in answer.content.decode()
    assert states() == ["PENDING_CUSTOMER"]
