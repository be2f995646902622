"""People try to decide without the right, through each interface: pages, API, Azure's contract, operations.

Each test also asserts that nothing else happens: no decision, no window, no message, and at most one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import DomainError, TooMany
from requests_app.models import AccessRequest, Decision, Grant, Resource, Ticket, Token
from requests_app.operations import sweeps
from tests.acts.shared import by_azure
from tests.caller import Caller, token_of
from tests.cast import JUSTIFICATION, TRIED, Cast, events_of
from tests.factors import give_app
from tests.sources import ROOT, name_of, nodes_of
from tests.web.pages import answer, page_of, signed_in, snapshot

pytestmark = pytest.mark.django_db

VERDICTS = ("approve", "deny")


@dataclass
class Doors:
    """Approves and denies through each interface. Each method is one interface and returns its response."""

    cast: Cast
    secrets: dict[str, str] = field(default_factory=dict)

    def caller(self, name: str) -> Caller:
        if name not in self.secrets:
            self.secrets[name] = token_of(self.cast, name)
        return Caller(self.secrets[name])

    def page(self, name: str, row: AccessRequest, verdict: str) -> Any:
        return signed_in(self.cast, name).post(page_of(row, "decide", verdict), answer(row, verdict, comment="So."))

    def api(self, name: str, row: AccessRequest, verdict: str) -> Any:
        caller = self.caller(name)
        tag = caller.get(f"access-requests/{row.pk}").headers.get("ETag", '"none"')
        return caller.post(f"access-requests/{row.pk}/{verdict}", {"comment": "So."}, If_Match=tag)

    def azure(self, name: str, row: AccessRequest, verdict: str) -> Any:
        return by_azure(verdict.title(), "So.")(self.cast, self.caller(name), row)

    def room(self, name: str, row: AccessRequest, verdict: str) -> Any:
        """Call the operation directly, as a script of an operator does."""
        actor = self.cast.as_(name, door="command")
        try:
            getattr(operations, f"{verdict}_as_{actor.side}")(row.pk, actor=actor, note="So.")
        except DomainError as refusal:
            return refusal
        raise AssertionError("it was not refused")

    def all_refuse(
        self, name: str, pk: object, status: int, *, verdicts: tuple[str, ...] = VERDICTS, in_log: bool = True
    ) -> dict[str, Any]:
        """Assert that each interface refuses both verdicts with this status, and writes only an entry about this.

        Return the last response of each interface.
        """
        # Making a token writes an entry, so it comes before.
        self.caller(name)
        found = {}
        for verdict in verdicts:
            for door in (self.page, self.api, self.azure, self.room):
                where = (name, verdict, door.__name__)
                Token.objects.update(stepped_up_at=clock.now())
                row = AccessRequest.objects.get(pk=pk)
                before, last = snapshot(), AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first()
                found[door.__name__] = answered = door(name, row, verdict)
                code = answered.status if isinstance(answered, DomainError) else answered.status_code
                assert code == status, where
                after, new = snapshot(), AuditEntry.objects.filter(pk__gt=last)
                assert list(new.values_list("event", flat=True)) == (["act.refused"] if in_log else []), where
                assert after.pop("entries") - before.pop("entries") == int(in_log), where
                assert after == before, where
        return found


@pytest.fixture
def doors(cast: Cast) -> Doors:
    return Doors(cast)


def test_a_requester_or_earlier_decider_decides_nothing_with_any_account(cast: Cast, doors: Doors) -> None:
    """Cases 1 and 2 of the threat model: Bea has roles on both sides.

    Later, Pat is linked to Priya, and Alan to Bea.
    """
    doors.all_refuse("bea", cast.submitted(by="bea").pk, 403)
    stella = cast.as_("stella")
    cast.agreed(lambda: operations.link_accounts(cast.pat.pk, cast.priya.pk, actor=stella))
    doors.all_refuse("pat", cast.submitted(by="priya").pk, 403)
    cast.agreed(lambda: operations.link_accounts(cast.bea.pk, cast.alan.pk, actor=stella))
    row = operations.approve_as_provider(cast.submitted(by="erik").pk, actor=cast.as_("bea"))
    doors.all_refuse("alan", row.pk, 403)
    # Staff have no such act in the administration.
    staff = signed_in(cast, "stella")
    for verdict in VERDICTS:
        for side in ("customer", "provider"):
            path = reverse("admin:requests_app_accessrequest_act", args=[row.pk, f"{verdict}_as_{side}"])
            assert staff.post(path, {"note": "So."}).status_code == 404
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"


def test_the_second_one_learns_who_was_first_and_changes_nothing(cast: Cast, doors: Doors) -> None:
    """Cases 3 and 4 of the threat model."""
    row = cast.confirmed()
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    found = doors.all_refuse("alan", row.pk, 409)
    assert "Ada Test" in found["page"].content.decode()
    assert found["api"].json()["current"] == {"state": "OPEN", "decided_by": "Ada Test"}
    assert found["room"].current == {"state": "OPEN", "decided_by": "Ada Test"}
    assert found["azure"].json()["error"]["additionalInfo"][0]["info"] == {"currentStatus": "Approved"}
    assert Grant.objects.get().closed_at is None


def test_at_the_deadline_it_is_too_late_though_nothing_has_run(cast: Cast, doors: Doors, travel: Any) -> None:
    """Cases 5 and 6: no worker runs at the deadline. Later, a worker records the end once."""
    row, other = cast.confirmed(), cast.submitted(by="erik")
    travel.to(row.decide_by)
    doors.all_refuse("ada", row.pk, 409)
    travel.to(other.decide_by)
    doors.all_refuse("pat", other.pk, 409)
    for _ in range(2):
        sweeps.expire_overdue(actor=cast.system("expiry"), limit=10)
    assert [events_of(each).count("access_request.expired") for each in (row, other)] == [1, 1]


def test_without_the_role_it_is_refused_and_elsewhere_it_is_not_there(cast: Cast, doors: Doors, travel: Any) -> None:
    """Cases 7, 8 and 14: another role, another tenant, a role that was taken away, and a role that was given later."""
    row = cast.confirmed()
    for name in ("mia", "otto", "ines"):
        doors.all_refuse(name, row.pk, 403)
    for name in ("frida", "finn"):
        doors.all_refuse(name, row.pk, 404, in_log=False)
    doors.all_refuse("erik", cast.submitted(by="priya").pk, 403)
    doors.caller("ada")
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    doors.all_refuse("ada", row.pk, 403)
    travel.by(seconds=11 * 3600)
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="approver", actor=cast.as_("ines"))
    give_app(cast.mia)
    given = AuditEntry.objects.get(event="role.given")
    travel.by(seconds=60)
    row.refresh_from_db()
    assert doors.page("mia", row, "approve").status_code == 302
    decision = Decision.objects.get(stage="customer")
    assert (decision.decider, given.at + timedelta(seconds=60)) == (cast.mia, decision.at)


def test_an_access_request_with_changed_facts_is_not_approved(cast: Cast, doors: Doors) -> None:
    """Case 9: a resource is gone, the engineer is gone, or the ticket is closed."""
    row = cast.confirmed()
    Resource.objects.filter(pk=cast.resource().pk).update(is_active=False)
    found = doors.all_refuse("ada", row.pk, 409, verdicts=("approve",))
    assert "no longer available" in str(found["room"])
    assert found["api"].json()["code"] == "facts_changed"
    assert "no longer available" in found["page"].content.decode()
    Resource.objects.update(is_active=True)
    operations.take_queue_role(cast.exchange.pk, cast.priya.pk, role="engineer", actor=cast.as_("stella"))
    doors.all_refuse("ada", row.pk, 409)
    row = cast.confirmed(by="erik")
    operations.close_ticket(row.ticket_id, actor=cast.as_("mia"))
    doors.all_refuse("ada", row.pk, 409)


def test_neither_a_stranger_nor_a_session_alone_decides(cast: Cast, doors: Doors) -> None:
    """Cases 13 and 15: no proof of identity, an old proof, or no caller at all."""
    row = cast.confirmed()
    ada = doors.caller("ada")
    Token.objects.update(stepped_up_at=None)
    for verdict in VERDICTS:
        before, entries = snapshot(), AuditEntry.objects.count()
        away: Any = Browser().post(page_of(row, "decide", verdict), answer(row, verdict))
        assert (away.status_code, reverse("account_login") in away.url) == (302, True)
        for path in (f"/api/v1/access-requests/{row.pk}/{verdict}",):
            assert Browser().post(path, {}, content_type="application/json").status_code == 401
        assert by_azure(verdict.title(), "So.")(cast, Caller("none"), row).status_code == 401
        assert (snapshot(), AuditEntry.objects.count()) == (before, entries)
        # A cookie or a token alone does not prove who the person is.
        if verdict == "deny":
            # Denying needs no proof: tests/parity/test_proof.py.
            continue
        page = signed_in(cast, "ada", fresh=False)
        for form in (answer(row, password="", code=""), answer(row, password="guessed", code="000000")):
            assert page.post(page_of(row, "decide", verdict), form).status_code in (403, 422)
        tag = ada.get(f"access-requests/{row.pk}")["ETag"]
        refused = ada.post(f"access-requests/{row.pk}/{verdict}", {}, If_Match=tag)
        assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
        assert by_azure(verdict.title(), "So.")(cast, ada, row).status_code == 403
        with pytest.raises(DomainError, match="it is you"):
            getattr(operations, f"{verdict}_as_customer")(row.pk, actor=cast.as_("ada", fresh=False))
        after = snapshot()
        assert {**after, "entries": 0} == {**before, "entries": 0}
        assert set(events_of(row)[3:]) == {"act.refused"}


def test_each_interface_accepts_only_offered_window_lengths(cast: Cast, doors: Doors) -> None:
    """Case 11 of the threat model."""
    ticket, priya = cast.ticket(), doors.caller("priya")
    browser = signed_in(cast, "priya")
    before = snapshot()
    for length in (-1, 0, 1, 1_000_000_000, "NaN", "soon", "1e9", 28_800):
        assert browser.post(reverse("web:ask", args=[ticket.pk]), _ask_form(cast, length)).status_code == 422, length
        found = priya.post("access-requests", _body(cast, ticket, length))
        assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "window_seconds"), length
        with pytest.raises(DomainError) as refused:
            operations.submit(cast.ask(ticket, window_for=length), actor=cast.as_("priya"))
        assert refused.value.status == 422, length
    assert {**snapshot(), "entries": 0} == {**before, "entries": 0}


def test_each_interface_limits_the_number_of_access_requests(cast: Cast, doors: Doors) -> None:
    """Case 12 of the threat model."""
    ticket, priya = cast.ticket(), doors.caller("priya")
    for _ in range(limits.PENDING_MAX):
        cast.submitted(ticket=ticket)
    before = snapshot()
    assert signed_in(cast, "priya").post(reverse("web:ask", args=[ticket.pk]), _ask_form(cast)).status_code == 429
    found = priya.post("access-requests", _body(cast, ticket))
    assert (found.status_code, found.json()["code"]) == (429, "too_many")
    with pytest.raises(TooMany):
        operations.submit(cast.ask(ticket), actor=cast.as_("priya"))
    assert {**snapshot(), "entries": 0} == {**before, "entries": 0}


def _ask_form(cast: Cast, length: object = 7200) -> dict[str, Any]:
    """Return the fields of the page's form for asking for access."""
    return {
        "step": "submit",
        "resource_ids": [str(cast.resource().pk)],
        "level": "read",
        "window_for": str(length),
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def _body(cast: Cast, ticket: Ticket, length: object = 7200) -> dict[str, Any]:
    """Return the body of the API's call for asking for access."""
    return {
        "ticket": str(ticket.pk),
        "resources": [str(cast.resource().pk)],
        "level": "read",
        "window_seconds": length,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def test_no_command_and_no_task_decides() -> None:
    """Commands and workers act as the system, and the system can't decide."""
    root = ROOT / "requests_app"
    places = [*(root / "management" / "commands").glob("*.py"), root / "tasks.py", *(root / "work").rglob("*.py")]
    assert len(places) > 20
    acts = {f"{verdict}_as_{side}" for verdict in VERDICTS for side in ("provider", "customer")}
    found = {
        name_of(path): used
        for path in places
        if (used := acts & {getattr(node, "attr", "") or getattr(node, "id", "") for node in nodes_of(path)})
    }
    assert found == {}


def test_the_system_itself_never_approves(cast: Cast) -> None:
    row, act = cast.confirmed(), {"approve": operations.approve_as_customer, "deny": operations.deny_as_customer}
    decide: Callable[..., Any]
    for decide in act.values():
        with pytest.raises(DomainError):
            decide(row.pk, actor=cast.system("expiry"), note="So.")
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
