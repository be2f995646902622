"""Where the content of a resource is: approvers read it beside the name, which staff choose."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse
from django.utils.html import strip_tags

from requests_app.models import AccessRequest, Resource, Ticket
from requests_app.work import outbox
from tests import practice
from tests.cast import JUSTIFICATION, TRIED, Cast
from tests.web.pages import answer, page_of, signed_in

pytestmark = pytest.mark.django_db

LOCATOR, ID = "Locator: contoso/mail/finance", "Id in Quillo: 7"
STAGES = [("pat", "PENDING_PROVIDER"), ("ada", "PENDING_CUSTOMER")]


def words(html: str) -> str:
    return " ".join(unescape(strip_tags(html.replace("<br>", " "))).split())


def read(cast: Cast, name: str, url: str) -> str:
    response = signed_in(cast, name).get(url)
    assert response.status_code == 200
    return words(response.content.decode())


def asked(cast: Cast, stage: str, **fields: Any) -> AccessRequest:
    return cast.submitted(**fields) if stage == "PENDING_PROVIDER" else cast.confirmed(**fields)


def ticket_of(cast: Cast, where: str) -> Ticket:
    return cast.ticket() if where == LOCATOR else cast.ticket(service_id=cast.quillo().pk)


@pytest.mark.parametrize("where", [LOCATOR, ID])
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_both_approvers_read_where_the_content_is_on_each_page(cast: Cast, name: str, stage: str, where: str) -> None:
    row = asked(cast, stage, ticket=ticket_of(cast, where))
    Resource.objects.filter(pk=row.scope.get().resource_id).update(name="Public newsletter")
    for page in (page_of(row), page_of(row, "decide", "approve"), page_of(row, "decide", "deny")):
        assert f"Public newsletter {where}" in read(cast, name, page)
    signed_in(cast, name).post(page_of(row, "decide", "approve"), answer(row))
    assert f"Public newsletter {where}" in read(cast, name, page_of(row, "receipt"))


@pytest.mark.parametrize("where", [LOCATOR, ID])
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_both_approvers_read_where_the_content_is_in_the_mail(cast: Cast, name: str, stage: str, where: str) -> None:
    row = asked(cast, stage, ticket=ticket_of(cast, where))
    resource = row.scope.get().resource.name
    while outbox.drain():
        pass
    [found] = [each for each in mail.outbox if each.to == [cast.people[name].email] and row.reference in each.body]
    for part in (found.body, str(found.alternatives[0][0])):  # type: ignore[attr-defined]  # a mail with an HTML part
        assert f"{resource} {where}" in words(str(part))


@pytest.mark.parametrize("where", [LOCATOR, ID])
def test_the_engineer_reads_it_before_the_access_request_is_submitted(cast: Cast, where: str) -> None:
    ticket = ticket_of(cast, where)
    resource = Resource.objects.filter(tenant=cast.contoso, service=ticket.service_id).order_by("name")[0]
    answers = {"tried": TRIED, "justification": JUSTIFICATION, "resource_ids": [resource.pk], "level": "read"}
    answers |= {"window_for": "7200", "step": "preview"}
    page = signed_in(cast, "priya").post(reverse("web:ask", args=[ticket.pk]), answers)
    assert f"{resource.name} {where}" in words(page.content.decode())


def test_a_practice_resource_is_nowhere(cast: Cast) -> None:
    row = practice.confirmed(cast)
    page = read(cast, "ada", page_of(row))
    assert "Practice mailbox" in page
    while outbox.drain():
        pass
    for text in (page, *(each.body for each in mail.outbox)):
        assert ":practice" not in text
        assert "Locator" not in text


def test_hidden_characters_of_a_locator_are_shown(cast: Cast) -> None:
    row = cast.confirmed()
    Resource.objects.filter(pk=row.scope.get().resource_id).update(locator="contoso/mail/\u202ereverse")
    assert "\u202e" not in read(cast, "ada", page_of(row))
