"""Tickets on pages: the list, a new ticket, the conversation, and the page that is shown before a ticket ends."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.errors import Unacceptable
from requests_app.models import AccessRequest, Grant, Tenant, Ticket, TicketComment
from requests_app.operations import _elsewhere
from requests_app.queries import inbox, ticket_list
from requests_app.queries import tickets as queries
from requests_app.queries.installation import MAIL_FILES
from tests.cast import Cast, events_in, outbox_topics
from tests.offenders import collected
from tests.web.pages import same_queries

pytestmark = pytest.mark.django_db

LIST = "/tickets/"
NEW = "/tickets/new/"


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(cast.people[name])
        return client

    return signed_in


@pytest.fixture
def taken(cast: Cast) -> Ticket:
    """Return a ticket of Mia. Priya works on it."""
    ticket = cast.ticket()
    return operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))


def _page(ticket: Ticket) -> str:
    return reverse("web:ticket", args=[ticket.pk])


def _act(ticket: Ticket, action: str) -> str:
    return reverse("web:ticket_act", args=[ticket.pk, action])


def _state(ticket: Ticket) -> str:
    return str(Ticket.objects.get(pk=ticket.pk).state)


def _closed_at(ticket: Ticket) -> dt.datetime:
    at = Ticket.objects.get(pk=ticket.pk).closed_at
    assert at is not None
    return at


def _text(response: Any) -> str:
    return str(response.content.decode())


# --- The list ------------------------------------------------------------------------------------------------


def test_the_list_costs_the_same_with_twenty_tickets_as_with_two(cast: Cast, as_: Callable[[str], Client]) -> None:
    client, counts = as_("priya"), []
    for more in (2, 18):
        for n in range(more):
            ticket = cast.ticket()
            if n < 5:
                cast.submitted(ticket=ticket)
        client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            page = _text(client.get(LIST))
        counts.append((page.count("Invoices are missing"), len(queries)))
    assert [rows for rows, _ in counts] == [2, 20]
    assert counts[0][1] == counts[1][1]


def test_a_page_ends_and_the_next_one_continues(cast: Cast, as_: Callable[[str], Client]) -> None:
    for n in range(30):
        cast.ticket(title=f"Number {n:02}")
    client = as_("mia")
    first = _text(client.get(LIST))
    assert [f"Number {n:02}" in first for n in range(30)] == [False] * 5 + [True] * 25
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = _text(client.get(older))
    assert [f"Number {n:02}" in second for n in range(30)] == [True] * 5 + [False] * 25
    newer = second.split('rel="prev" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "Number 29" in _text(client.get(newer))


def test_each_side_has_its_own_lists(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    cast.ticket(by="ada", title="Of Ada alone")
    cast.ticket(service_id=cast.sharepoint.pk, title="Of another queue")
    assert "Of Ada alone" not in _text(as_("mia").get(LIST, {"view": "mine"}))
    assert "Of Ada alone" in _text(as_("mia").get(LIST))
    mine = _text(as_("priya").get(LIST, {"view": "mine"}))
    assert taken.reference in mine
    assert "Of Ada alone" not in mine
    queue = _text(as_("erik").get(LIST, {"view": "queue"}))
    assert "Of Ada alone" in queue
    assert "Of another queue" not in queue


def test_the_list_is_filtered_by_state_customer_and_words(cast: Cast, as_: Callable[[str], Client]) -> None:
    ours, theirs = cast.ticket(title="Ours"), cast.ticket("fabrikam", "fred", title="Theirs")
    operations.close_ticket(theirs.pk, actor=cast.as_("fred"))
    client = as_("priya")

    def shown(**query: str) -> list[bool]:
        page = _text(client.get(LIST, query))
        return [ours.reference in page, theirs.reference in page]

    assert shown() == [True, False]
    assert shown(state="any") == [True, True]
    assert shown(state="CLOSED") == [False, True]
    assert shown(state="any", tenant="Fab") == [False, True]
    assert shown(state="any", text="the") == [False, True]
    assert shown(state="any", text=ours.reference[:6].lower()) == [True, False]


def test_a_search_by_words_reads_some_tickets_and_says_how_far(
    cast: Cast, as_: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_list, "SPAN", 2)
    first, *others = [cast.ticket(title=f"Number {n}") for n in range(5)]
    client = as_("mia")
    page = client.get(LIST, {"text": "number 0"})
    found = []
    for _ in range(3):
        found.append((first.reference in _text(page), bool(page.context["page"].searched_to)))
        address = page.context["older_url"]
        page = client.get(address) if address else page
    assert found == [(False, True), (False, True), (True, False)]
    # Back again: the page before the last one.
    back = client.get(page.context["newer_url"])
    assert others[1].reference not in _text(back)
    # A complete reference is found at once.
    assert first.reference in _text(client.get(LIST, {"text": first.reference.lower()}))
    for other in others:
        assert other.reference not in _text(client.get(LIST, {"text": first.reference}))


def test_a_search_of_the_provider_reads_fewer_tickets(
    cast: Cast, as_: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL expects few of them, and would sort all to find the end of a longer span."""
    monkeypatch.setattr(ticket_list, "SPAN", 4 * ticket_list.OF_PROVIDER)
    for n in range(6):
        cast.ticket(title=f"Number {n}")
    found = as_("priya").get(LIST, {"text": "number 0"})
    assert bool(found.context["page"].searched_to)
    assert not as_("mia").get(LIST, {"text": "number 0"}).context["page"].searched_to


