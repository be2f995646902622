"""The home pages of customers and of the provider."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from requests_app import operations
from requests_app.domain import limits
from requests_app.models import AccessRequest
from requests_app.queries import home as queries
from requests_app.queries import walks
from tests.cast import Cast
from tests.web.pages import look, nothing_happens, page_of, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db


def home(cast: Cast, name: str) -> str:
    response = signed_in(cast, name).get("/")
    assert response.status_code == 200
    return response.content.decode()


def test_a_stranger_signs_in_first(client: Any, db: None) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_changes_nothing(cast: Cast, method: str) -> None:
    cast.confirmed()
    cast.opened()
    client = signed_in(cast, "ada")
    with nothing_happens():
        getattr(client, method)("/")


def test_only_reading_is_answered(cast: Cast) -> None:
    assert signed_in(cast, "ada").post("/").status_code == 405


# --- The customer --------------------------------------------------------------------------------------------


def test_the_approver_reads_who_wants_what_why_and_until_when(cast: Cast) -> None:
    row = cast.confirmed()
    page = home(cast, "ada")
    assert "1 access request waits for your answer" in page
    assert "Waiting for you (1)" in page
    assert "Priya Test" in page
    assert "read messages in 1 mailbox (finance@contoso.example)" in page
    assert "2 hours" in page
    assert "The invoices of November are missing" in page
    assert row.decide_by.isoformat() in page
    assert page_of(row) in page


def test_another_tenants_request_is_nowhere(cast: Cast) -> None:
    row = cast.confirmed("fabrikam")
    opened = cast.opened("fabrikam")
    page = home(cast, "ada")
    assert row.reference not in page
    assert str(opened.access_request_id) not in page
    assert "fabrikam" not in page.lower()


def test_the_oldest_deadline_comes_first(cast: Cast, travel) -> None:
    travel.freeze()
    first = cast.confirmed()
    travel.by(minutes=5)
    second = cast.confirmed()
    page = home(cast, "ada")
    assert page.index(first.reference) < page.index(second.reference)


def test_an_open_window_shows_accesses_and_closes_with_one_press(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>", "<2@x.example>", "<3@x.example>", "<4@x.example>")
    page = home(cast, "ada")
    assert "Windows open now (1)" in page
    assert "&lt;4@x.example&gt;" in page
    assert "&lt;1@x.example&gt;" not in page, "only the last few"
    assert page_of(grant.access_request, "access_request_act", "revoke") in page
    assert page_of(grant.access_request, "live") in page


def test_one_press_closes_the_window_and_the_person_stays_on_the_first_page(cast: Cast) -> None:
    row, other = cast.opened().access_request, cast.opened(by="erik").access_request
    client = signed_in(cast, "ada", fresh=False)
    shown = client.get("/").content.decode()
    form = shown[shown.index(f'action="{page_of(row, "access_request_act", "revoke")}"') :].partition("</form>")[0]
    assert '<input type="hidden" name="next" value="/">' in form
    done = client.post(page_of(row, "access_request_act", "revoke"), {"next": "/"}, follow=True)
    assert done.redirect_chain == [("/", 302)]
    page = " ".join(done.content.decode().split())
    assert "The window is closed." in page
    assert "can no longer" in page
    assert f'href="{page_of(row)}"' in page
    assert "Windows open now (1)" in page
    assert [AccessRequest.objects.get(pk=each.pk).state for each in (row, other)] == ["CLOSED", "OPEN"]


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_the_button_leads_to_no_other_site(cast: Cast, target: str) -> None:
    row = cast.opened().access_request
    done = signed_in(cast, "ada").post(page_of(row, "access_request_act", "revoke"), {"next": target})
    assert (done.status_code, done.url) == (302, page_of(row))


def test_a_member_sees_that_a_window_is_open_and_not_what_is_read(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    page = home(cast, "mia")
    assert "Windows open now (1)" in page
    assert "1@x.example" not in page
    assert page_of(grant.access_request, "live") not in page
    assert page_of(grant.access_request, "access_request_act", "revoke") not in page


def test_an_auditor_sees_what_is_read_and_can_close_nothing(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    page = home(cast, "otto")
    assert "&lt;1@x.example&gt;" in page
    assert page_of(grant.access_request, "access_request_act", "revoke") not in page


def test_a_window_whose_time_ran_out_is_not_open_though_no_sweep_has_run(cast: Cast, travel) -> None:
    travel.freeze()
    grant = cast.opened(window_for=1800)
    travel.to(grant.closes_at)
    page = home(cast, "otto")
    assert "open now" not in page.lower()
    assert "Nothing was opened or listed" in page


def test_the_recent_list_shows_results(cast: Cast) -> None:
    cast.in_state("DENIED")
    cast.in_state("EXPIRED")
    cast.in_state("WITHDRAWN")
    cast.in_state("CLOSED")
    grant = cast.opened()
    look(cast, grant, "<1@x.example>", "<1@x.example>", "<2@x.example>")
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    page = home(cast, "ada")
    assert "Denied by Pat Test" in page
    assert "Nobody answered; nothing was opened" in page
    assert "Withdrawn; nothing was opened" in page
    assert "Nothing was opened or listed" in page
    assert "2 messages read in 1 mailbox" in page


def test_with_nothing_waiting_it_says_who_could_answer(cast: Cast) -> None:
    page = home(cast, "ada")
    assert "Nothing is waiting for you" in page
    assert "There has never been an access request." in page
    assert "Ada Test or Alan Test" in page
    assert "can answer for" in page
    assert "The time to answer is 12 hours." in page


def test_the_home_page_shows_access_requests_that_the_provider_has_not_confirmed(cast: Cast) -> None:
    cast.submitted()
    page = home(cast, "ada")
    assert "There has never been an access request" not in page
    assert "Waiting for others" in page
    assert "An approver of Microsoft answers next" in page


def test_a_tenant_without_an_approver_is_warned(cast: Cast) -> None:
    cast.contoso.memberships.filter(role="approver").delete()
    assert "Nobody at Contoso can answer" in home(cast, "ines")


def test_somebody_switched_off_is_not_named_as_one_who_can_answer(cast: Cast) -> None:
    cast.alan.is_active = False
    cast.alan.save()
    assert "Alan Test" not in home(cast, "ada")


def test_a_tenant_without_lockbox_reads_who_decides(cast: Cast) -> None:
    page = home(cast, "nils")
    assert "Lockbox is off for" in page
    assert "can answer for" not in page


def test_a_member_finds_their_own_tickets_and_the_link_to_a_new_one(cast: Cast) -> None:
    assert reverse("web:ticket_new") in home(cast, "mia")
    ticket = cast.ticket()
    assert ticket.reference in home(cast, "mia")
    assert ticket.reference not in home(cast, "ada"), "Ada neither opened it nor was it recorded for her"


def test_an_auditor_is_not_offered_tickets(cast: Cast) -> None:
    assert "Your tickets" not in home(cast, "otto")


# --- The provider --------------------------------------------------------------------------------------------


def test_the_engineer_reads_who_must_act_next(cast: Cast) -> None:
    first, second = cast.submitted(), cast.confirmed()
    page = home(cast, "priya")
    assert "An approver of Microsoft answers next" in page
    assert "Contoso answers next" in page
    assert first.decide_by.isoformat() in page
    assert second.decide_by.isoformat() in page


def test_the_engineer_opens_and_gives_back_their_own_window(cast: Cast) -> None:
    grant = cast.opened()
    page = home(cast, "priya")
    assert "Your open access windows (1)" in page
    assert reverse("web:window", args=[grant.pk]) in page
    assert page_of(grant.access_request, "access_request_act", "release") in page
    assert "Your open access windows" not in home(cast, "erik")


def test_the_engineer_asks_again_with_one_press(cast: Cast) -> None:
    row = cast.in_state("EXPIRED")
    assert f"{reverse('web:ask', args=[row.ticket_id])}?from={row.pk}" in home(cast, "priya")


def test_nothing_is_asked_again_on_a_ticket_that_has_ended(cast: Cast) -> None:
    row = cast.in_state("EXPIRED")
    operations.close_ticket(row.ticket_id, actor=cast.as_("priya"))
    assert f"?from={row.pk}" not in home(cast, "priya")


def test_the_engineer_finds_their_own_tickets_and_new_ones(cast: Cast) -> None:
    mine, new = cast.ticket(title="Taken by me"), cast.ticket(title="Taken by nobody")
    operations.assign_ticket(mine.pk, actor=cast.as_("priya"))
    page = home(cast, "priya")
    assert page.index("Your tickets") < page.index(mine.reference) < page.index("New in your queues")
    assert page.index("New in your queues") < page.index(new.reference)
    assert new.reference not in home(cast, "samir"), "not his queue"


def test_the_providers_approver_reads_the_queue_with_what_is_to_be_judged(cast: Cast) -> None:
    cast.opened()
    ticket = cast.ticket()
    row = cast.submitted(ticket=ticket)
    page = home(cast, "pat")
    assert "Waiting for you (1)" in page
    assert page_of(row) in page
    assert ticket.reference in page
    assert "Contoso" in page
    assert "just now" in page
    assert "First time" not in page, "Priya had a window at Contoso"
    cast.submitted("fabrikam")
    assert "First time" in home(cast, "pat")


def test_the_providers_approver_sees_only_their_own_queues(cast: Cast) -> None:
    ticket = cast.ticket(service_id=cast.sharepoint.pk)
    row = cast.submitted(ticket=ticket, by="samir")
    assert row.reference not in home(cast, "paula")
    assert page_of(row) in home(cast, "pat")


def test_the_providers_approver_closes_open_windows(cast: Cast) -> None:
    grant = cast.opened()
    assert page_of(grant.access_request, "access_request_act", "revoke") in home(cast, "paula")
    assert page_of(grant.access_request, "access_request_act", "revoke") not in home(cast, "erik")


@pytest.mark.parametrize(("soonest", "statements"), [(100, 1), (2, 1), (1, 2)])
def test_a_small_queue_is_read_if_others_close_sooner(
    cast: Cast, soonest: int, statements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paula has one of two queues. Pat has both, so the windows that close next are always enough for Pat."""
    monkeypatch.setattr(queries, "_SOONEST", soonest)
    monkeypatch.setattr(queries, "_next_windows", queries._next_windows.__wrapped__)
    ticket = cast.ticket(service_id=cast.sharepoint.pk)
    other = cast.opened(ticket=ticket, by="samir", window_for=1800)
    grant = cast.opened(window_for=3600)
    asked: list[int] = []
    together = walks.together

    def noted(queries: Any) -> Any:
        asked.append(len(queries))
        return together(queries)

    monkeypatch.setattr(walks, "together", noted)
    page = home(cast, "paula")
    assert page_of(grant.access_request, "access_request_act", "revoke") in page
    assert page_of(other.access_request, "access_request_act", "revoke") not in page
    assert len(asked) == statements
    both = home(cast, "pat")
    assert both.index(other.access_request.reference) < both.index(grant.access_request.reference)


