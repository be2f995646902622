"""Pages about what an application reported: the reader always sees that it is the application's word."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain.reports import Kind
from requests_app.models import Grant
from requests_app.queries import review
from requests_app.words import sentences
from tests.api.test_code_exchange import redeem
from tests.cast import Cast
from tests.guards import actor_of_guard, client_of_guards
from tests.operations.test_reports import one, report
from tests.ways_in import WayIn
from tests.web.pages import queries_of, same_queries
from tests.web.test_external_services import client_of, page, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(cast: Cast) -> Grant:
    return cast.in_quillo()


@pytest.fixture
def actor(cast: Cast, grant: Grant) -> Any:
    return actor_of_guard(client_of_guards(cast))


def test_the_live_list_says_that_the_application_reported(cast: Cast, grant: Grant, actor: Any) -> None:
    accesses = [one(grant), one(grant), one(grant, kind=Kind.REFUSED), one(grant, kind=Kind.CUT)]
    accesses.append(one(grant, at=grant.opens_at - dt.timedelta(minutes=1)))
    operations.report_accesses(report(*accesses), actor=actor)
    for who in ("ada", "pat", "priya"):
        text = page(cast, who, "live", grant.access_request_id)
        assert "2 accesses, reported by the application Quillo GET /w/{id}/pages" in text
        assert "1 refused request, reported by the application Quillo" in text
        assert "1 interrupted request, reported by the application Quillo" in text
        assert "1 access that the window did not allow, reported by the application Quillo" in text


def test_the_log_says_for_which_application_it_was_reported(cast: Cast, grant: Grant, actor: Any) -> None:
    accesses = [one(grant), one(grant), one(grant, kind=Kind.REFUSED), one(grant, kind=Kind.CUT)]
    early = one(grant, at=grant.opens_at - dt.timedelta(minutes=1))
    operations.report_accesses(report(*accesses, early), actor=actor)
    text = page(cast, "ada", "log", cast.contoso.pk)
    assert "reported for Quillo: 2 accesses by Priya Test in notes of contoso" in text
    assert "reported for Quillo: 1 refused request by Priya Test" in text
    assert "in notes of contoso, at a time when the window was not open" in text


def test_the_log_names_each_request_and_those_that_can_change_things(cast: Cast) -> None:
    cast.with_act_as()
    grant = cast.in_quillo(level="act_as")
    actor = actor_of_guard(client_of_guards(cast))
    seen, changed = one(grant), one(grant, action="act_as", item="POST /w/{id}/pages")
    refused = one(grant, kind=Kind.REFUSED, code="other")
    operations.report_accesses(report(seen, changed, seen, refused), actor=actor)
    text = page(cast, "ada", "log", cast.contoso.pk)
    assert "reported for Quillo: 2 accesses by Priya Test" in text
    assert "reported for Quillo: 1 access that can change things by Priya Test" in text
    assert "POST /w/{id}/pages (can change things)" in text
    assert "GET /w/{id}/pages (can change things)" not in text
    assert "GET /w/{id}/pages, because: other" in text
    live = page(cast, "ada", "live", grant.access_request_id)
    assert "1 access, reported by the application Quillo POST /w/{id}/pages" in live


@pytest.mark.parametrize(
    ("n", "changing", "words"),
    [(3, 0, "3 accesses"), (1, 1, "1 access that can change things"), (3, 1, "3 accesses (1 can change things)")],
)
def test_an_amount_says_how_many_accesses_can_change_things(n: int, changing: int, words: str) -> None:
    assert sentences.reported("access", n, changing=changing) == words


def test_the_summary_counts_the_accesses_and_not_the_refusals(cast: Cast, grant: Grant, actor: Any) -> None:
    operations.report_accesses(report(one(grant), one(grant), one(grant, kind=Kind.REFUSED)), actor=actor)
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    text = page(cast, "ada", "access_request", grant.access_request_id)
    assert "Quillo reports 2 accesses" in text


def test_the_window_says_that_its_application_is_silent(cast: Cast, grant: Grant, actor: Any, travel: Any) -> None:
    words = "Quillo has not reported since"
    travel.freeze()
    operations.report_accesses(report(first=0), actor=actor)
    assert words not in page(cast, "ada", "live", grant.access_request_id)
    assert words not in page(cast, "ada", "home")
    travel.by(seconds=61)
    for name in ("live", "access_request"):
        assert words in page(cast, "ada", name, grant.access_request_id)
    for who in ("ada", "pat"):
        assert words in page(cast, who, "home")
    operations.report_accesses(report(first=0), actor=actor)
    assert words not in page(cast, "ada", "live", grant.access_request_id)


def test_a_page_that_is_already_open_learns_that_the_application_is_silent(
    cast: Cast, grant: Grant, actor: Any, travel: Any
) -> None:
    travel.freeze()
    operations.report_accesses(report(first=0), actor=actor)
    client, url = client_of(cast, "ada"), reverse("web:live", args=[grant.access_request_id])

    def poll(seen: str) -> Any:
        return client.get(url, {"lines": "3", "seen": seen}, headers={"HX-Request": "true"})

    assert poll("nothing").status_code == 204
    travel.by(seconds=61)
    response = poll("nothing")
    assert "Quillo has not reported since" in text_of(response)
    assert poll("nothing silent").status_code == 204
    operations.report_accesses(report(first=0), actor=actor)
    response = poll("nothing silent")
    assert "has not reported since" not in text_of(response)


def test_the_home_page_asks_once_about_all_silent_applications(cast: Cast, grant: Grant, actor: Any) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    client = client_of(cast, "ada")
    same_queries(lambda: queries_of(client, "/"), lambda: opened(cast))


def opened(cast: Cast) -> None:
    cast.in_quillo()


def test_the_history_says_that_the_engineer_came_in_and_leaves_renewed_tokens_to_the_log(cast: Cast) -> None:
    made = cast.guard()
    way = WayIn(cast, made.row, cast.in_quillo())
    row = way.grant.access_request
    before = review.last_change(row)
    token = redeem(way, made, way.issue()).json()["access_token"]
    operations.renew_grant_token(token, actor=actor_of_guard(made.row))
    operations.issue_grant_token(way.grant.pk, actor=cast.as_("priya"))
    text = page(cast, "ada", "access_request", row.pk)
    assert "Priya Test, Microsoft came in at https://quillo.example" in text
    assert text.count("Priya Test, Microsoft got a grant token") == 1
    assert "Grant token given" not in text
    assert page(cast, "ada", "log", cast.contoso.pk).count("Event grant.token_issued") == 3
    after = review.last_change(row)
    assert before is not None
    assert after is not None
    assert after.row.pk == before.row.pk, "the use of a window is no change of the access request"
