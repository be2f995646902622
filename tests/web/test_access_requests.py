"""The list of access requests, the page of an access request, and the live list of its accesses to content."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import NotAllowed
from requests_app.models import AccessRequest, ContentAccess, Grant, Resource
from requests_app.queries import inbox
from tests.cast import Cast
from tests.offenders import collected
from tests.web.pages import look, nothing_happens, page_of, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

STATES = ["PENDING_PROVIDER", "PENDING_CUSTOMER", "OPEN", "DENIED", "WITHDRAWN", "EXPIRED", "CLOSED"]
LIST = "/access-requests/"
HTMX = {"HX-Request": "true"}


def shown(cast: Cast, name: str, row: AccessRequest) -> str:
    response = signed_in(cast, name).get(page_of(row))
    assert response.status_code == 200
    return response.content.decode()


def confirmation(cast: Cast, name: str, row: AccessRequest, verdict: str = "approve") -> str:
    response = signed_in(cast, name).get(page_of(row, "decide", verdict))
    assert response.status_code == 200
    page: str = response.content.decode()
    return page[page.index("<h1>") :]


def references(cast: Cast, name: str, query: str = "") -> list[str]:
    response = signed_in(cast, name).get(LIST + query)
    assert response.status_code == 200
    return [line.row.reference for line in response.context["lines"]]


# --- Who can see ---------------------------------------------------------------------------------------------


def test_an_outsider_finds_nothing(cast: Cast) -> None:
    row = cast.opened().access_request
    with collected() as case:
        for outsider in ["frida", "fred", "samir"]:
            client = signed_in(cast, outsider)
            for name in ["access_request", "live", "receipt"]:
                with case(outsider, name):
                    with nothing_happens():
                        found = client.get(page_of(row, name))
                        absent = client.get(reverse(f"web:{name}", args=[uuid.uuid4()]))
                    assert found.status_code == absent.status_code == 404
                    assert row.reference not in found.content.decode()


@pytest.mark.parametrize("name", ["access_request", "live", "receipt"])
def test_a_stranger_signs_in_first(cast: Cast, client, name: str) -> None:
    response = client.get(page_of(cast.opened().access_request, name))
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


def test_looking_changes_nothing(cast: Cast) -> None:
    row = cast.opened().access_request
    client = signed_in(cast, "ada")
    with collected() as case:
        for method in ["get", "head", "options"]:
            for name in ["access_request", "live", "receipt"]:
                with case(method, name), nothing_happens():
                    getattr(client, method)(page_of(row, name))


@pytest.mark.parametrize("name", ["access_request", "live", "receipt"])
def test_only_reading_is_answered(cast: Cast, name: str) -> None:
    row = cast.opened().access_request
    with nothing_happens():
        assert signed_in(cast, "ada").post(page_of(row, name)).status_code == 405


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_read_by_everybody_concerned(cast: Cast, state: str) -> None:
    row = cast.in_state(state)
    with collected() as case:
        for name in ("ada", "mia", "otto", "ines", "priya", "erik", "pat", "stella"):
            with case(name):
                assert "read messages in 1 mailbox (finance@contoso.example)" in shown(cast, name, row)


# --- What the page says --------------------------------------------------------------------------------------


def test_the_review_goes_in_the_order_in_which_one_decides(cast: Cast) -> None:
    row = cast.confirmed()
    page = shown(cast, "ada", row)
    order = [
        "asks to",
        "nothing else shows why.",
        "If nobody at",
        "What was tried first",
        "What the engineer asks for",
        "The engineer can list messages",
        "The engineer cannot change, send or delete anything",
        "Nobody can undo what the engineer has seen.",
        "Confirmed at Microsoft",
        "No other way.",
        "For the record",
        "What happened, according to the log",
        "Digest of the access request",
        row.ticket.reference,
        "in the 12 months before this access request",
        row.decide_by.isoformat(),
        "Approve 2 hours of read access to 1 mailbox",
    ]
    # Search after the heading, because the frame of the page can contain the same words.
    places = [page.index(words, page.index("<h1>")) for words in order]
    assert places == sorted(places)
    shown_once = [*order[1:5], "asked for a screenshot.", row.ticket.title]
    assert [page.count(words) for words in shown_once] == [1] * len(shown_once)


def test_the_page_says_what_no_answer_means_at_each_stage(cast: Cast) -> None:
    words = " ".join(shown(cast, "pat", cast.submitted()).split())
    assert "If nobody at Microsoft answers in time, nothing is opened, and" in words
    words = " ".join(shown(cast, "ada", cast.confirmed()).split())
    assert "answers in time, nothing is opened." in words


@pytest.mark.parametrize(
    ("stage", "approvers", "others"),
    [
        ("PENDING_CUSTOMER", {"ada", "alan"}, {"mia", "otto", "ines", "pat", "priya", "stella"}),
        ("PENDING_PROVIDER", {"pat", "paula"}, {"ada", "erik"}),
    ],
)
def test_the_answer_is_offered_to_those_who_may_give_it(
    cast: Cast, stage: str, approvers: set[str], others: set[str]
) -> None:
    row = cast.in_state(stage)
    pages = {name: shown(cast, name, row) for name in approvers | others}
    assert {name for name, page in pages.items() if page_of(row, "decide", "approve") in page} == approvers
    assert {name for name, page in pages.items() if page_of(row, "decide", "deny") in page} == approvers


def test_the_providers_approver_gets_a_list_of_questions(cast: Cast) -> None:
    ticket = operations.assign_ticket(cast.ticket().pk, actor=cast.as_("erik"))
    page = shown(cast, "pat", cast.submitted(ticket=ticket))
    assert "Ask yourself" in page
    assert "The ticket is not assigned to" in page
    assert "is asked next, and reads your comment" in page
    assert "Ask yourself" not in shown(cast, "erik", cast.submitted())


def test_without_lockbox_the_approver_reads_that_the_approval_opens_the_window(cast: Cast) -> None:
    assert "Your approval opens the window immediately" in shown(cast, "pat", cast.submitted("northwind"))


def test_an_overdue_access_request_is_expired_though_no_sweep_has_run(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.to(row.decide_by)
    page = shown(cast, "ada", row)
    assert "Expired" in page
    assert "Nobody answered; nothing was opened" in page
    assert "Contoso did not answer" in page
    assert "Your answer" not in page
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"


def test_a_window_that_ran_out_is_closed_though_no_sweep_has_run(cast: Cast, travel) -> None:
    travel.freeze()
    grant = cast.opened(window_for=1800)
    travel.to(grant.closes_at)
    page = shown(cast, "ada", grant.access_request)
    assert "Closed as planned" in page
    assert page_of(grant.access_request, "access_request_act", "revoke") not in page


def test_a_law_enforcement_demand_is_shown_in_place_of_a_ticket(cast: Cast) -> None:
    demand = operations.Demand(
        authority="Landgericht Hamburg", instrument="Seizure order", reference="3 Qs 114/26", date=dt.date(2026, 1, 20)
    )
    ask = operations.Ask(
        resource_ids=[cast.resource().pk],
        level="read",
        window_for=3600,
        tried="Asked the authority to address the customer.",
        justification="The court demands what its order names, and nothing else will do.",
        demand=demand,
        tenant_id=cast.contoso.pk,
        service_id=cast.exchange.pk,
    )
    row = operations.submit(ask, actor=cast.as_("priya"))
    assert "badge-demand" in confirmation(cast, "pat", row)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    page = shown(cast, "ada", row)
    for words in (
        "A law-enforcement demand",
        "Landgericht Hamburg",
        "Seizure order",
        "3 Qs 114/26",
        "decision is yours",
    ):
        assert words in page
    assert "The ticket" not in page
    assert "decision is yours" not in shown(cast, "pat", row)
    # A glance is enough: the mark and the authority are above the reason, and on the page with the button, too.
    above = page[page.index("<h1>") : page.index("The court demands")]
    confirm = confirmation(cast, "ada", row)
    for place in (above, confirm[: confirm.index("<form")]):
        assert "badge-demand" in place
        assert "Law-enforcement demand" in place
        assert "Landgericht Hamburg" in place


def test_an_ordinary_access_request_has_no_mark(cast: Cast) -> None:
    row = cast.confirmed()
    for page in (shown(cast, "ada", row), confirmation(cast, "ada", row)):
        assert "badge-demand" not in page
        assert "continues" not in page


def test_a_request_for_more_time_names_the_one_before(cast: Cast) -> None:
    """Two short windows can be one long one, so people who decide on the second must know of the first."""
    first = cast.opened().access_request
    operations.release(first.pk, actor=cast.as_("priya"))
    row = cast.submitted(previous_id=first.pk)
    link = f'<a href="{page_of(first)}">continues {first.reference}</a>'
    for name in ("pat", "ada"):
        page, confirm = shown(cast, name, row), confirmation(cast, name, row)
        assert link in page[: page.index("<blockquote")]
        assert link in confirm[: confirm.index("<form")]
        if name == "pat":
            operations.approve_as_provider(row.pk, actor=cast.as_("pat"))


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_the_page_with_the_button_says_what_the_answer_is_about(cast: Cast, verdict: str) -> None:
    row = cast.confirmed()
    page = confirmation(cast, "ada", row, verdict)
    above = page[: page.index("<form")]
    for words in (
        "nothing else shows why.",
        row.ticket.reference,
        row.ticket.title,
        "Confirmed at Microsoft",
        "Pat Test",
    ):
        assert words in above
    assert "Confirmed at" not in confirmation(cast, "pat", cast.submitted())


def test_where_the_sentence_leaves_names_out_the_page_with_the_button_lists_all_places(cast: Cast) -> None:
    resources = [
        Resource.objects.create(
            tenant=cast.contoso,
            service=cast.exchange,
            kind="mailbox",
            name=f"{name}@contoso.example",
            locator=f"contoso/mail/{name}",
        )
        for name in ("one", "two", "three", "four")
    ]
    pages = {
        n: confirmation(cast, "ada", cast.confirmed(resource_ids=[each.pk for each in resources[:n]])) for n in (3, 4)
    }
    assert ["scope-place" in page[: page.index("<form")] for page in pages.values()] == [False, True]
    for place in resources:
        assert pages[4].count(place.locator) == 1


def test_a_long_reason_is_shown_in_part_above_and_whole_below(cast: Cast) -> None:
    row = cast.confirmed(justification="We need this.\n" * 40 + "The last line.")
    page = shown(cast, "ada", row)
    above, below = page[: page.index("<h2")], page[page.index("Why there is no other way") :]
    for place in (above[above.index("<h1>") :], confirmation(cast, "ada", row)):
        assert "We need this. We need this." in place
        assert "The last line." not in place
    assert "We need this.<br>We need this." in below
    assert "The last line." in below


def test_nobody_is_offered_an_approval_that_would_be_refused(cast: Cast) -> None:
    row = cast.submitted()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    page = shown(cast, "pat", row)
    assert page.index("You can’t approve this access request now") < page.index("What was tried first")
    assert page_of(row, "decide", "approve") not in page
    assert page_of(row, "decide", "deny") in page


def test_earlier_access_is_shown(cast: Cast) -> None:
    earlier = cast.opened()
    look(cast, earlier, "<1@x.example>")
    operations.release(earlier.access_request_id, actor=cast.as_("priya"))
    cast.opened(by="erik")
    page = " ".join(shown(cast, "ada", cast.confirmed()).split())
    assert "Priya Test</bdi>: 1<" in page
    assert 'All engineers of <bdi class="visible-line">Exchange Online</bdi>: 2<' in page
    assert "1 message read in 1 mailbox" in page
    assert page_of(earlier.access_request) in page


def test_earlier_access_elsewhere_stays_there(cast: Cast) -> None:
    other = cast.opened("fabrikam")
    page = " ".join(shown(cast, "ada", cast.confirmed()).split())
    assert "Priya Test</bdi>: none<" in page
    assert other.access_request.reference not in page


# --- The history of an access request ------------------------------------------------------------------------


def test_the_timeline_tells_who_did_what_and_folds_content_by_resource(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>", "<2@x.example>", "<2@x.example>")
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"), note="Thank you, enough.")
    page = " ".join(shown(cast, "otto", grant.access_request).split())
    story = page[page.index("What happened, according to the log") :]
    order = [
        "asked for this access",
        "approved on the provider’s behalf",
        "No other way.",
        "approved on the customer’s behalf",
        "2 messages read in 1 mailbox",
        "closed the window early",
        "Thank you, enough.",
    ]
    places = [story.index(words) for words in order]
    assert places == sorted(places)
    assert "&lt;1@x.example&gt;" in story
    assert story.count("looked at") == 1


def test_a_member_reads_how_much_was_opened_and_not_what(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    page = shown(cast, "mia", grant.access_request)
    assert "1 message read in 1 mailbox" in page
    assert "1@x.example" not in page


def test_a_refused_attempt_is_in_the_timeline(cast: Cast) -> None:
    row = cast.confirmed()
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=cast.as_("mia"))
    page = shown(cast, "ada", row)
    assert "tried “Approve” and was refused: “Your role does not allow this.”" in page


def test_an_end_that_follows_from_a_closed_ticket_says_so(cast: Cast) -> None:
    row = cast.confirmed()
    operations.close_ticket(row.ticket_id, actor=cast.as_("mia"))
    page = shown(cast, "ada", row)
    assert "because of what Mia Test did" in page


# --- Hostile text --------------------------------------------------------------------------------------------


def test_strangers_text_is_escaped_and_visible(cast: Cast) -> None:
    evil = "<img src=x onerror=alert(1)> \u202egnp.exe \u200b and more words than twenty"
    row = cast.submitted(justification=evil, tried=evil)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note=evil)
    cast.priya.name = "Рriya Nаtarajan"
    cast.priya.save()
    for path in (page_of(row), page_of(row, "decide", "approve"), "/", LIST):
        page = signed_in(cast, "ada").get(path).content.decode()
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "\u200b" not in page
    page = shown(cast, "ada", row)
    assert page.count("U+202E") >= 3
    assert "letters of different alphabets in this name" in page


# --- The list ------------------------------------------------------------------------------------------------


def test_the_list_shows_only_the_persons_own_tenant_and_queues(cast: Cast) -> None:
    own_request, foreign = cast.submitted(), cast.submitted("fabrikam")
    other_queue = cast.submitted(ticket=cast.ticket(service_id=cast.sharepoint.pk), by="samir")
    assert set(references(cast, "ada")) == {own_request.reference, other_queue.reference}
    assert set(references(cast, "frida")) == {foreign.reference}
    assert set(references(cast, "erik")) == {own_request.reference, foreign.reference}
    assert set(references(cast, "samir")) == {other_queue.reference}
    assert set(references(cast, "stella")) == {own_request.reference, foreign.reference, other_queue.reference}


def test_each_state_is_found_under_its_filter(cast: Cast) -> None:
    rows = {state: cast.in_state(state).reference for state in STATES}
    expected = {
        "waiting": {rows["PENDING_PROVIDER"], rows["PENDING_CUSTOMER"]},
        "open": {rows["OPEN"]},
        "closed": {rows["CLOSED"]},
        "denied": {rows["DENIED"]},
        "withdrawn": {rows["WITHDRAWN"]},
        "expired": {rows["EXPIRED"]},
    }
    assert set(expected) == set(inbox.GROUPS)
    for name in ("ada", "pat"):
        for group, found in expected.items():
            assert set(references(cast, name, f"?state={group}")) == found


def test_the_filters_go_by_the_clock_and_not_by_the_sweep(cast: Cast, travel) -> None:
    travel.freeze()
    pending, grant = cast.confirmed(), cast.opened(window_for=1800)
    travel.by(hours=13)
    for name in ("ada", "pat"):
        assert references(cast, name, "?state=waiting") == []
        assert references(cast, name, "?state=open") == []
        assert references(cast, name, "?state=expired") == [pending.reference]
        assert references(cast, name, "?state=closed") == [grant.access_request.reference]


def test_the_list_filters_by_service_and_the_beginning_of_a_tenants_name(cast: Cast) -> None:
    mail, files = cast.submitted(), cast.submitted(ticket=cast.ticket(service_id=cast.sharepoint.pk), by="samir")
    foreign = cast.submitted("fabrikam")
    assert references(cast, "pat", "?service=exchange-online&tenant=con") == [mail.reference]
    assert references(cast, "ada", "?service=sharepoint-online") == [files.reference]
    assert references(cast, "pat", "?tenant=Fabrikam") == [foreign.reference]
    assert references(cast, "pat", "?tenant=Nobody") == []


def test_a_customers_tenant_filter_reaches_nobody_else(cast: Cast) -> None:
    own_request = cast.submitted()
    cast.submitted("fabrikam")
    assert references(cast, "ada", "?tenant=fabrikam") == [own_request.reference]


@pytest.mark.parametrize("form", ["{0}", "{1}", "{2}", " {2} "])
def test_a_reference_is_found_however_it_is_typed(cast: Cast, form: str) -> None:
    row = cast.submitted()
    cast.submitted()
    bare = row.reference.removeprefix("AR-")
    typed = form.format(row.reference, row.reference.lower(), bare.replace("-", "").lower())
    assert references(cast, "ada", f"?q={typed}") == [row.reference]
    assert references(cast, "frida", f"?q={typed}") == []


def test_a_tickets_reference_finds_what_was_asked_under_it(cast: Cast) -> None:
    ticket = cast.ticket()
    first, second = cast.submitted(ticket=ticket), cast.submitted(ticket=ticket)
    cast.submitted()
    assert references(cast, "ada", f"?q={ticket.reference}") == [second.reference, first.reference]
    assert references(cast, "frida", f"?q={ticket.reference}") == []


def test_an_address_that_the_page_shows_is_found(cast: Cast) -> None:
    finance = cast.submitted(resource=cast.resource())
    sales = cast.submitted(resource=cast.resource(name="sales"))
    cast.submitted("fabrikam")
    assert references(cast, "ada", "?q=FINANCE@contoso.example") == [finance.reference]
    assert references(cast, "ada", "?q=sales") == [sales.reference]
    assert references(cast, "pat", "?q=priya@provider.example&tenant=Contoso") == [sales.reference, finance.reference]
    # Nothing of another tenant can be found.
    assert references(cast, "frida", "?q=finance@contoso.example") == []
    assert len(references(cast, "pat", "?q=finance@")) == 2


def test_a_malformed_reference_is_explained(cast: Cast) -> None:
    response = signed_in(cast, "ada").get(LIST, {"q": "invoices"})
    assert response.status_code == 200
    assert "The reference of an access request looks like" in response.content.decode()


def test_a_hostile_parameter_is_refused_and_not_ignored(cast: Cast) -> None:
    cases = [
        "?state=nonsense",
        "?service=nonsense",
        "?before=nonsense",
        "?before=2026-01-01T00:00:00~x",
        "?before=2026-01-01T00:00:00~00000000-0000-0000-0000-000000000000",
        "?before=0001-01-01T00:00:00%2B23:59~00000000-0000-0000-0000-000000000000",
        "?after=9999-12-31T23:59:59-23:59~00000000-0000-0000-0000-000000000000",
        "?after=",
        "?_connector=OR",
        "?tenant__name=x",
    ]
    ada = signed_in(cast, "ada")
    with collected() as case:
        for query in cases:
            with case(query):
                assert ada.get(LIST + query).status_code == 400


def test_somebody_without_a_role_sees_an_honest_empty_list(cast: Cast) -> None:
    cast.submitted()
    cast.ada.memberships.all().delete()
    response = signed_in(cast, "ada").get(LIST)
    assert response.status_code == 200
    assert "There is no access request yet" in response.content.decode()


@pytest.mark.parametrize(("name", "query"), [("ada", ""), ("ada", "?state=waiting"), ("pat", ""), ("stella", "")])
def test_paging_shows_every_row_once_there_and_back(cast: Cast, monkeypatch, name: str, query: str) -> None:
    monkeypatch.setattr(limits, "PENDING_MAX", 100)
    rows = [cast.submitted(by=by) for _ in range(4) for by in ("priya", "erik")]
    # Several rows have the same time, and the cursor must distinguish them.
    AccessRequest.objects.filter(pk__in=[row.pk for row in rows[2:6]]).update(
        submitted_at=rows[0].submitted_at, decide_by=rows[0].decide_by
    )
    monkeypatch.setattr(inbox.page, "__kwdefaults__", {"cursor": None, "limit": 3})
    client, seen, url = signed_in(cast, name), [], LIST + query
    pages = []
    while url:
        context = client.get(url).context
        pages.append([line.row.reference for line in context["lines"]])
        seen += pages[-1]
        url, back = LIST + context["older_url"] if context["older_url"] else "", context["newer_url"]
    assert sorted(seen) == sorted(row.reference for row in rows)
    assert len(seen) == len(set(seen))
    for expected in reversed(pages[:-1]):
        context = client.get(LIST + back).context
        assert [line.row.reference for line in context["lines"]] == expected
        back = context["newer_url"]
    assert back == ""


def test_the_list_costs_the_same_with_many_rows(cast: Cast, monkeypatch, travel) -> None:
    monkeypatch.setattr(limits, "PENDING_MAX", 100)
    monkeypatch.setattr(limits, "HOURLY_MAX", 100)
    # Otherwise a page would save the time of the last activity every half minute, with queries of its own.
    travel.freeze()

    def some(count: int) -> None:
        for _ in range(count):
            cast.submitted()
            cast.in_state("CLOSED")

    some(1)
    clients = {name: signed_in(cast, name) for name in ("ada", "pat", "stella")}
    same_queries(lambda: {name: queries_of(client, LIST) for name, client in clients.items()}, lambda: some(3))


def test_one_page_costs_the_same_for_any_number_of_accesses(cast: Cast, travel) -> None:
    travel.freeze()
    grant = cast.opened(resource_ids=[cast.resource().pk, cast.resource(name="sales").pk])
    scope = [line.resource for line in grant.access_request.scope.all()]
    clients = {name: signed_in(cast, name) for name in ("ada", "pat", "priya")}

    def accessed(count: int) -> None:
        for resource in scope:
            for n in range(count):
                operations.content._record(
                    grant.pk,
                    resource.pk,
                    ContentAccess.Kind.OPENED,
                    actor=cast.as_("priya"),
                    detail={},
                    item_id=f"{n}",
                    item_ref=f"<{n}@x.example>",
                )

    accessed(1)
    page = page_of(grant.access_request)
    same_queries(lambda: {name: queries_of(client, page) for name, client in clients.items()}, lambda: accessed(19))


# --- Live ----------------------------------------------------------------------------------------------------


def test_the_live_page_works_without_a_script(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    response = signed_in(cast, "ada").get(page_of(grant.access_request, "live"))
    page = response.content.decode()
    assert response.status_code == 200
    assert "<html" in page
    assert "&lt;1@x.example&gt;" in page
    assert "Refresh" in page
    assert page_of(grant.access_request, "access_request_act", "revoke") in page


def test_the_list_is_sent_again_only_when_there_is_something_new(cast: Cast) -> None:
    grant = cast.opened()
    client, url = signed_in(cast, "ada"), page_of(grant.access_request, "live")
    assert client.get(url, {"seen": "nothing"}, headers=HTMX).status_code == 204
    look(cast, grant, "<1@x.example>")
    fresh = client.get(url, {"seen": "nothing"}, headers=HTMX)
    assert fresh.status_code == 200
    assert "<html" not in fresh.content.decode()
    assert "&lt;1@x.example&gt;" in fresh.content.decode()
    newest = str(grant.content_accesses.get().pk)
    assert f'value="{newest}"' in fresh.content.decode()
    assert client.get(url, {"seen": newest}, headers=HTMX).status_code == 204


def test_polling_ends_with_the_window(cast: Cast) -> None:
    grant = cast.opened()
    client, url = signed_in(cast, "ada"), page_of(grant.access_request, "live")
    operations.revoke(grant.access_request_id, actor=cast.as_("alan"))
    response = client.get(url, {"seen": "nothing"}, headers=HTMX)
    assert response.status_code == 286
    assert response["HX-Refresh"] == "true"


def test_polling_ends_at_the_windows_end_though_no_sweep_has_run(cast: Cast, travel) -> None:
    travel.freeze()
    grant = cast.opened(window_for=1800)
    travel.to(grant.closes_at)
    response = signed_in(cast, "ada").get(page_of(grant.access_request, "live"), headers=HTMX)
    assert response.status_code == 286
    assert Grant.objects.get(pk=grant.pk).closed_at is None


def test_the_list_is_bounded_and_newest_first(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, *[f"<{n}@x.example>" for n in range(60)])
    client, url = signed_in(cast, "ada"), page_of(grant.access_request, "live")
    page = client.get(url, headers=HTMX).content.decode()
    assert page.count('class="live-item"') == 50
    assert page.index("&lt;59@x") < page.index("&lt;58@x")
    assert client.get(url, {"lines": "3"}, headers=HTMX).content.decode().count('class="live-item"') == 3
    for hostile in ("0", "-1", "99999", "x", "²"):
        assert client.get(url, {"lines": hostile}, headers=HTMX).content.decode().count('class="live-item"') == 50


@pytest.mark.parametrize("name", ["mia", "erik"])
def test_a_person_who_may_not_read_the_log_does_not_watch(cast: Cast, name: str) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    response = signed_in(cast, name).get(page_of(grant.access_request, "live"), headers=HTMX)
    assert response.status_code == 403
    assert "1@x.example" not in response.content.decode()


def test_overseers_and_the_engineer_may_watch(cast: Cast) -> None:
    cases = ["ada", "alan", "otto", "ines", "pat", "paula", "stella", "priya"]
    grant = cast.opened()
    with collected() as case:
        for name in cases:
            with case(name):
                assert signed_in(cast, name).get(page_of(grant.access_request, "live")).status_code == 200


def test_before_there_is_a_window_the_live_page_says_so(cast: Cast) -> None:
    row = cast.confirmed()
    response = signed_in(cast, "ada").get(page_of(row, "live"))
    assert response.status_code == 200
    assert "No access window is open" in response.content.decode()
    assert signed_in(cast, "ada").get(page_of(row, "live"), headers=HTMX).status_code == 286


def test_a_poll_is_cheap(cast: Cast) -> None:
    grant = cast.opened()
    look(cast, grant, "<1@x.example>")
    client, url = signed_in(cast, "ada"), page_of(grant.access_request, "live")
    client.get(url, headers=HTMX)
    # Queries: the session, the person, the roles, the row, the accesses. On PostgreSQL, also the time, twice.
    assert queries_of(client, url, **HTMX) <= 7


def test_the_clock_is_the_domains(cast: Cast) -> None:
    row = cast.submitted()
    response = signed_in(cast, "pat").get(page_of(row))
    assert abs((response.context["now"] - clock.now()).total_seconds()) < 60


@pytest.mark.parametrize(
    ("window_for", "words"),
    [
        (3600, "Does the work need 1 hour?"),
        (7200, "Does the work need 2 hours?"),
        (1800, "Does the work need 30 minutes?"),
    ],
)
def test_the_checklist_says_how_long_was_asked_for(cast: Cast, window_for: int, words: str) -> None:
    row = cast.submitted(window_for=window_for)
    assert words in signed_in(cast, "pat").get(reverse("web:access_request", args=[row.pk])).content.decode()


def test_a_search_by_name_finds_the_newest_and_reads_few_rows_of_each_resource(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PAGE", 2)
    ticket = cast.ticket()
    both = [row.pk for row in Resource.objects.real().filter(tenant=cast.contoso, service=cast.exchange)]
    rows = [cast.submitted(ticket=ticket, resource_ids=both) for _ in range(3)]
    assert references(cast, "ada", "?q=@contoso") == [rows[2].reference, rows[1].reference]
    assert inbox._newest_about(both) == [rows[2].pk, rows[1].pk]
    assert inbox._newest_about([]) == []