def test_staff_close_open_windows_and_find_the_administration(cast: Cast) -> None:
    grant = cast.opened()
    page = home(cast, "stella")
    assert page_of(grant.access_request, "access_request_act", "revoke") in page
    assert reverse("admin:index") in page


def test_somebody_with_two_hats_finds_both_parts(cast: Cast) -> None:
    own_request, other = cast.submitted(by="bea"), cast.submitted(by="erik")
    page = home(cast, "bea")
    queue = page[page.index("Waiting for you (1)") : page.index("Your access requests")]
    assert page_of(other) in queue
    assert page_of(own_request) not in queue
    assert page_of(own_request) in page


def test_a_person_without_a_role_gets_an_explanation(cast: Cast) -> None:
    cast.priya.queue_assignments.all().delete()
    assert "You have no role yet" in home(cast, "priya")


# --- Hostile text, and many rows -------------------------------------------------------------------------------


def test_strangers_text_is_escaped_and_visible(cast: Cast) -> None:
    cast.confirmed(justification="<script>alert(1)</script> \u202etxt.exe and more words")
    page = home(cast, "ada")
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "U+202E" in page


def grown(cast: Cast) -> None:
    """Add a row to each list of the page, for each person. The numbers of queries are compared exactly."""
    for by in ("priya", "erik", "bea"):
        cast.submitted(by=by)
        cast.confirmed(by=by)
        grant = cast.opened(by=by)
        look(cast, grant, "<1@x.example>", "<2@x.example>", by=by)
    for _ in range(2):
        cast.in_state("CLOSED")
        cast.in_state("DENIED")


