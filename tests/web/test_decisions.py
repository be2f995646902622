"""Decisions on pages, with their confirmation and receipt; also acts that are not decisions."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import TooMany
from requests_app.identity import verification
from requests_app.models import AccessRequest, Decision, Grant, Person
from tests.cast import Cast, events_of, outbox_topics
from tests.offenders import collected
from tests.web.pages import (
    answer,
    nothing_happens,
    only_a_refusal,
    page_of,
    queries_of,
    same_queries,
    signed_in,
    snapshot,
)

pytestmark = pytest.mark.django_db

FINAL = ["DENIED", "WITHDRAWN", "EXPIRED", "CLOSED"]
VERDICTS = ["approve", "deny"]


def decide(cast: Cast, name: str, row: AccessRequest, verdict: str, /, **fields: Any) -> Any:
    return signed_in(cast, name).post(page_of(row, "decide", verdict), answer(row, verdict, **fields))


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


# --- Approve and deny, at both stages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stage", "verdict", "state"),
    [
        ("pat", "PENDING_PROVIDER", "approve", "PENDING_CUSTOMER"),
        ("pat", "PENDING_PROVIDER", "deny", "DENIED"),
        ("ada", "PENDING_CUSTOMER", "approve", "OPEN"),
        ("ada", "PENDING_CUSTOMER", "deny", "DENIED"),
    ],
)
def test_a_decision_is_made_and_leads_to_its_receipt(
    cast: Cast, name: str, stage: str, verdict: str, state: str
) -> None:
    row = cast.in_state(stage)
    response = decide(cast, name, row, verdict, comment="I have read it.")
    assert response.status_code == 302
    assert response.url == page_of(row, "receipt")
    row.refresh_from_db()
    assert row.state == state
    decision = row.decisions.get(decider=cast.people[name])
    assert (decision.verdict, decision.comment, decision.door) == (verdict, "I have read it.", "pages")
    side = "provider" if name == "pat" else "customer"
    did = "approved" if verdict == "approve" else "denied"
    assert events_of(row)[-1] == f"access_request.{did}_by_{side}"
    receipt = signed_in(cast, name).get(response.url)
    assert receipt.status_code == 200
    assert row.reference in words(receipt)


def test_the_page_says_the_act_in_one_sentence_and_repeats_it_on_the_button(cast: Cast) -> None:
    row = cast.confirmed()
    page = words(signed_in(cast, "ada", fresh=False).get(page_of(row, "decide", "approve")))
    assert "</bdi> can then <bdi" in page
    assert "read messages in 1 mailbox (finance@contoso.example)" in page
    assert "Approve 2 hours of read access to 1 mailbox" in page
    assert f'value="{row.content_digest}"' in page
    assert 'autocomplete="current-password"' in page
    assert page_of(row) in page
    page = words(signed_in(cast, "ada").get(page_of(row, "decide", "deny")))
    assert "Deny this access request" in page


def test_the_providers_people_read_the_short_name_of_a_customer_too(cast: Cast) -> None:
    """Another tenant can have a name that looks the same, for example with Cyrillic letters."""
    row = cast.submitted()
    imitation = "C\N{CYRILLIC SMALL LETTER O}ntoso"
    operations.create_tenant(name=imitation, slug="c0ntoso", plan_id=cast.contoso.plan_id, actor=cast.as_("stella"))
    pat, priya = signed_in(cast, "pat"), signed_in(cast, "priya")
    pages = [
        pat.get(reverse("web:home")),
        pat.get(reverse("web:access_request", args=[row.pk])),
        pat.get(reverse("web:decide", args=[row.pk, "approve"])),
        priya.get(reverse("web:access_request", args=[row.pk])),
        priya.get(reverse("web:ticket", args=[row.ticket_id])),
        priya.get(reverse("web:ask", args=[row.ticket_id])),
    ]
    assert [page.status_code for page in pages] == [200] * len(pages)
    assert ['<span class="hint mono">contoso</span>' in page.content.decode() for page in pages] == [True] * len(pages)
    choice = priya.get(reverse("web:ticket_new")).content.decode()
    for slug in ("contoso", "c0ntoso"):
        assert f'<span class="hint mono">{slug}</span>' in choice


def test_the_first_approval_says_who_is_asked_next(cast: Cast) -> None:
    page = words(signed_in(cast, "pat").get(page_of(cast.submitted(), "decide", "approve")))
    assert "is asked next, and no window opens without the approval of" in page
    page = words(signed_in(cast, "pat").get(page_of(cast.submitted("northwind"), "decide", "approve")))
    assert "is not asked" in page


# --- Reading decides nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "options"])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_reading_decides_nothing(cast: Cast, method: str, verdict: str) -> None:
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    with nothing_happens():
        getattr(client, method)(page_of(row, "decide", verdict), answer(row, verdict))


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_not_answered(cast: Cast, method: str) -> None:
    row = cast.confirmed()
    with nothing_happens():
        assert getattr(signed_in(cast, "ada"), method)(page_of(row, "decide", "approve")).status_code == 405


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("action", ["withdraw", "release", "revoke"])
def test_reading_acts_on_nothing(cast: Cast, method: str, action: str) -> None:
    row = cast.opened().access_request
    client = signed_in(cast, "priya")
    with only_a_refusal() if action == "revoke" else nothing_happens():
        getattr(client, method)(page_of(row, "access_request_act", action))


def test_a_form_of_another_site_is_refused(cast: Cast) -> None:
    row = cast.confirmed()
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ada)
    with nothing_happens():
        assert client.post(page_of(row, "decide", "approve"), answer(row)).status_code == 403
        assert client.post(page_of(row, "access_request_act", "revoke")).status_code == 403


def test_a_stranger_signs_in_first(cast: Cast, client: Any) -> None:
    row = cast.confirmed()
    with nothing_happens():
        response = client.post(page_of(row, "decide", "approve"), answer(row))
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


# --- People who can't decide -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("outsider", ["frida", "fred", "samir"])
def test_an_outsider_finds_nothing(cast: Cast, outsider: str, verdict: str) -> None:
    row = cast.confirmed()
    with nothing_happens():
        found = decide(cast, outsider, row, verdict)
        absent = signed_in(cast, outsider).post(
            reverse("web:decide", args=[uuid.uuid4(), verdict]), answer(row, verdict)
        )
        read = signed_in(cast, outsider).get(page_of(row, "decide", verdict))
    assert found.status_code == absent.status_code == read.status_code == 404


def test_a_wrong_role_is_refused_and_the_log_says_so(cast: Cast) -> None:
    row = cast.confirmed()
    with collected() as case:
        for name in ["mia", "otto", "ines", "erik", "priya", "stella"]:
            for verdict in VERDICTS:
                with case(name, verdict):
                    with only_a_refusal():
                        assert decide(cast, name, row, verdict).status_code == 403
                    with nothing_happens():
                        assert signed_in(cast, name).get(page_of(row, "decide", verdict)).status_code == 403


@pytest.mark.parametrize(
    ("name", "page", "text"),
    [
        ("mia", ("decide", "approve"), "approve_as_customer not_allowed"),
        ("stella", ("decide", "deny"), "deny_as_provider not_allowed"),
        ("mia", ("live",), "watch not_allowed"),
        ("otto", ("access_request_act", "revoke"), "revoke not_allowed"),
    ],
)
def test_a_refused_access_is_in_the_log_once_a_minute(
    cast: Cast, travel: Any, name: str, page: tuple[str, ...], text: str
) -> None:
    travel.freeze()
    row = cast.confirmed()
    client = signed_in(cast, name)
    for _ in range(2):
        with only_a_refusal():
            assert client.get(page_of(row, *page)).status_code == 403
        assert AuditEntry.objects.order_by("-pk")[0].text == text
        with nothing_happens():
            for _ in range(5):
                assert client.get(page_of(row, *page)).status_code == 403
        travel.by(minutes=1)


def test_only_the_same_refusal_of_the_same_person_on_the_same_row_is_left_out(cast: Cast) -> None:
    first, second = cast.confirmed(), cast.confirmed()
    for name, row, verdict in (("mia", first, "approve"), ("mia", first, "deny"), ("mia", second, "deny")):
        with only_a_refusal():
            signed_in(cast, name).get(page_of(row, "decide", verdict))
    with only_a_refusal():
        signed_in(cast, "otto").get(page_of(first, "decide", "approve"))
    with nothing_happens():
        signed_in(cast, "mia").get(page_of(first, "decide", "approve"))


def test_a_refusal_that_cannot_be_written_is_a_failing_store(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = cast.confirmed()

    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(recorder, "record", fail)
    with nothing_happens():
        assert signed_in(cast, "mia").get(page_of(row, "live")).status_code == 503
        assert decide(cast, "ada", row, "approve", digest="0" * 64).status_code == 503


def test_a_wrong_role_learns_no_state(cast: Cast) -> None:
    answers = {decide(cast, "mia", cast.in_state(state), "approve").status_code for state in (*FINAL, "OPEN")}
    assert answers == {403}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_nobody_decides_on_what_they_asked_for(cast: Cast, verdict: str) -> None:
    row = cast.submitted(by="bea")
    with only_a_refusal():
        response = decide(cast, "bea", row, verdict, comment="Mine.")
    assert response.status_code == 403
    assert "can’t decide on it" in words(response)


def test_a_role_that_was_taken_away_while_the_page_was_open(cast: Cast) -> None:
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    assert client.get(page_of(row, "decide", "approve")).status_code == 200
    cast.ada.memberships.filter(role="approver").delete()
    with only_a_refusal():
        assert client.post(page_of(row, "decide", "approve"), answer(row)).status_code == 403


# --- The password ------------------------------------------------------------------------------------------------


def test_a_wrong_password_decides_nothing_and_keeps_the_comment(cast: Cast) -> None:
    row = cast.confirmed()
    with only_a_refusal():
        response = decide(cast, "ada", row, "approve", password="not hers at all", comment="Please be quick.")
    assert response.status_code == 403
    page = words(response)
    assert "The password or the code is not right. Nothing was decided." in page
    assert "Please be quick." in page
    assert "not hers at all" not in page
    assert AuditEntry.objects.order_by("-pk")[0].text == "approve_as_customer step_up_required"


def test_a_refused_confirmation_says_so_in_the_title_and_takes_the_focus(cast: Cast) -> None:
    row = cast.confirmed()
    client = signed_in(cast, "ada", fresh=False)
    before = words(client.get(page_of(row, "decide", "approve")))
    assert "<title>Confirm your" in before
    assert "autofocus" not in before
    refused = words(client.post(page_of(row, "decide", "approve"), answer(row, password="wrong")))
    assert "<title>Error: Confirm your" in refused
    assert refused.count(" autofocus>") == 1
    assert 'role="alert" tabindex="-1" autofocus>' in refused


def test_a_missing_password_is_asked_for(cast: Cast) -> None:
    row = cast.confirmed()
    with nothing_happens():
        response = decide(cast, "ada", row, "approve", password="", comment="Please be quick.")
    assert response.status_code == 422
    assert "Enter your password." in words(response)
    assert "Please be quick." in words(response)


def test_the_sixth_try_within_five_minutes_is_not_even_checked(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    for _ in range(5):
        assert client.post(page_of(row, "decide", "approve"), answer(row, password="wrong")).status_code == 403
    with only_a_refusal():
        response = client.post(page_of(row, "decide", "approve"), answer(row))
    assert response.status_code == 429
    assert response["Retry-After"] == "300"


@pytest.mark.parametrize("forgotten", [True, False])
def test_the_limit_holds_in_every_process(cast: Cast, forgotten: bool) -> None:
    """The database counts the tries, so the limit is the same in every process and for every tenant."""
    row, other = cast.confirmed(), cast.confirmed("fabrikam")
    cast.fabrikam.memberships.create(person=cast.ada, role="approver", given_at=cast.fabrikam.created_at)
    client = signed_in(cast, "ada")
    for _ in range(5):
        client.post(page_of(row, "decide", "approve"), answer(row, password="wrong"))
    if forgotten:
        cache.clear()
    target = row if forgotten else other
    with only_a_refusal():
        assert client.post(page_of(target, "decide", "approve"), answer(target)).status_code == 429


def test_a_right_password_is_no_try(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    for _ in range(7):
        row = cast.confirmed()
        assert client.post(page_of(row, "decide", "approve"), answer(row)).status_code == 302


def test_the_limit_is_one_persons_own_and_ends(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.confirmed()
    for _ in range(5):
        decide(cast, "ada", row, "approve", password="wrong")
    assert decide(cast, "ada", row, "approve").status_code == 429
    assert decide(cast, "alan", row, "approve", password="wrong").status_code == 403
    travel.by(minutes=5, seconds=1)
    assert decide(cast, "ada", row, "approve").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_simultaneous_tries_are_counted_before_they_are_checked(cast: Cast, monkeypatch) -> None:
    checked: list[str] = []
    gate = threading.Barrier(20)

    def check(person: Person, raw: str) -> bool:
        checked.append(raw)
        return False

    monkeypatch.setattr(Person, "check_password", check)

    def attempt() -> None:
        gate.wait()
        try:
            with contextlib.suppress(TooMany):
                verification.is_this_person(cast.ada, "wrong", "")
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(checked) == 5


def test_a_session_alone_decides_nothing(cast: Cast) -> None:
    """A thief of the cookie knows neither the password nor the code."""
    row = cast.confirmed()
    client = signed_in(cast, "ada", fresh=False)
    before = snapshot()
    for missing in ({"password"}, {"code"}, {"password", "code"}):
        without = {name: value for name, value in answer(row).items() if name not in missing}
        assert client.post(page_of(row, "decide", "approve"), without).status_code == 422
    assert {**snapshot(), "entries": before["entries"]} == before


# --- The form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        {"state": "OPEN"},
        {"tenant": "fabrikam"},
        {"approved_by": "alan"},
        {"closes_at": "2099-01-01"},
        {"verdict": "deny"},
        {"note": "x"},
    ],
)
def test_a_field_that_the_form_does_not_have_is_refused(cast: Cast, extra: dict[str, str]) -> None:
    row = cast.confirmed()
    with nothing_happens():
        assert decide(cast, "ada", row, "approve", **extra).status_code == 400
        url = page_of(row, "access_request_act", "withdraw")
        assert signed_in(cast, "priya").post(url, extra).status_code == 400


@pytest.mark.parametrize("missing", ["digest", "shown"])
def test_without_what_was_shown_nothing_is_decided(cast: Cast, missing: str) -> None:
    row = cast.confirmed()
    sent = answer(row)
    del sent[missing]
    with nothing_happens():
        assert signed_in(cast, "ada").post(page_of(row, "decide", "approve"), sent).status_code == 400


@pytest.mark.parametrize("stale", [{"digest": "0" * 64}, {"shown": "PENDING_PROVIDER"}])
def test_the_decided_content_must_be_the_shown_one(cast: Cast, stale: dict[str, str]) -> None:
    row = cast.confirmed()
    with only_a_refusal():
        response = decide(cast, "ada", row, "approve", **stale)
    assert response.status_code == 409
    assert "The access request has changed since you opened this page" in words(response)
    assert page_of(row) in words(response)


def test_a_denial_of_the_provider_needs_a_reason(cast: Cast) -> None:
    row = cast.submitted()
    for comment in ("", "   \n"):
        with nothing_happens():
            response = decide(cast, "pat", row, "deny", comment=comment)
        assert response.status_code == 422
        assert "A denial needs a reason" in words(response)


def test_a_denial_of_the_customer_needs_no_reason(cast: Cast) -> None:
    assert decide(cast, "ada", cast.confirmed(), "deny").status_code == 302


def test_a_comment_has_its_bound(cast: Cast) -> None:
    row = cast.confirmed()
    with nothing_happens():
        assert decide(cast, "ada", row, "approve", comment="x" * 2001).status_code == 422
    assert decide(cast, "ada", row, "approve", comment="x" * 2000).status_code == 302


def test_a_comment_that_cannot_be_stored_is_refused_beside_its_field(cast: Cast) -> None:
    row = cast.confirmed()
    response = decide(cast, "ada", row, "approve", comment="bell \x07")
    assert response.status_code == 422
    assert "characters that cannot be stored" in words(response)
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"


# --- Another person was faster -----------------------------------------------------------------------------------


@pytest.mark.parametrize("winner", ["approve_as_customer", "deny_as_customer"])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_loser_sees_the_winner(cast: Cast, winner: str, verdict: str) -> None:
    row = cast.confirmed()
    getattr(operations, winner)(row.pk, actor=cast.as_("alan"), note="I was faster.")
    with only_a_refusal():
        response = decide(cast, "ada", row, verdict)
    assert response.status_code == 409
    page = words(response)
    assert "Alan Test" in page
    assert "I was faster." in page
    assert ("approved" if winner.startswith("approve") else "denied") in page
    with nothing_happens():
        assert signed_in(cast, "ada").get(page_of(row, "decide", verdict)).status_code == 409


def test_the_second_click_of_two_leads_to_the_same_receipt(cast: Cast) -> None:
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    first = client.post(page_of(row, "decide", "approve"), answer(row))
    with nothing_happens():
        second = client.post(page_of(row, "decide", "approve"), answer(row))
        again = client.get(page_of(row, "decide", "approve"))
    assert first.url == second.url == again.url == page_of(row, "receipt")


def test_the_second_click_while_the_first_is_under_way(cast: Cast, monkeypatch) -> None:
    """The second click's page reads the row before the first decision, and makes its own decision after it."""
    from requests_app.doors.web import decisions

    row, plain = cast.confirmed(), decisions.act_of

    def late(*args: Any) -> Any:
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
        return plain(*args)

    monkeypatch.setattr(decisions, "act_of", late)
    response = decide(cast, "ada", row, "approve")
    assert response.status_code == 302
    assert response.url == page_of(row, "receipt")
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
    assert Grant.objects.filter(access_request=row).count() == 1


