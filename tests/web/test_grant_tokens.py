"""The page that shows a grant token once: who sees it, what it shows, and what stays of it."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.models import Grant, IdempotencyKey
from requests_app.models.token_keys import verified
from tests.cast import Cast
from tests.factors import force_login

pytestmark = pytest.mark.django_db
BUTTON = "Get a grant token"


@pytest.fixture
def window(cast: Cast) -> Grant:
    cast.guard()
    return cast.in_quillo()


def signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    force_login(client, cast.people[name])
    return client


def page(client: Client, window: Grant) -> str:
    return client.get(reverse("web:window", args=[window.pk])).content.decode()


def token_in(text: str) -> str:
    [found] = {html.unescape(each) for each in re.findall(r'data-copy="(eyJ[^"]+)"', text)}
    return found


def count() -> int:
    return AuditEntry.objects.filter(event="grant.token_issued").count()


def test_the_engineer_sees_a_token_once_with_the_time_left(cast: Cast, window: Grant) -> None:
    priya, address = signed_in(cast, "priya"), reverse("web:grant_token", args=[window.pk])
    assert BUTTON in page(priya, window)
    answer = priya.post(address)
    text = answer.content.decode()
    claims = verified(token_in(text), typ="at+jwt")
    assert claims is not None
    assert (answer.status_code, claims["sub"], claims["client_id"]) == (200, str(cast.priya.pk), "lockbox")
    assert "no-store" in answer["Cache-Control"]
    assert "data-deadline=" in text
    assert (count(), AuditEntry.objects.order_by("-pk")[0].door) == (1, "pages")
    # No other page shows it, and loading the address of the form changes nothing.
    token = token_in(text)
    assert token not in page(priya, window)
    assert token not in priya.get(reverse("web:access_request", args=[window.access_request_id])).content.decode()
    again = priya.get(address)
    assert (again.status_code, again["Location"]) == (302, reverse("web:window", args=[window.pk]))
    assert count() == 1


def test_a_form_that_is_sent_twice_gives_one_token(cast: Cast, window: Grant) -> None:
    priya, address = signed_in(cast, "priya"), reverse("web:grant_token", args=[window.pk])
    [once] = set(re.findall(rf'action="{address}".*?name="once" value="([^"]+)"', page(priya, window), re.DOTALL))
    first, second = priya.post(address, {"once": once}), priya.post(address, {"once": once}, follow=True)
    assert (first.status_code, second.redirect_chain[0][1], count()) == (200, 302, 1)
    words = [str(each) for each in second.context["messages"]]
    assert words == [
        "This was saved already. Nothing was done a second time. A grant token is shown once. If you did not save it, "
        "get another grant token."
    ]
    assert not any(bytes(row.body or b"") for row in IdempotencyKey.objects.all())


@pytest.mark.parametrize(
    ("name", "status"), [("pat", 403), ("stella", 403), ("ada", 403), ("erik", 404), ("frida", 404)]
)
def test_nobody_else_gets_a_token(cast: Cast, window: Grant, name: str, status: int) -> None:
    client, address = signed_in(cast, name), reverse("web:grant_token", args=[window.pk])
    assert (client.post(address).status_code, client.get(address).status_code) == (status, status)
    assert count() == 0


def test_a_form_with_fields_is_refused(cast: Cast, window: Grant) -> None:
    answer = signed_in(cast, "priya").post(reverse("web:grant_token", args=[window.pk]), {"alg": "none"})
    assert (answer.status_code, count()) == (400, 0)


def test_there_is_no_button_where_nobody_accepts_a_token(cast: Cast) -> None:
    priya, window = signed_in(cast, "priya"), cast.in_quillo()
    assert BUTTON not in page(priya, window)
    refused = priya.post(reverse("web:grant_token", args=[window.pk]))
    assert (refused.status_code, count()) == (409, 0)
    mailbox = cast.opened()
    assert BUTTON not in page(priya, mailbox)
    assert priya.post(reverse("web:grant_token", args=[mailbox.pk])).status_code == 403
    assert count() == 0


def test_after_the_end_the_page_says_when_the_window_closed(cast: Cast, window: Grant) -> None:
    priya = signed_in(cast, "priya")
    operations.revoke(window.access_request_id, actor=cast.as_("ada"))
    refused = priya.post(reverse("web:grant_token", args=[window.pk]))
    assert (refused.status_code, count()) == (403, 0)
    entry = AuditEntry.objects.order_by("-pk")[0]
    assert (entry.event, entry.door) == ("act.refused", "pages")


def test_the_customer_reads_in_the_log_that_a_token_was_given(cast: Cast, window: Grant) -> None:
    made = operations.issue_grant_token(window.pk, actor=cast.as_("priya"))
    text = signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk])).content.decode()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html.unescape(text)))
    assert f"got a grant token for Quillo through the window of {window.access_request.reference}" in words
    assert made.token not in text