@pytest.mark.slow
def test_the_home_page_costs_the_same_with_many_rows(cast: Cast, monkeypatch, travel) -> None:
    monkeypatch.setattr(limits, "PENDING_MAX", 1000)
    monkeypatch.setattr(limits, "HOURLY_MAX", 1000)
    # The clock does not move. Otherwise a page would save the time of the last activity every half minute, with queries
    # of its own.
    travel.freeze()
    clients = {name: signed_in(cast, name) for name in ("ada", "otto", "mia", "pat", "priya", "bea", "stella")}
    for _ in range(2):
        for by in ("priya", "erik", "bea"):
            cast.submitted(by=by)
            cast.confirmed(by=by)
            grant = cast.opened(by=by)
            look(cast, grant, "<1@x.example>", by=by)
        cast.in_state("CLOSED")
        cast.in_state("DENIED")
    operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))

    def costs() -> dict[str, int]:
        return {name: queries_of(client, "/") for name, client in clients.items()}

    same_queries(costs, lambda: grown(cast))


def test_more_windows_than_fit_are_a_press_away(cast: Cast) -> None:
    for _ in range(6):
        cast.opened()
    page = home(cast, "ada")
    assert "More than 5 access windows are open now" in page
    assert "Windows open now (5+)" in page
    assert page.count('class="live"') == 5
    assert f"{reverse('web:access_requests')}?state=open" in page


