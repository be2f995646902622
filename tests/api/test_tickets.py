"""Tickets over the API: another system opens them with its reference, works on them, and reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Ticket, TicketComment
from tests.caller import Caller
from tests.cast import Cast, events_in
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
LINK = {"external_reference": "INC-4711", "external_url": "https://desk.example/cases/4711?tab=1"}


def report(cast: Cast, **fields: Any) -> dict[str, Any]:
    plain = {"service": "exchange-online", "title": "No mail since noon", "body": "Nothing arrives."}
    return {"tenant": str(cast.contoso.pk), **plain, **fields}


def ids(page: Any) -> list[str]:
    return [each["id"] for each in page.json()["items"]]


# --- Opened --------------------------------------------------------------------------------------------------


def test_a_help_desk_opens_and_links_a_ticket_in_one_call(cast: Cast, calling: Calling) -> None:
    desk = calling("contoso", Scope.TICKETS_READ, Scope.TICKETS_WRITE)
    response = desk.post("tickets", report(cast, priority="high", **LINK))
    assert response.status_code == 201
    found = response.json()
    ticket = Ticket.objects.get()
    assert response["Location"].endswith(f"/api/v1/tickets/{ticket.pk}")
    assert response["ETag"] == desk.get(f"tickets/{ticket.pk}")["ETag"]
    assert (found["id"], found["reference"], found["state"]) == (str(ticket.pk), ticket.reference, "NEW")
    assert {name: found[name] for name in LINK} == LINK
    assert (found["origin"], found["priority"], found["on_behalf_of"]) == ("customer", "high", None)
    assert found["opened_by"]["name"] == "Help desk"
    assert found["allowed_actions"] == ["close", "comment", "link"]
    entry = AuditEntry.objects.get(event="ticket.opened")
    assert (entry.actor_kind, entry.door) == ("client", "api")


def test_the_same_call_again_opens_nothing(cast: Cast, calling: Calling) -> None:
    desk = calling("contoso", Scope.TICKETS_READ, Scope.TICKETS_WRITE)
    answers = [desk.post("tickets", report(cast, **LINK), Idempotency_Key="case-4711") for _ in range(3)]
    assert [each.status_code for each in answers] == [201, 201, 201]
    assert len({each.content for each in answers}) == 1
    assert Ticket.objects.count() == 1


def test_a_case_that_has_a_ticket_gets_no_second_one_and_hears_which(cast: Cast, calling: Calling) -> None:
    desk = calling("contoso", Scope.TICKETS_WRITE)
    first = desk.post("tickets", report(cast, **LINK)).json()
    again = desk.post("tickets", report(cast, **LINK))
    assert again.status_code == 409
    assert again.json()["current"] == {"ticket": first["id"], "reference": first["reference"]}
    assert Ticket.objects.count() == 1
    # Another tenant can use the same reference, and does not learn that this ticket exists.
    theirs = calling("fabrikam", Scope.TICKETS_WRITE)
    assert theirs.post("tickets", report(cast, tenant=str(cast.fabrikam.pk), **LINK)).status_code == 201


def test_the_provider_records_one_for_a_customer_who_called(cast: Cast, calling: Calling) -> None:
    gateway = calling(None, Scope.TICKETS_WRITE)
    for who in (cast.mia.email, str(cast.mia.pk)):
        found = gateway.post("tickets", report(cast, on_behalf_of=who)).json()
        assert (found["origin"], found["on_behalf_of"]["id"]) == ("recorded", str(cast.mia.pk))
    assert set(Ticket.objects.values_list("on_behalf_of", flat=True)) == {cast.mia.pk}


@pytest.mark.parametrize("who", ["frida@fabrikam.example", "priya@provider.example", "nobody", "x@contoso.example"])
def test_nobody_is_named_who_is_not_of_the_tenant(cast: Cast, calling: Calling, who: str) -> None:
    response = calling(None, Scope.TICKETS_WRITE).post("tickets", report(cast, on_behalf_of=who))
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "on_behalf_of")
    assert not Ticket.objects.exists()


def test_a_customer_names_nobody(cast: Cast, calling: Calling) -> None:
    for caller in (calling("ada"), calling("contoso", Scope.TICKETS_WRITE)):
        response = caller.post("tickets", report(cast, on_behalf_of=cast.mia.email))
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "on_behalf_of")
    assert not Ticket.objects.exists()


def test_another_tenant_is_absent(cast: Cast, calling: Calling) -> None:
    body = report(cast, tenant=str(cast.fabrikam.pk))
    assert calling("contoso", Scope.TICKETS_WRITE).post("tickets", body).status_code == 404
    assert not Ticket.objects.exists()


@pytest.mark.parametrize("service", ["00000000-0000-4000-8000-000000000000", "no-such-service", ""])
def test_a_service_that_is_not_there_is_named_as_the_fault(cast: Cast, calling: Calling, service: str) -> None:
    found = calling("contoso", Scope.TICKETS_WRITE).post("tickets", report(cast, service=service))
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "service")
    assert not Ticket.objects.exists()


def test_an_auditor_cannot_open_a_ticket(cast: Cast, calling: Calling) -> None:
    assert calling("otto").post("tickets", report(cast)).status_code == 403
    assert not Ticket.objects.exists()


# --- Linked --------------------------------------------------------------------------------------------------

HOSTILE = {
    "external_url": [
        "javascript:alert(1)",
        "JaVaScRiPt://desk.example/%0aalert(1)",
        "data:text/html,<script>",
        "ftp://desk.example/4711",
        "//desk.example/4711",
        "desk.example/4711",
        "https://",
        "https://desk.example@evil.example/4711",
        "https://u:p@desk.example/4711",
        "https://desk.example\\@evil.example/",
        "https://desk.example/a b",
        "https://desk.example/\u202e1174",
        "https://desk.example/\u200b4711",
        "https://desk.example/\x01",
        "https://desk.example/\x9f",
        "https://desk.example/" + "x" * 500,
        "https://[desk.example/",
    ],
    "external_reference": [
        "INC\u202e1174",
        "INC\u20664711",
        "INC\u200b4711",
        "INC\u00ad4711",
        "INC\u20284711",
        "INC\n4711",
        "INC\t4711",
        "INC\x1b[31m",
        "INC\x7f",
        "INC\x854711",
        "I" * 121,
    ],
}


def test_a_harmful_link_is_refused(cast: Cast, calling: Calling) -> None:
    cases = [(field, value) for field, values in HOSTILE.items() for value in values]
    desk = calling("contoso", Scope.TICKETS_WRITE)
    ticket = cast.ticket()
    before = events_in(cast.contoso)
    with collected() as case:
        for field, value in cases:
            with case(field, value):
                wanted = {"external_reference": "INC-4711", field: value}
                opened = desk.post("tickets", report(cast, **wanted))
                linked = desk.put(f"tickets/{ticket.pk}/link", wanted)
                for response in (opened, linked):
                    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)
                assert list(Ticket.objects.values_list("external_reference", "external_url")) == [("", "")]
                assert set(events_in(cast.contoso)[len(before) :]) <= {"act.refused"}


@pytest.mark.parametrize(
    "value", ["https://desk.example:8443/cases/4711?a=1&b=2#c", "http://desk.example/f%C3%A4lle", "https://[::1]/4711"]
)
def test_a_plain_address_is_taken_as_it_is(cast: Cast, calling: Calling, value: str) -> None:
    ticket = cast.ticket()
    found = calling("mia").put(f"tickets/{ticket.pk}/link", {"external_reference": "Fall 12 ä", "external_url": value})
    assert (found.status_code, found.json()["external_url"]) == (200, value)
    assert found.json()["external_reference"] == "Fall 12 ä"


def test_a_link_is_replaced_and_removed_and_recorded_once(cast: Cast, calling: Calling) -> None:
    ticket = cast.ticket()
    desk = calling("contoso", Scope.TICKETS_WRITE)
    for wanted in (LINK, LINK, {"external_reference": "INC-5"}, {"external_reference": ""}):
        found = desk.put(f"tickets/{ticket.pk}/link", wanted).json()
        assert (found["external_reference"], found["external_url"]) == (
            wanted["external_reference"],
            wanted.get("external_url", ""),
        )
    assert events_in(cast.contoso) == ["ticket.opened", "client.created"] + 3 * ["ticket.linked"]


def test_a_reference_that_another_ticket_has_is_not_given_twice(cast: Cast, calling: Calling) -> None:
    one, other = cast.ticket(**LINK), cast.ticket()
    response = calling("contoso", Scope.TICKETS_WRITE).put(f"tickets/{other.pk}/link", LINK)
    assert (response.status_code, response.json()["current"]["ticket"]) == (409, str(one.pk))
    assert Ticket.objects.get(pk=other.pk).external_reference == ""


@pytest.mark.parametrize(("name", "may"), [("mia", True), ("priya", True), ("stella", True), ("otto", False)])
def test_the_people_who_may_close_a_ticket_may_link_it(cast: Cast, calling: Calling, name: str, may: bool) -> None:
    ticket = cast.ticket()
    caller = calling(name)
    assert ("link" in caller.get(f"tickets/{ticket.pk}").json()["allowed_actions"]) is may
    assert caller.put(f"tickets/{ticket.pk}/link", LINK).status_code == (200 if may else 403)


# --- Read ----------------------------------------------------------------------------------------------------


def test_a_list_is_narrowed(cast: Cast, calling: Calling, travel: Any) -> None:
    travel.freeze()
    ours = cast.ticket(**LINK)
    travel.by(seconds=5)
    theirs = cast.ticket("fabrikam", "fred", service_id=cast.sharepoint.pk, priority="low")
    operations.assign_ticket(ours.pk, actor=cast.as_("priya"))
    travel.by(seconds=5)
    operations.close_ticket(theirs.pk, actor=cast.as_("fred"))
    priya = calling("priya")
    for query, wanted in (
        ({"tenant": cast.contoso.pk}, [ours]),
        ({"service": cast.sharepoint.pk}, [theirs]),
        ({"state": "ASSIGNED"}, [ours]),
        ({"is_live": "true"}, [ours]),
        ({"is_live": "false"}, [theirs]),
        ({"is_assigned": "true"}, [ours]),
        ({"is_assigned": "false"}, [theirs]),
        ({"assignee": cast.priya.pk}, [ours]),
        ({"origin": "customer"}, [theirs, ours]),
        ({"origin": "recorded"}, []),
        ({"priority": "low"}, [theirs]),
        ({"reference": ours.reference}, [ours]),
        ({"external_reference": "INC-4711"}, [ours]),
        ({"opened_since": theirs.opened_at.isoformat()}, [theirs]),
        ({"opened_before": theirs.opened_at.isoformat()}, [ours]),
        ({"order": "opened_at"}, [ours, theirs]),
        ({"order": "-changed_at"}, [theirs, ours]),
    ):
        assert ids(priya.get("tickets", query)) == [str(row.pk) for row in wanted], query


@pytest.mark.parametrize(
    "query", [{"kind": "x"}, {"state": "OPENED"}, {"is_live": "1"}, {"order": "title"}, {"external_reference": " "}]
)
def test_a_filter_that_is_not_there_is_refused(cast: Cast, calling: Calling, query: dict[str, str]) -> None:
    assert calling("mia").get("tickets", query).status_code in (400, 422)


def test_each_caller_sees_what_the_pages_show(cast: Cast, calling: Calling) -> None:
    ours = cast.ticket()
    theirs = cast.ticket("fabrikam", "fred", service_id=cast.sharepoint.pk)
    for name, wanted in (
        ("mia", {ours}),
        ("otto", {ours}),
        ("fred", {theirs}),
        ("erik", {ours}),
        ("samir", {theirs}),
        ("stella", {ours, theirs}),
        ("contoso", {ours}),
        ("fabrikam", {theirs}),
        (None, {ours, theirs}),
    ):
        assert set(ids(calling(name).get("tickets"))) == {str(row.pk) for row in wanted}, name


def test_a_list_costs_the_same_with_twenty_tickets_as_with_two(cast: Cast, calling: Calling) -> None:
    caller, counts = calling("priya"), []
    caller.get("tickets")  # The API saves when a token was last used, once a minute.
    for more in (2, 18):
        for n in range(more):
            cast.ticket(title=f"{n}")
        with CaptureQueriesContext(connection) as captured:
            assert caller.get("tickets").status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_missing_scope_is_named(cast: Cast, calling: Calling) -> None:
    ticket = cast.ticket()
    reader = calling("mia", Scope.TICKETS_READ)
    assert reader.get(f"tickets/{ticket.pk}").json()["allowed_actions"] == []
    for response in (
        reader.post("tickets", report(cast)),
        reader.post(f"tickets/{ticket.pk}/comments", {"body": "Still so."}),
        reader.put(f"tickets/{ticket.pk}/link", LINK),
        reader.post(f"tickets/{ticket.pk}/close"),
        calling("mia", Scope.REQUESTS_READ).get("tickets"),
        calling("mia", Scope.TICKETS_WRITE).get(f"tickets/{ticket.pk}/comments"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert (Ticket.objects.get().state, TicketComment.objects.count()) == ("NEW", 0)


def test_the_etag_changes_with_each_comment(cast: Cast, calling: Calling, travel: Any) -> None:
    ticket = cast.ticket()
    mia = calling("mia")
    tag = mia.get(f"tickets/{ticket.pk}")["ETag"]
    assert mia.get(f"tickets/{ticket.pk}", If_None_Match=tag).status_code == 304
    travel.by(seconds=1)
    mia.post(f"tickets/{ticket.pk}/comments", {"body": "Still so."})
    assert mia.get(f"tickets/{ticket.pk}", If_None_Match=tag).status_code == 200


# --- Worked --------------------------------------------------------------------------------------------------


def test_a_ticket_lives_its_life_over_the_api(cast: Cast, calling: Calling) -> None:
    mia, priya = calling("mia"), calling("priya")
    pk = mia.post("tickets", report(cast)).json()["id"]
    seen = []
    for caller, act, body in (
        (priya, "assign", {}),
        (priya, "ask", {"comment": "Since when?"}),
        (mia, "answer", {"comment": "Since Monday."}),
        (priya, "resolve", {"comment": "Fixed."}),
        (mia, "reopen", {"comment": "It is back."}),
        (mia, "close", {}),
    ):
        offered = caller.get(f"tickets/{pk}").json()["allowed_actions"]
        assert act in offered, (act, offered)
        response = caller.post(f"tickets/{pk}/{act}", body)
        assert response.status_code == 200, response.content
        seen.append(response.json()["state"])
    assert seen == ["ASSIGNED", "WAITING_FOR_CUSTOMER", "ASSIGNED", "RESOLVED", "ASSIGNED", "CLOSED"]
    answer = mia.get(f"tickets/{pk}/comments").json()["items"]
    assert [each["body"] for each in answer] == ["Since when?", "Since Monday.", "Fixed.", "It is back."]


def test_an_act_that_the_state_does_not_allow_is_answered_with_the_state(cast: Cast, calling: Calling) -> None:
    ticket, mia = operations.close_ticket(cast.ticket().pk, actor=cast.as_("mia")), calling("mia")
    events = events_in(cast.contoso)
    refused = mia.post(f"tickets/{ticket.pk}/close")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert refused.json()["current"] == {"state": "CLOSED"}
    assert events_in(cast.contoso) == [*events, "act.refused"]


@pytest.mark.parametrize("act", ["ask", "answer", "reopen"])
def test_an_act_that_needs_a_comment_names_it(cast: Cast, calling: Calling, act: str) -> None:
    ticket = operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))
    caller = calling("priya" if act == "ask" else "mia")
    if act == "answer":
        operations.ask_customer(ticket.pk, actor=cast.as_("priya"), note="Since when?")
    if act == "reopen":
        operations.close_ticket(ticket.pk, actor=cast.as_("mia"))
    response = caller.post(f"tickets/{ticket.pk}/{act}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "comment")


def test_a_help_desks_comment_on_a_waiting_ticket_is_the_answer(cast: Cast, calling: Calling) -> None:
    ticket = operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))
    operations.ask_customer(ticket.pk, actor=cast.as_("priya"), note="Since when?")
    desk = calling("contoso", Scope.TICKETS_READ, Scope.TICKETS_WRITE)
    response = desk.post(f"tickets/{ticket.pk}/comments", {"body": "Since Monday."})
    assert response.status_code == 201
    assert desk.get(response["Location"]).json() == response.json()
    assert desk.get(f"tickets/{ticket.pk}").json()["state"] == "ASSIGNED"


def test_an_internal_note_is_absent_for_the_customer(cast: Cast, calling: Calling) -> None:
    ticket = cast.ticket()
    note = calling("priya").post(f"tickets/{ticket.pk}/comments", {"body": "Ask Erik.", "is_internal": True}).json()
    assert ids(calling("erik").get(f"tickets/{ticket.pk}/comments")) == [note["id"]]
    for name in ("mia", "otto", "contoso"):
        caller = calling(name)
        assert ids(caller.get(f"tickets/{ticket.pk}/comments")) == []
        assert caller.get(f"tickets/{ticket.pk}/comments/{note['id']}").status_code == 404
    for name in ("mia", "contoso"):
        response = calling(name).post(f"tickets/{ticket.pk}/comments", {"body": "Psst.", "is_internal": True})
        assert response.status_code == 403
    assert TicketComment.objects.count() == 1


def test_a_comment_belongs_to_its_ticket(cast: Cast, calling: Calling) -> None:
    ticket, other = cast.ticket(), cast.ticket()
    row = operations.comment(ticket.pk, body="Still so.", actor=cast.as_("mia"))
    assert calling("mia").get(f"tickets/{other.pk}/comments/{row.pk}").status_code == 404


def test_closing_a_ticket_ends_what_was_asked_under_it(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    assert calling("contoso", Scope.TICKETS_WRITE).post(f"tickets/{row.ticket_id}/close").status_code == 200
    assert AccessRequest.objects.get(pk=row.pk).state == "WITHDRAWN"


@pytest.mark.parametrize("scope", [Scope.TICKETS_WRITE, Scope.TICKETS_READ])
def test_a_customers_client_works_no_ticket(cast: Cast, calling: Calling, scope: Scope) -> None:
    ticket = cast.ticket()
    desk = calling("contoso", scope)
    for act, body in (("assign", {"assignee": str(cast.priya.pk)}), ("ask", {"comment": "?"}), ("resolve", {})):
        assert desk.post(f"tickets/{ticket.pk}/{act}", body).status_code == 403
    assert Ticket.objects.get().state == "NEW"


def test_a_client_is_assigned_nothing_and_gives_tickets_to_engineers(cast: Cast, calling: Calling) -> None:
    ticket = cast.ticket()
    gateway = calling(None, Scope.TICKETS_WRITE)
    response = gateway.post(f"tickets/{ticket.pk}/assign")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "assignee")
    assert Ticket.objects.get().assignee is None
    found = gateway.post(f"tickets/{ticket.pk}/assign", {"assignee": str(cast.erik.pk)}).json()
    assert (found["state"], found["assignee"]["id"]) == ("ASSIGNED", str(cast.erik.pk))