def test_the_reference_of_another_help_desk_finds_a_ticket(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(external_reference="INC-17")
    for name in ("mia", "priya", "stella"):
        assert ticket.reference in _text(as_(name).get(LIST, {"text": "INC-17"})), name
    assert ticket.reference not in _text(as_("frida").get(LIST, {"text": "INC-17"}))


def test_nobody_finds_another_tenants_ticket_by_its_reference(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(title="Of Contoso")
    page = _text(as_("frida").get(LIST, {"state": "any", "text": ticket.reference}))
    assert "Of Contoso" not in page
    assert "Search for fewer words." in page
    assert "No ticket matches." in page
    assert "Choose the state “Any”" in _text(as_("frida").get(LIST, {"text": ticket.reference}))


@pytest.mark.parametrize(
    "query",
    [
        {"status": "NEW"},
        {"state": "OPENED"},
        {"view": "theirs"},
        {"after": "x"},
        {"before": "2026-01-01~1"},
        {"text": "x" * 121},
    ],
)
def test_a_filter_that_does_not_exist_is_refused(
    cast: Cast, as_: Callable[[str], Client], query: dict[str, str]
) -> None:
    assert as_("priya").get(LIST, query).status_code == 400


def test_a_customer_has_no_queue(cast: Cast, as_: Callable[[str], Client]) -> None:
    assert as_("mia").get(LIST, {"view": "queue"}).status_code == 400


def test_the_list_says_which_access_is_going_on(cast: Cast, as_: Callable[[str], Client], travel: Any) -> None:
    travel.freeze()
    grant = cast.opened()
    assert "Open now" in _text(as_("priya").get(LIST))
    travel.to(grant.closes_at)
    assert "Open now" not in _text(as_("priya").get(LIST))


# --- A new ticket --------------------------------------------------------------------------------------------


def _report(cast: Cast, **fields: Any) -> dict[str, Any]:
    return {
        "service": cast.exchange.pk,
        "title": "No mail since noon",
        "body": "Nothing arrives.",
        "priority": "high",
        **fields,
    }


def test_a_member_opens_a_ticket_for_their_own_tenant(cast: Cast, as_: Callable[[str], Client]) -> None:
    assert as_("mia").get(NEW).status_code == 200
    response = as_("mia").post(NEW, _report(cast))
    ticket = Ticket.objects.get()
    assert response.status_code == 302
    assert response["Location"] == _page(ticket)
    assert (ticket.tenant, ticket.opened_by, ticket.origin) == (cast.contoso, cast.mia, "customer")
    assert (ticket.state, ticket.priority, ticket.on_behalf_of) == ("NEW", "high", None)
    assert events_in(cast.contoso) == ["ticket.opened"]


def test_an_auditor_cannot_open_a_ticket(cast: Cast, as_: Callable[[str], Client]) -> None:
    assert "Open a ticket" not in _text(as_("otto").get(LIST))
    assert as_("otto").get(NEW).status_code == 403
    assert as_("otto").post(NEW, _report(cast)).status_code == 403
    assert not Ticket.objects.exists()


def test_a_member_cannot_open_one_for_another_tenant(cast: Cast, as_: Callable[[str], Client]) -> None:
    response = as_("mia").post(f"{NEW}?tenant={cast.fabrikam.pk}", _report(cast))
    assert response.status_code == 404
    assert not Ticket.objects.exists()


def test_an_engineer_chooses_the_customer_and_names_who_called(cast: Cast, as_: Callable[[str], Client]) -> None:
    client = as_("priya")
    address = f"{NEW}?tenant={cast.contoso.pk}"
    assert address.partition("/new/")[2] in _text(client.get(NEW))
    form = _text(client.get(address))
    assert "Mia Test" in form
    assert "Fred Test" not in form
    client.post(address, _report(cast, on_behalf_of_id=cast.mia.pk))
    ticket = Ticket.objects.get()
    assert (ticket.origin, ticket.on_behalf_of, ticket.opened_by) == ("recorded", cast.mia, cast.priya)
    assert outbox_topics(None) == ["notify.ticket_opened", "notify.ticket_recorded"]


def test_a_customer_is_found_by_a_part_of_the_name_or_of_the_short_name(
    cast: Cast, as_: Callable[[str], Client]
) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(name="Łódź Works")
    for typed, is_found in (("ŁÓDŹ", True), ("toso", True), ("CONTOSO", True), ("fabrikam", False)):
        shown = _text(as_("priya").get(NEW, {"find": typed}))
        assert ("Łódź Works" in shown) is is_found, typed
    assert inbox.tenants_named(cast.as_("priya"), "conto") == (cast.contoso.pk,)


def test_without_a_caller_it_is_a_problem_that_the_provider_found(cast: Cast, as_: Callable[[str], Client]) -> None:
    as_("stella").post(f"{NEW}?tenant={cast.contoso.pk}", _report(cast, on_behalf_of_id=""))
    assert Ticket.objects.get().origin == "provider"


def test_a_caller_of_another_tenant_is_refused_beside_the_field(cast: Cast, as_: Callable[[str], Client]) -> None:
    response = as_("priya").post(f"{NEW}?tenant={cast.contoso.pk}", _report(cast, on_behalf_of_id=cast.fred.pk))
    assert response.status_code == 422
    assert "on_behalf_of_id" in response.context["form"].errors
    assert not Ticket.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("title", " "), ("title", "x" * 201), ("body", ""), ("priority", "now"), ("service", "x")]
)
def test_a_wrong_value_is_shown_beside_its_field(
    cast: Cast, as_: Callable[[str], Client], field: str, value: str
) -> None:
    response = as_("mia").post(NEW, _report(cast, **{field: value}))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert not Ticket.objects.exists()