def test_an_approval_and_then_a_denial_of_the_same_person_is_a_conflict(cast: Cast) -> None:
    row = cast.confirmed()
    assert decide(cast, "ada", row, "approve").status_code == 302
    with only_a_refusal():
        response = decide(cast, "ada", row, "deny")
    assert response.status_code == 409
    assert "You have approved this access request already." in words(response)
    assert "Close now" in words(response)
    assert "faster" not in words(response)


# --- Too late, or too early --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING_PROVIDER", "This access request still waits for Microsoft. You can answer after Microsoft has"),
        ("DENIED", "Pat Test denied this access request. Nothing was opened."),
        ("EXPIRED", "The deadline has passed. Nobody answered in time, so nothing was opened."),
        ("WITHDRAWN", "This access request was withdrawn. Nothing was opened."),
        ("OPEN", "Ada Test was faster and approved this access request. The window is open."),
        ("CLOSED", "Ada Test was faster and approved this access request. The window is closed by now."),
    ],
)
def test_the_conflict_page_shows_the_state_and_who_was_really_faster(cast: Cast, state: str, expected: str) -> None:
    row = cast.in_state(state)
    found = words(signed_in(cast, "alan").get(page_of(row, "decide", "approve")))
    assert expected in found
    assert ("faster" in found) == ("faster" in expected)
    title = "You can’t answer this yet" if state == "PENDING_PROVIDER" else "This has changed in the meantime"
    assert title in found
    with only_a_refusal():
        assert expected in words(decide(cast, "alan", row, "approve", shown="PENDING_CUSTOMER"))