@pytest.mark.sqlite
def test_no_query_of_the_page_reads_a_whole_table(cast: Cast) -> None:
    """SQLite reports how it executes each query. To scan a whole table with a million rows would take a second.

    PostgreSQL always scans tables as small as these, so this test runs only on SQLite.
    """
    for by in ("priya", "erik"):
        cast.submitted(by=by)
        look(cast, cast.opened(by=by), "<1@x.example>", by=by)
    for name in ("ada", "pat", "priya", "stella", "otto"):
        client = signed_in(cast, name)
        with CaptureQueriesContext(connection) as captured:
            client.get("/")
            client.get(reverse("web:access_requests"))
            client.get(reverse("web:access_requests") + "?state=closed")
        _no_scan_in(captured.captured_queries, name)


def _no_scan_in(queries: list[dict[str, str]], name: str) -> None:
    # It begins with the newest decision, and stops at the first that fits.
    newest = "SCAN requests_app_decision USING INDEX decision_newest"
    big = ("requests_app_accessrequest", "requests_app_grant", "requests_app_decision", "requests_app_contentaccess")
    for query in queries:
        if not query["sql"].startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            # Pass no parameters. The captured text already contains their values, and may contain a percent sign.
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = [line[3] for line in cursor.fetchall()]
        if plan == [newest] and query["sql"].endswith("LIMIT 1"):
            continue
        assert not [step for step in plan if step.startswith("SCAN") and step.split()[1] in big], (name, query["sql"])


# --- Acts on the home page ---------------------------------------------------------------------------------------


def test_out_of_office_is_one_press_from_an_approvers_home(cast: Cast) -> None:
    link = f'href="{reverse("web:out_of_office", args=[cast.contoso.pk])}"'
    assert link in home(cast, "ada")
    for name in ("mia", "otto", "pat"):
        assert link not in home(cast, name)


def test_an_administrator_sees_on_the_first_page_where_lockbox_is_switched_on(cast: Cast) -> None:
    link = f'href="{reverse("web:lockbox", args=[cast.contoso.pk, "on"])}"'
    assert link not in home(cast, "ines")
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert link in home(cast, "ines")
    assert link not in home(cast, "ada")
    # With a plan without Lockbox, the page offers nothing.
    assert 'lockbox/on/"' not in home(cast, "noah")
