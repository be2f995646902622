"""A resource that can't be reached is marked before access is asked for and approved. It forbids nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, Resource
from tests.cast import JUSTIFICATION, TRIED, Cast
from tests.factors import force_login

pytestmark = pytest.mark.django_db

MARK = "can’t be reached since"


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def signed_in(name: str) -> Client:
        client = Client()
        force_login(client, cast.people[name], is_fresh=True)
        return client

    return signed_in


def spoil(row: Resource, problem: str = "resource_not_found") -> Resource:
    at = clock.now()
    values: dict[str, Any] = {
        "checked_at": at,
        "next_check_at": at + dt.timedelta(hours=1),
        "check_problem": problem,
        "check_failing_since": at if problem else None,
    }
    Resource.objects.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    return row


def answers(cast: Cast, step: str, *resources: Resource) -> dict[str, Any]:
    ids = [row.pk for row in resources]
    fields = {"tried": TRIED, "justification": JUSTIFICATION, "level": "read", "window_for": "7200", "step": step}
    return {**fields, "resource_ids": ids}


def test_the_form_and_the_preview_mark_an_unreachable_resource(cast: Cast, as_: Callable[[str], Client]) -> None:
    url = reverse("web:ask", args=[cast.ticket().pk])
    spoiled, other = cast.resource(), cast.resource(name="sales")
    for problem, is_marked in (("", False), ("resource_not_found", True)):
        spoil(spoiled, problem)
        page = as_("priya").get(url).content.decode()
        assert page.count(MARK) == is_marked
        preview = as_("priya").post(url, answers(cast, "preview", spoiled, other)).content.decode()
        assert preview.count(MARK) == is_marked
    assert MARK not in as_("priya").post(url, answers(cast, "preview", other)).content.decode()
    assert as_("priya").post(url, answers(cast, "submit", spoiled)).status_code == 302
    assert AccessRequest.objects.get().scope.get().resource == spoiled


@pytest.mark.parametrize(("who", "is_marked"), [("pat", True), ("priya", True), ("ada", False), ("otto", False)])
def test_the_provider_reads_it_on_the_access_request_and_the_customer_in_the_log(
    cast: Cast, as_: Callable[[str], Client], who: str, is_marked: bool
) -> None:
    row = cast.submitted()
    url = reverse("web:access_request", args=[row.pk])
    assert MARK not in as_(who).get(url).content.decode()
    spoil(row.scope.first().resource)
    assert (MARK in as_(who).get(url).content.decode()) == is_marked


@pytest.mark.parametrize("problem", ["", "no_answer"])
def test_an_old_result_is_shown_as_unknown(cast: Cast, as_: Callable[[str], Client], problem: str) -> None:
    """Otherwise the pages would go on to say what was true before the tests stopped."""
    row, url = cast.submitted(), reverse("web:ask", args=[cast.ticket().pk])
    resource = row.scope.first().resource
    pages = [("priya", url), ("pat", reverse("web:access_request", args=[row.pk])),
             ("pat", reverse("web:decide", args=[row.pk, "approve"]))]  # fmt: skip
    spoil(resource, problem)
    assert not any("not tested since" in as_(who).get(page).content.decode() for who, page in pages)
    Resource.objects.filter(pk=resource.pk).update(checked_at=clock.now() - dt.timedelta(days=2, minutes=1))
    for who, page in pages:
        text = as_(who).get(page).content.decode()
        assert ("not tested since" in text, MARK in text) == (True, False), (who, page)
    preview = as_("priya").post(url, answers(cast, "preview", resource)).content.decode()
    assert ("not tested since" in preview, "Nobody knows whether 1 resource can be reached" in preview) == (True, True)
    assert "not tested since" not in as_("ada").get(pages[1][1]).content.decode()


def test_a_resource_without_a_valid_test_is_marked(cast: Cast, as_: Callable[[str], Client]) -> None:
    """After an import, nobody knows whether the content is there. After a change, the last result is about the past."""
    cast.peaceful()
    url, resource = reverse("web:ask", args=[cast.ticket().pk]), cast.resource()
    Resource.objects.exclude(pk=resource.pk).update(checked_at=clock.now(), next_check_at=clock.now())

    def marks(mark: str) -> list[int]:
        """Count the mark in the form and in the preview, and the box of the preview for what is not known."""
        form = strip_tags(as_("priya").get(url).content.decode())
        preview = strip_tags(as_("priya").post(url, answers(cast, "preview", resource)).content.decode())
        box = preview.count("Nobody knows whether 1 resource can be reached")
        return [" ".join(form.split()).count(f"{resource.name} {mark}"), preview.count(f"{resource.name}: {mark}"), box]

    assert marks("not tested yet") == [1, 1, 1]
    spoil(resource)
    assert marks("not tested yet") == [0, 0, 0]
    operations.save_resource(resource_id=resource.pk, actor=cast.as_("stella"), locator="contoso/finance-2")
    assert marks("changed since the last test") == [1, 1, 1]
    assert marks(MARK) == [0, 0, 1]
    spoil(resource, "")
    assert marks("changed since the last test") == [0, 0, 0]


def test_external_resources_are_not_marked_as_untested(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(service_id=cast.quillo().pk)
    assert "not tested yet" not in as_("priya").get(reverse("web:ask", args=[ticket.pk])).content.decode()


def test_an_approver_reads_it_where_they_confirm_and_can_approve(cast: Cast, as_: Callable[[str], Client]) -> None:
    row = cast.submitted()
    spoil(row.scope.first().resource)
    url = reverse("web:decide", args=[row.pk, "approve"])
    assert MARK in as_("pat").get(url).content.decode()
    assert MARK not in as_("pat").get(reverse("web:decide", args=[row.pk, "deny"])).content.decode()
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="It will be mounted in time.")


def test_nothing_is_marked_when_access_is_over(cast: Cast, as_: Callable[[str], Client]) -> None:
    row = cast.submitted()
    spoil(row.scope.first().resource)
    operations.withdraw(row.pk, actor=cast.as_("priya"))
    assert MARK not in as_("pat").get(reverse("web:access_request", args=[row.pk])).content.decode()


def test_the_marks_cost_no_query(cast: Cast, as_: Callable[[str], Client]) -> None:
    url, counts = reverse("web:ask", args=[cast.ticket().pk]), []
    client = as_("priya")
    for n in (2, 20):
        for number in range(n):
            at = clock.now() - dt.timedelta(days=1)
            Resource.objects.create(
                tenant=cast.contoso, service=cast.exchange, kind="mailbox", name=f"x{n} {number}",
                locator=f"contoso/x{n}/{number}", checked_at=at, check_problem="no_answer", check_failing_since=at,
                next_check_at=at,
            )  # fmt: skip
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            page = client.get(url).content.decode()
        assert page.count(MARK) >= n
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_customer_reads_in_the_log_what_a_test_did(
    cast: Cast, as_: Callable[[str], Client], settings: Any, tmp_path: Path
) -> None:
    settings.CONTENT_ROOT = tmp_path
    # The root of the tenant, without any place in it.
    (tmp_path / "contoso").mkdir()
    row = cast.resource()
    operations.check_resource(row.pk, actor=cast.as_("stella"))
    operations.find_resources(cast.contoso.pk, service_id=cast.exchange.pk, actor=cast.as_("stella"))
    page = strip_tags(as_("otto").get(reverse("web:log", args=[cast.contoso.pk])).content.decode())
    assert "tested the resource finance@contoso.example: it can’t be reached" in page
    assert f"Checked whether the folder {row.locator} exists" in page
    assert "listed places that could become resources of Exchange Online: none. No content was read" in page