def test_a_denial_by_a_mute_names_who_denied_it(cast: Cast) -> None:
    row = cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    found = words(decide(cast, "alan", row, "approve"))
    assert "Ada Test was faster and denied this access request." in found


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING_CUSTOMER", "waits for Contoso now"),
        ("DENIED", "Pat Test denied this access request."),
        ("CLOSED", "Priya Test closed the window early."),
    ],
)
def test_a_window_that_can_not_be_closed_says_why(cast: Cast, state: str, expected: str) -> None:
    row = cast.in_state(state)
    found = words(signed_in(cast, "ada").post(page_of(row, "access_request_act", "revoke")))
    assert expected in found
    assert "faster" not in found


@pytest.mark.parametrize(("name", "state", "action"), [("ada", "OPEN", "revoke"), ("priya", "OPEN", "release")])
def test_the_second_press_of_two_ends_where_the_first_did(cast: Cast, name: str, state: str, action: str) -> None:
    row = cast.in_state(state)
    client, page = signed_in(cast, name, fresh=False), page_of(row, "access_request_act", action)
    first = client.post(page)
    with nothing_happens():
        second = client.post(page)
        again = client.get(page)
    assert (first.status_code, second.status_code, again.status_code) == (302, 302, 302)
    assert first.url == second.url == again.url == page_of(row)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("state", [*FINAL, "OPEN"])