def test_an_engineer_records_no_ticket_for_another_queue(cast: Cast, as_: Callable[[str], Client]) -> None:
    response = as_("erik").post(f"{NEW}?tenant={cast.contoso.pk}", _report(cast, service=cast.sharepoint.pk))
    assert response.status_code == 422
    assert not Ticket.objects.exists()


# --- The conversation ----------------------------------------------------------------------------------------


def test_both_sides_read_the_conversation_and_only_the_provider_its_notes(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket
) -> None:
    operations.comment(taken.pk, actor=cast.as_("priya"), body="Looking into it.")
    operations.comment(taken.pk, actor=cast.as_("priya"), body="Smells like the index.", is_internal=True)
    provider, customer = _text(as_("erik").get(_page(taken))), _text(as_("ada").get(_page(taken)))
    assert "Looking into it." in provider
    assert "Looking into it." in customer
    assert "Smells like the index." in provider
    assert "the customer does not see this" in provider
    assert "Smells like the index." not in customer
    assert "internal note" not in customer


def test_the_page_costs_the_same_with_many_comments_as_with_few(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket
) -> None:
    client, counts = as_("priya"), []
    for _ in range(2):
        for n in range(5):
            operations.comment(taken.pk, actor=cast.as_("priya"), body=f"Word {n}")
        cast.submitted(ticket=taken)
        client.get(_page(taken))
        with CaptureQueriesContext(connection) as queries:
            client.get(_page(taken))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_text_of_strangers_is_shown_as_it_is(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(title="<b>bold</b>", body="<script>alert(1)</script> \u202eevil")
    page = _text(as_("priya").get(_page(ticket)))
    assert "<b>bold</b>" not in page
    assert "<script>alert(1)" not in page
    assert "U+202E" in page


@pytest.mark.parametrize(
    ("person", "offered", "not_offered"),
    [
        (
            "priya",
            ["ask_customer", "comment", "note", "resolve_ticket", "close_ticket", "/ask/"],
            ["answer_ticket", "Take this ticket", "reopen_ticket"],
        ),
        ("erik", ["Take this ticket", "comment", "note", "/ask/"], ["answer_ticket"]),
        ("stella", ["assign_ticket", "comment", "note", "close_ticket"], ["Take this ticket", "/ask/"]),
        ("mia", ["comment", "close_ticket"], ["ask_customer", "note/", "resolve_ticket", "/ask/", "assign_ticket"]),
        ("otto", [], ["comment/", "close_ticket", "note/", "/ask/"]),
        ("pat", [], ["comment/", "close_ticket", "note/", "/ask/"]),
    ],
)
def test_every_offered_act_would_be_accepted(
    as_: Callable[[str], Client], taken: Ticket, person: str, offered: list[str], not_offered: list[str]
) -> None:
    page = _text(as_(person).get(_page(taken)))
    assert [word for word in offered if word not in page] == []
    assert [word for word in not_offered if word in page] == []


def test_a_question_waits_for_its_answer(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    response = as_("priya").post(_act(taken, "ask_customer"), {"note": "Since when?"})
    assert (response.status_code, response["Location"]) == (302, _page(taken))
    assert _state(taken) == "WAITING_FOR_CUSTOMER"
    page = _text(as_("mia").get(_page(taken)))
    assert "Send the answer" in page
    assert "Your answer is needed." in page
    as_("mia").post(_act(taken, "answer_ticket"), {"note": "Since Monday."})
    assert _state(taken) == "ASSIGNED"
    assert events_in(cast.contoso)[-2:] == ["ticket.answer_asked", "ticket.answered"]
    assert list(TicketComment.objects.values_list("body", flat=True)) == ["Since when?", "Since Monday."]


def test_an_engineer_takes_a_ticket_or_is_given_it(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket()
    as_("erik").post(_act(ticket, "assign_ticket"))
    assert Ticket.objects.get().assignee == cast.erik
    as_("stella").post(_act(ticket, "assign_ticket"), {"assignee_id": cast.priya.pk})
    assert Ticket.objects.get().assignee == cast.priya


def test_a_search_finds_an_engineer_whom_the_form_does_not_offer(
    cast: Cast, as_: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = cast.ticket()
    page = _page(ticket)
    option = 'value="%s"'
    everybody = as_("stella").get(page).content.decode()
    assert option % cast.priya.pk in everybody
    assert option % cast.erik.pk in everybody
    assert 'name="find"' not in everybody
    monkeypatch.setattr(queries, "CHOICES", 1)
    shown = as_("stella").get(page).content.decode()
    assert option % cast.priya.pk not in shown
    assert '<details class="fold" id="assign">' in shown
    # The answer shows this part of the page, and not its beginning.
    assert 'role="search" action="#assign"' in shown
    assert "This list is not complete." in shown
    for typed in ("PRIYA", cast.priya.email):
        found = as_("stella").get(page, {"find": typed}).content.decode()
        assert '<details class="fold" id="assign" open>' in found
        assert "This list is not complete." not in found
        assert option % cast.priya.pk in found
        assert option % cast.erik.pk not in found
    assert "No engineer of this queue has this name." in as_("stella").get(page, {"find": "Mia"}).content.decode()
    as_("stella").post(_act(ticket, "assign_ticket"), {"assignee_id": cast.priya.pk})
    assert Ticket.objects.get().assignee == cast.priya


@pytest.mark.parametrize("assignee", ["samir", "mia", "nonsense"])
def test_a_ticket_is_given_to_engineers_of_its_queue_alone(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, assignee: str
) -> None:
    value = cast.people[assignee].pk if assignee in cast.people else assignee
    assert as_("erik").post(_act(taken, "assign_ticket"), {"assignee_id": value}).status_code == 422
    assert Ticket.objects.get().assignee == cast.priya


def test_a_note_of_the_provider_is_not_written_by_a_customer(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket
) -> None:
    assert as_("mia").post(_act(taken, "note"), {"internal": "Psst"}).status_code == 403
    assert not TicketComment.objects.exists()


def test_an_empty_or_too_long_text_is_refused_and_stays_in_the_form(
    as_: Callable[[str], Client], taken: Ticket
) -> None:
    fields = [("comment", "note"), ("ask_customer", "note"), ("note", "internal")]
    priya = as_("priya")
    with collected() as case:
        for action, field in fields:
            for text in ["", "  ", "x" * 5000]:
                with case(action, field, text):
                    response = priya.post(_act(taken, action), {field: text})
                    assert response.status_code == 422
                    assert "field-errors" in _text(response)
                    assert text.strip() in _text(response)
                    assert not TicketComment.objects.exists()


def test_a_text_that_was_too_late_stays_in_the_form(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    operations.close_ticket(taken.pk, actor=cast.as_("priya"))
    response = as_("mia").post(_act(taken, "comment"), {"note": "One more thing"})
    assert response.status_code == 409
    assert "One more thing" in _text(response)
    assert "This ticket is closed. Reopen it to continue." in _text(response)
    assert not TicketComment.objects.exists()


@pytest.mark.parametrize("action", ["comment", "note", "ask_customer", "answer_ticket", "assign_ticket"])
def test_a_get_changes_nothing(as_: Callable[[str], Client], taken: Ticket, action: str) -> None:
    before = AuditEntry.objects.count()
    assert as_("priya").get(_act(taken, action)).status_code == 405
    assert AuditEntry.objects.count() == before


def test_an_unknown_act_is_absent(as_: Callable[[str], Client], taken: Ticket) -> None:
    assert as_("priya").post(_act(taken, "open_ticket")).status_code == 404


def test_a_refusal_never_closes_a_ticket(
    as_: Callable[[str], Client], taken: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page thinks that Mia is not allowed to close the ticket, while the operation would allow it."""
    monkeypatch.setattr("requests_app.queries.tickets.is_allowed", lambda *_given, **_named: False)
    assert as_("mia").post(_act(taken, "close_ticket"), {"note": "", "ends": ""}).status_code == 403
    assert _state(taken) == "ASSIGNED"


@pytest.mark.parametrize("person", ["otto", "pat"])
@pytest.mark.parametrize("action", ["comment", "close_ticket", "assign_ticket"])
def test_a_person_who_may_only_read_is_refused_with_an_entry(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, person: str, action: str
) -> None:
    events = events_in(cast.contoso)
    response = as_(person).post(_act(taken, action), {} if action == "assign_ticket" else {"note": "No"})
    assert response.status_code == 403
    assert events_in(cast.contoso) == [*events, "act.refused"]
    assert _state(taken) == "ASSIGNED"
    assert not TicketComment.objects.exists()


# --- The end of a ticket -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "person"), [("resolve_ticket", "priya"), ("close_ticket", "mia")])
def test_ending_a_ticket_says_what_it_ends_and_then_ends_it(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, action: str, person: str
) -> None:
    opened = cast.opened(ticket=taken)
    pending = cast.submitted(ticket=taken)
    before = AuditEntry.objects.count()
    page = as_(person).get(_act(taken, action))
    assert page.status_code == 200
    assert opened.access_request.reference in _text(page)
    assert pending.reference in _text(page)
    assert "An open window closes" in _text(page)
    assert AuditEntry.objects.count() == before
    ends = f"{pending.pk} {opened.access_request_id}"
    assert as_(person).post(_act(taken, action), {"note": "", "ends": ends}).status_code == 302
    assert _state(taken) == {"resolve_ticket": "RESOLVED", "close_ticket": "CLOSED"}[action]
    assert AccessRequest.objects.get(pk=pending.pk).state == "WITHDRAWN"
    assert Grant.objects.get().close_reason == "revoked"


@pytest.mark.parametrize(("action", "person"), [("resolve_ticket", "priya"), ("close_ticket", "mia")])
def test_the_page_that_says_what_ends_is_sent_to_itself(
    as_: Callable[[str], Client], taken: Ticket, action: str, person: str
) -> None:
    main = as_(person).get(_act(taken, action)).content.decode().partition("<main")[2]
    form = re.search(r"<form\b[^>]*>", main)
    assert form is not None
    assert "action=" not in form[0]


def test_a_window_that_opened_meanwhile_does_not_end_without_a_warning(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket
) -> None:
    pending = cast.submitted(ticket=taken)
    response = as_("mia").post(_act(taken, "close_ticket"), {"note": "Thanks", "ends": ""})
    assert response.status_code == 409
    assert pending.reference in _text(response)
    assert "Thanks" in _text(response)
    assert _state(taken) == "ASSIGNED"
    assert AccessRequest.objects.get(pk=pending.pk).state == "PENDING_PROVIDER"


def test_if_nothing_ends_the_page_says_so(as_: Callable[[str], Client], taken: Ticket) -> None:
    assert "Only the ticket itself ends." in _text(as_("mia").get(_act(taken, "close_ticket")))


def test_a_ticket_is_closed_once(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    operations.close_ticket(taken.pk, actor=cast.as_("mia"))
    events = events_in(cast.contoso)
    assert as_("priya").get(_act(taken, "close_ticket")).status_code == 409
    assert as_("priya").post(_act(taken, "close_ticket"), {"note": "", "ends": ""}).status_code == 409
    assert events_in(cast.contoso) == [*events, "act.refused"]


def test_a_closed_ticket_is_reopened_with_a_reason_for_seven_days(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, travel: Any
) -> None:
    operations.close_ticket(taken.pk, actor=cast.as_("mia"))
    assert "Reopen" in _text(as_("mia").get(_page(taken)))
    assert as_("mia").get(_act(taken, "reopen_ticket")).status_code == 200
    assert as_("mia").post(_act(taken, "reopen_ticket"), {"note": ""}).status_code == 422
    assert _state(taken) == "CLOSED"
    travel.to(_closed_at(taken) + dt.timedelta(days=7, microseconds=-1))
    assert as_("mia").post(_act(taken, "reopen_ticket"), {"note": "Again"}).status_code == 302
    assert _state(taken) == "ASSIGNED"


def test_after_seven_days_a_closed_ticket_stays_closed(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, travel: Any
) -> None:
    operations.close_ticket(taken.pk, actor=cast.as_("mia"))
    travel.to(_closed_at(taken) + dt.timedelta(days=7))
    assert "reopen_ticket" not in _text(as_("mia").get(_page(taken)))
    assert as_("mia").get(_act(taken, "reopen_ticket")).status_code == 409
    assert as_("mia").post(_act(taken, "reopen_ticket"), {"note": "Again"}).status_code == 409
    assert _state(taken) == "CLOSED"


def test_a_ticket_whose_problem_is_solved_can_be_closed_after_more_than_seven_days(
    cast: Cast, taken: Ticket, travel: Any
) -> None:
    operations.resolve_ticket(taken.pk, actor=cast.as_("priya"))
    travel.by(days=8)
    operations.close_ticket(taken.pk, actor=cast.as_("mia"))
    assert _state(taken) == "CLOSED"


# --- Access requests of a ticket -----------------------------------------------------------------------------


def test_the_ticket_shows_who_must_act_next(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    row = cast.submitted(ticket=taken)
    page = _text(as_("mia").get(_page(taken)))
    assert "Microsoft’s approvers must answer next." in page
    assert "read messages in 1 mailbox (finance@contoso.example)" in page
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="Yes.")
    assert "’s approvers must answer next." in _text(as_("mia").get(_page(taken)))
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    grant = Grant.objects.get()
    assert reverse("web:window", args=[grant.pk]) in _text(as_("priya").get(_page(taken)))
    assert reverse("web:window", args=[grant.pk]) not in _text(as_("erik").get(_page(taken)))
    assert "So far: nothing was opened or listed" in _text(as_("mia").get(_page(taken)))


def test_ended_access_can_be_asked_for_again(cast: Cast, as_: Callable[[str], Client], taken: Ticket) -> None:
    row = cast.submitted(ticket=taken)
    operations.withdraw(row.pk, actor=cast.as_("priya"))
    again = f"{reverse('web:ask', args=[taken.pk])}?from={row.pk}"
    assert again in _text(as_("priya").get(_page(taken)))
    assert again not in _text(as_("mia").get(_page(taken)))


# --- Unknown fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["state", "tenant", "closed_at", "author"])
def test_an_unknown_field_of_a_form_is_refused_and_not_ignored(
    cast: Cast, as_: Callable[[str], Client], taken: Ticket, extra: str
) -> None:
    client = as_("priya")
    assert client.post(_act(taken, "comment"), {"note": "Hello", extra: "x"}).status_code == 400
    assert client.post(_act(taken, "assign_ticket"), {extra: "x"}).status_code == 400
    assert client.post(_act(taken, "close_ticket"), {"note": "", extra: "x"}).status_code == 400
    assert as_("mia").post(NEW, _report(cast, **{extra: "x"})).status_code == 400
    assert not TicketComment.objects.exists()
    assert Ticket.objects.get().state == "ASSIGNED"


# --- References in other systems -----------------------------------------------------------------------------

LINK = {"external_reference": "INC-4711", "external_url": "https://desk.example/cases/4711"}


def test_the_page_shows_what_another_system_calls_it_and_where(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(**LINK)
    for name in ("mia", "priya", "otto"):
        page = _text(as_(name).get(_page(ticket)))
        link = f'<a href="{LINK["external_url"]}" rel="noopener noreferrer nofollow">'
        assert f'{link}<bdi class="visible-line">INC-4711</bdi></a>' in page
        assert 'at <bdi class="visible-line">desk.example</bdi>' in page
    assert "In another system" not in _text(as_("mia").get(_page(cast.ticket())))


def test_both_sides_set_it_and_it_is_found_by_it(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket()
    for name, reference in (("mia", "INC-1"), ("priya", "INC-2")):
        client = as_(name)
        assert reverse("web:ticket_act", args=[ticket.pk, "link_ticket"]) in _text(client.get(_page(ticket)))
        assert client.get(_act(ticket, "link_ticket")).status_code == 200
        form = {**LINK, "external_reference": reference}
        assert client.post(_act(ticket, "link_ticket"), form)["Location"] == _page(ticket)
        assert ticket.reference in _text(client.get(LIST, {"text": reference.lower()}))
    row = Ticket.objects.get(pk=ticket.pk)
    assert (row.external_reference, row.external_url) == ("INC-2", LINK["external_url"])
    log = _text(as_("otto").get(reverse("web:log", args=[cast.contoso.pk])))
    assert 'to <bdi class="visible-line">INC-2</bdi>' in log


def test_an_auditor_reads_it_and_sets_it_not(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(**LINK)
    client = as_("otto")
    assert "link_ticket" not in _text(client.get(_page(ticket)))
    assert client.get(_act(ticket, "link_ticket")).status_code == 403
    assert client.post(_act(ticket, "link_ticket"), {"external_reference": "INC-9"}).status_code == 403
    assert Ticket.objects.get().external_reference == "INC-4711"
    assert events_in(cast.contoso) == ["ticket.opened", "act.refused"]


@pytest.mark.parametrize(
    "form",
    [
        {"external_reference": "INC-1", "external_url": "javascript:alert(1)"},
        {"external_reference": "INC\u202e1", "external_url": ""},
        {"external_reference": "INC-4711", "external_url": ""},
    ],
)
def test_a_refused_text_stays_in_the_form_and_changes_nothing(
    cast: Cast, as_: Callable[[str], Client], form: dict[str, str]
) -> None:
    cast.ticket(**LINK)
    ticket = cast.ticket()
    client = as_("mia")
    assert client.post(_act(ticket, "link_ticket"), form).status_code == 422
    assert client.post(NEW, _report(cast, **form)).status_code == 422
    assert Ticket.objects.get(pk=ticket.pk).external_reference == ""
    assert Ticket.objects.count() == 2


def test_a_reference_that_misleads_its_reader_is_refused() -> None:
    addresses = [
        "https://desk.example@evil.example/",
        "https://evil.example\\desk.example/",
        "https://desk.example/\\evil",
        "ftp://desk.example/",
        "desk.example",
        "https://desk.example/\u200bcase",
        f"https://desk.example/{'x' * 480}",
    ]
    # One of each category that nobody sees, or that changes how the rest is seen.
    references = [f"INC{char}1" for char in "\x9f\u202e\ud800\ue000\u0378\u2028\u2029"] + ["x" * 121]
    with collected() as case:
        for address in addresses:
            with case(address), pytest.raises(Unacceptable) as refusal:
                _elsewhere.url(address)
            assert refusal.value.field == "external_url"
        for reference in references:
            with case(repr(reference)), pytest.raises(Unacceptable) as refusal:
                _elsewhere.reference(reference)
            assert refusal.value.field == "external_reference"
    assert _elsewhere.url("https://desk.example/cases/1?by=a@b") == "https://desk.example/cases/1?by=a@b"
    longest = f"https://desk.example/{'x' * 479}"
    assert (_elsewhere.url(longest), len(longest)) == (longest, 500)
    assert _elsewhere.reference(" INC  1 ") == "INC 1"
    assert _elsewhere.reference("x" * 120) == "x" * 120


def test_the_log_says_that_a_reference_was_taken_away(cast: Cast, as_: Callable[[str], Client]) -> None:
    ticket = cast.ticket(**LINK)
    as_("mia").post(_act(ticket, "link_ticket"), {"external_reference": "", "external_url": ""})
    log = _text(as_("otto").get(reverse("web:log", args=[cast.contoso.pk])))
    assert "removed the external reference of the ticket" in log


def test_in_a_trial_a_page_that_waits_says_whom_to_play_next(
    cast: Cast, as_: Callable[[str], Client], settings: Any
) -> None:
    row = cast.submitted()
    assert row.ticket is not None
    pages = (_page(row.ticket), reverse("web:access_request", args=[row.pk]))

    def says(name: str) -> set[bool]:
        client = as_(name)
        texts = [_text(client.get(page)) for page in pages]
        return {"Sign in as this person: the mail is in the terminal." in text for text in texts}

    assert says("priya") == {False}
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False
    assert says("priya") == says("ada") == {True}
    assert says("pat") == {False}, "it is the reader's own turn"
    settings.PRODUCTION = True
    assert says("priya") == {False}


def test_a_ticket_with_very_many_access_requests_shows_those_under_way_and_the_newest(
    cast: Cast, as_: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SHOWN", 2)
    monkeypatch.setattr(limits, "HOURLY_MAX", 100)
    ticket, priya = cast.ticket(), as_("priya")
    first = cast.submitted(ticket=ticket)
    ended = [operations.withdraw(cast.submitted(ticket=ticket).pk, actor=cast.as_("priya")) for _ in range(26)]
    html = priya.get(_page(ticket)).content.decode()
    places = [html.find(row.reference) for row in (first, ended[25], ended[24], ended[23])]
    assert -1 not in places[:3]
    assert places[:3] == sorted(places[:3])
    assert places[3] == -1
    address = f"/access-requests/?q={ticket.reference}"
    assert f'href="{address}"' in html
    # The list of all of them has pages.
    page = priya.get(address)
    assert ended[25].reference in page.content.decode()
    assert first.reference not in page.content.decode()
    last = priya.get("/access-requests/" + page.context["older_url"]).content.decode()
    assert [row.reference in last for row in (first, ended[0], ended[25])] == [True, True, False]


@pytest.mark.parametrize("address", ["", "close_ticket/"])
def test_a_page_of_a_ticket_costs_the_same_with_many_access_requests(
    cast: Cast, as_: Callable[[str], Client], address: str
) -> None:
    ticket, priya = cast.ticket(), as_("priya")

    def few() -> int:
        with CaptureQueriesContext(connection) as found:
            assert priya.get(_page(ticket) + address).status_code == 200
        return len(found)

    def more() -> None:
        for _ in range(3):
            operations.withdraw(cast.submitted(ticket=ticket).pk, actor=cast.as_("priya"))

    more()
    same_queries(few, more)
