"""Pages about access through another service. They say that access was allowed, and never that content was opened."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.evaluation import Question
from requests_app.doors.web._log_words import sentence_of
from requests_app.models import Grant
from requests_app.queries import access
from requests_app.queries.log import About
from requests_app.words import sentences
from tests.caller import service_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def allow(cast: Cast, *, action: str = "read", item: str = "<7@x.example>") -> None:
    question = Question(
        subject_type="engineer",
        subject=str(cast.priya.pk),
        action=action,
        service="exchange-online",
        resource=str(cast.resource().pk),
        item=item,
    )
    assert operations.allow_access(question, actor=service_of(cast)).decision


def _page(cast: Cast, grant: Grant, who: str, name: str) -> str:
    client = Client()
    client.force_login(cast.people[who])
    response = client.get(reverse(f"web:{name}", args=[grant.access_request_id]))
    assert response.status_code == 200
    return " ".join(strip_tags(response.content.decode()).split())


@pytest.fixture
def grant(cast: Cast) -> Grant:
    return cast.opened()


def test_the_customer_sees_it_live(cast: Cast, grant: Grant) -> None:
    allow(cast)
    allow(cast, action="list", item="")
    page = _page(cast, grant, "ada", "live")
    assert "was allowed to use another service to open an item" in page
    assert "was allowed to use another service to list items" in page
    assert "&lt;7@x.example&gt;" in page


def test_a_closed_window_does_not_say_that_nothing_was_opened(cast: Cast, grant: Grant) -> None:
    allow(cast)
    allow(cast)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    page = _page(cast, grant, "ada", "access_request")
    assert "2 allowed accesses through another service" in page
    assert "othing was opened" not in page
    assert sentences.summary(access.seen_resources([grant.pk])[grant.pk], enforced_by="") == (
        "2 allowed accesses through another service"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "allowed Priya Test to use another service to open <7@x.example> in finance@contoso.example"),
        ({"item": ""}, "allowed Priya Test to use another service to open something in finance@contoso.example"),
        ({"action": "list"}, "allowed Priya Test to use another service to list the items in finance@contoso.example"),
    ],
)
def test_the_log_says_whom_it_was_allowed(cast: Cast, grant: Grant, asked: dict[str, Any], words: str) -> None:
    allow(cast, **asked)
    entry = AuditEntry.objects.get(event="content.access_allowed")
    sentence, _comment = sentence_of(entry, tenant=cast.contoso, about=About({}, {}), at=clock.now())
    text = " ".join(strip_tags(sentence).replace("&lt;", "<").replace("&gt;", ">").split())
    assert text.endswith(words)
    assert json.loads(bytes(entry.canonical))["door"] == "api"