def test_an_ended_access_request_cannot_be_decided(cast: Cast, state: str, verdict: str) -> None:
    row = cast.in_state(state)
    with only_a_refusal():
        response = decide(cast, "alan", row, verdict, shown="PENDING_CUSTOMER")
    assert response.status_code == 409


@pytest.mark.parametrize("verdict", VERDICTS)
def test_at_the_deadline_it_is_too_late_though_no_sweep_has_run(cast: Cast, travel, verdict: str) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.to(row.decide_by)
    with only_a_refusal():
        response = decide(cast, "ada", row, verdict)
    assert response.status_code == 409
    assert "The deadline has passed" in words(response)
    assert not Grant.objects.filter(access_request=row).exists()


def test_a_closed_ticket_is_a_changed_fact(cast: Cast) -> None:
    row = cast.confirmed()
    operations.close_ticket(row.ticket_id, actor=cast.as_("mia"))
    with only_a_refusal():
        response = decide(cast, "ada", row, "approve")
    assert response.status_code == 409
    assert "because of what Mia Test did" in words(response)


def test_an_engineer_who_left_the_queue_is_a_changed_fact(cast: Cast) -> None:
    row = cast.confirmed()
    cast.priya.queue_assignments.all().delete()
    with only_a_refusal():
        response = decide(cast, "ada", row, "approve")
    assert response.status_code == 409
    assert "is no longer an engineer of this service" in words(response)
    assert decide(cast, "ada", row, "deny").status_code == 302


