"""Engineers must first set up a second factor. Without one, no interface opens content for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import LastSecondFactor, SecondFactorRequired
from requests_app.identity import factors
from requests_app.models import ContentAccess, Grant, Person, Token
from requests_app.operations import content
from tests.caller import Caller, token_of
from tests.cast import PASSWORD, Cast
from tests.content import fill, mail_id
from tests.factors import give_app, set_up_app, sign_in
from tests.web.pages import nothing_happens, only_a_refusal, signed_in
from tests.web.test_security import ADD, without_factor

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Any) -> Path:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    return tmp_path


@pytest.fixture
def grant(cast: Cast) -> Grant:
    """Return an open window of an engineer who no longer has a second factor."""
    row = cast.opened()
    without_factor(cast, "priya")
    return row


def looks(cast: Cast, grant: Grant) -> dict[str, Callable[[], Any]]:
    """Return all ways to access content, each as a function."""
    resource, item, priya = grant.access_request.scope.get().resource, mail_id(), cast.as_("priya")
    return {
        "list": lambda: content.list_items(grant.pk, resource.pk, actor=priya),
        "message": lambda: content.read_message(grant.pk, resource.pk, item, actor=priya),
        "open": lambda: content.open_item(grant.pk, resource.pk, item, actor=priya),
        "download": lambda: content.download(grant.pk, resource.pk, item, actor=priya),
    }


def test_an_engineer_sets_one_up_at_the_first_sign_in(cast: Cast) -> None:
    client = Client()
    sign_in(without_factor(cast, "erik"), PASSWORD, client=client)
    for page in ("/", "/tickets/", "/security/"):
        assert client.get(page)["Location"] == f"{ADD}?next={page}"
    assert set_up_app(client).status_code == 200
    assert client.get("/").status_code == 200


def test_no_content_is_opened_without_one_in_any_way(cast: Cast, grant: Grant) -> None:
    for name, look in looks(cast, grant).items():
        seen = AuditEntry.objects.count()
        with pytest.raises(SecondFactorRequired):
            look()
        [entry] = AuditEntry.objects.order_by("pk")[seen:]
        assert (entry.event, "second_factor_required" in entry.text) == ("act.refused", True), name
    assert not ContentAccess.objects.exists()
    give_app(cast.priya)
    assert looks(cast, grant)["list"]()


def test_no_page_of_content_opens_without_one(cast: Cast, grant: Grant) -> None:
    """Even a session that began with a second factor leads to the page for setting one up."""
    resource, client = grant.access_request.scope.get().resource, signed_in(cast, "priya")
    pages = [reverse("web:window", args=[grant.pk]), reverse("web:window_resource", args=[grant.pk, resource.pk])]
    with nothing_happens():
        for page in pages:
            assert client.get(page)["Location"].startswith(ADD), page


def test_a_token_does_nothing_for_somebody_who_needs_one_and_has_none(cast: Cast) -> None:
    """No route of the API opens content. All its other routes also refuse people who could not sign in on the pages."""
    caller = Caller(token_of(cast, "priya", fresh=False))
    assert caller.get("me").status_code == 200
    without_factor(cast, "priya")
    with nothing_happens():
        for answer in (caller.get("me"), caller.get("tickets"), caller.post("me/step-up", {"password": PASSWORD})):
            assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required")
    assert not Token.objects.filter(account=cast.priya, stepped_up_at__isnull=False).exists()
    give_app(cast.priya)
    assert caller.get("me").status_code == 200


def test_losing_the_second_factor_during_a_window_ends_access(cast: Cast) -> None:
    grant = cast.opened()
    assert looks(cast, grant)["list"]()
    operations.reset_second_factors(cast.priya.pk, actor=cast.as_("stella"), keep=factors.drops_all)
    with only_a_refusal(), pytest.raises(SecondFactorRequired):
        looks(cast, grant)["message"]()


def test_an_engineer_keeps_the_last_one(cast: Cast) -> None:
    with pytest.raises(LastSecondFactor):
        operations.remove_totp(actor=cast.as_("priya"), keep=factors.drops_totp)
    assert Person.objects.get(pk=cast.priya.pk).has_second_factor


def test_the_operator_may_leave_it_to_somebody_else(cast: Cast, grant: Grant, settings: Any) -> None:
    settings.ENGINEER_SECOND_FACTOR = False
    client = signed_in(cast, "priya")
    assert client.get("/").status_code == 200
    assert looks(cast, grant)["list"]()
    # Approvers still need a second factor.
    without_factor(cast, "pat")
    assert signed_in(cast, "pat").get("/")["Location"] == f"{ADD}?next=/"