# --- The receipt -------------------------------------------------------------------------------------------------


def test_the_receipt_names_the_entry_the_next_step_and_who_got_a_mail(cast: Cast) -> None:
    row = cast.confirmed()
    decide(cast, "ada", row, "approve", comment="For the audit.")
    entry = AuditEntry.objects.get(correlation_id=row.pk, event="access_request.approved_by_customer")
    page = words(signed_in(cast, "ada").get(page_of(row, "receipt")))
    assert "Your approval is recorded" in page
    assert f"entry {entry.seq} of the log of" in page
    assert bytes(entry.leaf_hash).hex() in page
    assert row.content_digest in page
    assert "For the audit." in page
    assert row.grant.closes_at.isoformat() in page
    assert "who asked" in page
    assert page_of(row, "access_request_act", "revoke") in page
    assert "notify.window_opened" in outbox_topics(row)


def test_colleagues_see_the_receipt_but_not_as_theirs(cast: Cast) -> None:
    row = cast.confirmed()
    decide(cast, "ada", row, "deny")
    page = words(signed_in(cast, "otto").get(page_of(row, "receipt")))
    assert "The denial is recorded" in page
    assert "Nothing is opened." in page


def test_each_side_has_its_own_receipt(cast: Cast) -> None:
    row = cast.submitted()
    assert signed_in(cast, "pat").get(page_of(row, "receipt")).status_code == 404
    decide(cast, "pat", row, "approve")
    page = words(signed_in(cast, "pat").get(page_of(row, "receipt")))
    assert "has been asked to decide." in page
    assert "the approvers of Contoso" in page
    assert "Priya Test, who asked" not in page
    assert signed_in(cast, "ada").get(page_of(row, "receipt")).status_code == 404


def test_a_receipt_shows_the_present_state(cast: Cast) -> None:
    row = cast.confirmed()
    decide(cast, "ada", row, "approve")
    operations.revoke(row.pk, actor=cast.as_("alan"))
    page = words(signed_in(cast, "ada").get(page_of(row, "receipt")))
    assert "Nothing was opened or listed. Closed early" in page
    assert page_of(row, "access_request_act", "revoke") not in page


# --- Withdraw, release, revoke -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state", "action", "after", "event"),
    [
        ("priya", "PENDING_PROVIDER", "withdraw", "WITHDRAWN", "access_request.withdrawn"),
        ("priya", "PENDING_CUSTOMER", "withdraw", "WITHDRAWN", "access_request.withdrawn"),
        ("priya", "OPEN", "release", "CLOSED", "grant.released"),
        ("ada", "OPEN", "revoke", "CLOSED", "grant.revoked"),
        ("alan", "OPEN", "revoke", "CLOSED", "grant.revoked"),
        ("pat", "OPEN", "revoke", "CLOSED", "grant.revoked"),
        ("stella", "OPEN", "revoke", "CLOSED", "grant.revoked"),
    ],
)
def test_one_press_acts(cast: Cast, name: str, state: str, action: str, after: str, event: str) -> None:
    row = cast.in_state(state)
    client = signed_in(cast, name)
    page = client.get(page_of(row, "access_request_act", action))
    assert page.status_code == 200
    response = client.post(page_of(row, "access_request_act", action))
    assert response.status_code == 302
    assert response.url == page_of(row)
    row.refresh_from_db()
    assert row.state == after
    assert events_of(row)[-1] == event
    assert client.get(response.url).status_code == 200


def test_a_comment_goes_into_the_log(cast: Cast) -> None:
    row = cast.in_state("OPEN")
    signed_in(cast, "ada").post(page_of(row, "access_request_act", "revoke"), {"comment": "That is enough."})
    assert b"That is enough." in bytes(AuditEntry.objects.get(event="grant.revoked").canonical)


@pytest.mark.parametrize(
    ("name", "state", "action"),
    [
        ("mia", "OPEN", "revoke"),
        ("otto", "OPEN", "revoke"),
        ("ines", "OPEN", "revoke"),
        ("priya", "OPEN", "revoke"),
        ("erik", "OPEN", "release"),
        ("ada", "OPEN", "release"),
        ("pat", "OPEN", "release"),
        ("erik", "PENDING_PROVIDER", "withdraw"),
        ("ada", "PENDING_CUSTOMER", "withdraw"),
        ("stella", "PENDING_CUSTOMER", "withdraw"),
    ],
)
def test_a_wrong_role_acts_on_nothing(cast: Cast, name: str, state: str, action: str) -> None:
    row = cast.in_state(state)
    client = signed_in(cast, name)
    with only_a_refusal():
        assert client.get(page_of(row, "access_request_act", action)).status_code == 403
    with only_a_refusal():
        assert client.post(page_of(row, "access_request_act", action)).status_code == 403


@pytest.mark.parametrize("action", ["withdraw", "release", "revoke"])
def test_an_outsider_acts_on_nothing(cast: Cast, action: str) -> None:
    row = cast.in_state("OPEN")
    with nothing_happens():
        for outsider in ("frida", "samir"):
            client = signed_in(cast, outsider)
            assert client.post(page_of(row, "access_request_act", action)).status_code == 404
            assert client.get(page_of(row, "access_request_act", action)).status_code == 404


def test_an_unknown_act_is_not_found(cast: Cast) -> None:
    row = cast.in_state("OPEN")
    for url in ("expire/", "close/", "submit/", "decide/maybe/", "decide/"):
        assert signed_in(cast, "ada").post(page_of(row) + url).status_code == 404


def test_the_second_person_to_close_reads_who_was_first(cast: Cast) -> None:
    row = cast.in_state("OPEN")
    operations.revoke(row.pk, actor=cast.as_("alan"), note="Closed by me.")
    with only_a_refusal():
        response = signed_in(cast, "pat").post(page_of(row, "access_request_act", "revoke"))
    assert response.status_code == 409
    assert "Alan Test" in words(response)
    assert "Closed by me." in words(response)


def test_closing_after_the_end_is_too_late_and_says_so(cast: Cast, travel) -> None:
    travel.freeze()
    grant = cast.opened(window_for=1800)
    travel.to(grant.closes_at)
    response = signed_in(cast, "ada").post(page_of(grant.access_request, "access_request_act", "revoke"))
    assert response.status_code == 409
    assert "The window has closed as planned." in words(response)


def test_withdrawing_what_has_been_decided_is_too_late(cast: Cast) -> None:
    row = cast.in_state("DENIED")
    with only_a_refusal():
        response = signed_in(cast, "priya").post(page_of(row, "access_request_act", "withdraw"))
    assert response.status_code == 409
    with nothing_happens():
        assert signed_in(cast, "priya").get(page_of(row, "access_request_act", "withdraw")).status_code == 409


# --- Many access requests ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_confirming_costs_the_same_with_much_history(cast: Cast) -> None:
    for _ in range(2):
        operations.release(cast.opened().access_request_id, actor=cast.as_("priya"))
    row = cast.confirmed()
    client = signed_in(cast, "ada")

    def grow() -> None:
        for _ in range(3):
            operations.release(cast.opened(by="erik").access_request_id, actor=cast.as_("erik"))

    same_queries(lambda: queries_of(client, page_of(row, "decide", "approve")), grow)
    same_queries(lambda: queries_of(client, page_of(row)), grow)
