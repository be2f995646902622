"""Denying all pending access requests and muting is one act, which uses the transitions of the table."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    FactsChanged,
    MachineMayNotDecide,
    Muted,
    NotAllowed,
    NotFound,
    StepUpRequired,
    Unacceptable,
    WrongState,
)
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Client, Decision, Mute, OutboxMessage, Service
from requests_app.models.people import actor_of_token
from tests.cast import Cast, events_in, events_of

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def mute(
    cast: Cast, engineer: str | None = "priya", *, by: str | Actor = "ada", hours: int = 4, note: str = ""
) -> Mute:
    engineer_id = cast.people[engineer].pk if engineer else None
    actor = cast.as_(by) if isinstance(by, str) else by
    return operations.deny_all_and_mute(cast.contoso.pk, engineer_id=engineer_id, hours=hours, note=note, actor=actor)


def machine(cast: Cast, **allowed: Any) -> Actor:
    made = operations.create_client(
        tenant_id=cast.contoso.pk, name="Desk", scopes=["decisions:write"], actor=cast.as_("ines"), **allowed
    )
    row = operations.issue_access_token(Client.objects.get(pk=made.row.pk), scopes=[Scope.DECISIONS_WRITE]).row
    return actor_of_token(type(row).objects.select_related("account__client").get(pk=row.pk))


def states(rows: list[AccessRequest]) -> list[str]:
    return [AccessRequest.objects.get(pk=row.pk).state for row in rows]


def test_every_pending_access_request_is_denied_by_its_own_decision(cast: Cast) -> None:
    rows = [cast.confirmed() for _ in range(3)]
    at_the_provider, open_window = cast.submitted(), cast.opened().access_request
    row = mute(cast, note="Nobody asked you to.")
    assert states(rows) == ["DENIED"] * 3
    assert states([at_the_provider, open_window]) == ["PENDING_PROVIDER", "OPEN"]
    assert [events_of(one)[-1] for one in rows] == ["access_request.denied_by_customer"] * 3
    decisions = [
        (d.decider_id, d.comment, d.is_signed) for d in Decision.objects.filter(stage="customer", verdict="deny")
    ]
    assert decisions == [(cast.ada.pk, "Nobody asked you to.", False)] * 3
    assert events_in(cast.contoso)[-4:] == ["access_request.denied_by_customer"] * 3 + ["mute.set"]
    detail = json.loads(bytes(AuditEntry.objects.get(event="mute.set").canonical))["detail"]
    assert (detail["n"], detail["engineer_name"]) == (3, "Priya Test")
    assert sorted(detail["denied"]) == sorted(one.reference for one in rows)
    entries = AuditEntry.objects.filter(event="access_request.denied_by_customer")
    assert {json.loads(bytes(e.canonical))["detail"]["mute"] for e in entries} == {str(row.pk)}
    assert (row.denied, row.until_at - row.set_at) == (3, 4 * HOUR)


def test_the_customers_people_get_one_mail_and_the_engineer_one_each(cast: Cast) -> None:
    for _ in range(3):
        cast.confirmed()
    before = set(OutboxMessage.objects.values_list("pk", flat=True))
    mute(cast)
    messages = OutboxMessage.objects.exclude(pk__in=before)
    by_topic = sorted((m.topic, tuple(m.payload["audiences"])) for m in messages)
    ended = ("notify.access_request_ended", ("engineer", "provider_approvers"))
    assert by_topic == [ended] * 3 + [("notify.mute", ("customer",))]


def test_no_access_request_of_a_muted_engineer_reaches_the_customer_until_the_end(cast: Cast, travel: Any) -> None:
    travel.freeze()
    waiting, ticket = cast.submitted(), cast.ticket()
    row = mute(cast)
    before = events_in(cast.contoso)
    travel.to(row.until_at - dt.timedelta(microseconds=1))
    with pytest.raises(Muted) as refused:
        cast.submitted(ticket=ticket)
    assert refused.value.status == 429
    assert refused.value.current == {"until_at": canonical.instant(row.until_at)}
    assert str(refused.value).startswith("Contoso accepts no access requests from Priya Test until ")
    with pytest.raises(FactsChanged):
        operations.approve_as_provider(waiting.pk, actor=cast.as_("pat"))
    assert events_in(cast.contoso) == [*before, "act.refused", "act.refused"]
    assert AccessRequest.objects.count() == 1
    assert Decision.objects.count() == 0
    travel.to(row.until_at)
    assert cast.submitted(ticket=ticket).state == "PENDING_PROVIDER"


def test_another_account_of_the_same_human_is_muted_too_and_another_human_is_not(cast: Cast) -> None:
    others = cast.confirmed(by="erik")
    cast.confirmed()
    mute(cast)
    assert states([others]) == ["PENDING_CUSTOMER"]
    assert cast.submitted(by="erik").state == "PENDING_PROVIDER"
    cast.agreed(lambda: operations.link_accounts(cast.erik.pk, cast.priya.pk, actor=cast.as_("stella")))
    with pytest.raises(Muted):
        cast.submitted(by="erik")


def test_everybody_can_be_muted_at_once(cast: Cast) -> None:
    rows = [cast.confirmed(), cast.confirmed(by="erik")]
    elsewhere = cast.confirmed(tenant="fabrikam")
    row = mute(cast, None)
    assert (states(rows), row.denied) == (["DENIED"] * 2, 2)
    assert states([elsewhere]) == ["PENDING_CUSTOMER"]
    for name in ("priya", "erik"):
        with pytest.raises(Muted):
            cast.submitted(by=name)


def test_if_the_customer_is_not_asked_a_mute_has_no_effect(cast: Cast) -> None:
    cast.confirmed()
    mute(cast)
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert operations.approve_as_provider(cast.submitted().pk, actor=cast.as_("pat")).state == "OPEN"


def test_an_approver_lifts_it_and_a_new_one_takes_the_place_of_the_old(cast: Cast) -> None:
    cast.confirmed()
    first = mute(cast, hours=24)
    second = mute(cast, hours=1, by="alan")
    detail = json.loads(bytes(AuditEntry.objects.filter(event="mute.set").latest("seq").canonical))["detail"]
    assert detail["replaces"] == [str(first.pk)]
    with pytest.raises(WrongState):
        operations.lift_mute(first.pk, actor=cast.as_("ada"))
    lifted = operations.lift_mute(second.pk, actor=cast.as_("ada"))
    assert lifted.lifted_at is not None
    assert events_in(cast.contoso)[-2:] == ["act.refused", "mute.lifted"]
    assert cast.submitted().state == "PENDING_PROVIDER"
    with pytest.raises(WrongState):
        operations.lift_mute(second.pk, actor=cast.as_("ada"))


@pytest.mark.parametrize("name", ["mia", "otto", "ines", "priya", "pat", "stella"])
def test_only_an_approver_denies_all_or_lifts(cast: Cast, name: str) -> None:
    row = cast.confirmed()
    live = mute(cast, "priya") if name == "mia" else None
    before = Mute.objects.count()
    with pytest.raises((NotAllowed, NotFound)):
        mute(cast, by=name)
    if live is not None:
        with pytest.raises(NotAllowed):
            operations.lift_mute(live.pk, actor=cast.as_(name))
        assert Mute.objects.get().lifted_at is None
    assert Mute.objects.count() == before
    assert states([row]) == ["DENIED" if live else "PENDING_CUSTOMER"]


def test_an_approver_of_another_tenant_finds_nothing(cast: Cast) -> None:
    row = cast.confirmed()
    with pytest.raises(NotFound):
        mute(cast, by="frida")
    assert states([row]) == ["PENDING_CUSTOMER"]
    live = mute(cast)
    with pytest.raises(NotFound):
        operations.lift_mute(live.pk, actor=cast.as_("frida"))
    assert Mute.objects.get().lifted_at is None


def test_lifting_one_needs_fresh_proof_and_setting_one_does_not(cast: Cast) -> None:
    row, stale = cast.confirmed(), cast.as_("ada").stepped_up(None)
    live = mute(cast, by=stale)
    assert states([row]) == ["DENIED"]
    with pytest.raises(StepUpRequired):
        operations.lift_mute(live.pk, actor=stale)
    assert Mute.objects.get().lifted_at is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": 25}, "hours"),
        ({"hours": True}, "hours"),
        ({"hours": "4"}, "hours"),
        ({"engineer_id": "of nobody who asked"}, "engineer"),
        ({"note": "x" * 2001}, "note"),
    ],
)
def test_a_mute_with_invalid_input_denies_nothing(cast: Cast, wrong: dict[str, Any], field: str) -> None:
    row = cast.confirmed()
    if wrong.get("engineer_id") == "of nobody who asked":
        wrong = {"engineer_id": cast.pat.pk}
    with pytest.raises(Unacceptable) as refused:
        operations.deny_all_and_mute(
            cast.contoso.pk, **{"engineer_id": cast.priya.pk, "hours": 1, **wrong}, actor=cast.as_("ada")
        )
    assert refused.value.field == field
    assert states([row]) == ["PENDING_CUSTOMER"]
    assert Mute.objects.count() == 0


def test_overdue_access_requests_expire_and_are_not_denied(cast: Cast, travel: Any) -> None:
    row = cast.confirmed()
    travel.to(row.decide_by)
    assert mute(cast).denied == 0
    assert states([row]) == ["PENDING_CUSTOMER"]
    assert Decision.objects.filter(stage="customer").count() == 0


def test_a_deputy_denies_all_in_somebodys_place_and_the_log_says_so(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
    operations.set_out_of_office(
        cast.contoso.pk, deputy_id=cast.otto.pk, from_at=at, until_at=at + 9 * HOUR, actor=cast.as_("ada")
    )
    row = cast.confirmed()
    mute(cast, by="otto")
    entry = AuditEntry.objects.get(event="access_request.denied_by_customer")
    assert json.loads(bytes(entry.canonical))["detail"]["deputy_for"] == "Ada Test"
    assert states([row]) == ["DENIED"]


def test_a_client_that_may_decide_for_nobody_neither_mutes_nor_lifts(cast: Cast) -> None:
    row = cast.confirmed()
    desk = machine(cast)
    with pytest.raises(MachineMayNotDecide):
        mute(cast, by=desk)
    assert states([row]) == ["PENDING_CUSTOMER"]
    live = mute(cast)
    with pytest.raises(MachineMayNotDecide):
        operations.lift_mute(live.pk, actor=desk)
    assert Mute.objects.get().lifted_at is None
    assert events_in(cast.contoso)[-1] == "act.refused"


def test_each_entry_of_a_deciding_client_names_its_approver(cast: Cast) -> None:
    cast.confirmed()
    desk = machine(cast, decides_for_id=cast.ada.pk)
    live = mute(cast, by=desk)
    operations.lift_mute(live.pk, actor=desk)
    for event in ("access_request.denied_by_customer", "mute.set", "mute.lifted"):
        record = json.loads(bytes(AuditEntry.objects.get(event=event).canonical))["actor"]
        assert (record["name"], record["for"]["name"]) == ("Desk", "Ada Test")


def test_access_requests_that_one_may_not_decide_stay_for_a_colleague(cast: Cast) -> None:
    of_pat = cast.confirmed()
    of_paula = operations.approve_as_provider(cast.submitted().pk, actor=cast.as_("paula"), note="No other way.")
    cast.agreed(lambda: operations.link_accounts(cast.ada.pk, cast.pat.pk, actor=cast.as_("stella")))
    row = mute(cast)
    assert (states([of_pat, of_paula]), row.denied) == (["PENDING_CUSTOMER", "DENIED"], 1)
    detail = json.loads(bytes(AuditEntry.objects.get(event="mute.set").canonical))["detail"]
    assert (detail["denied"], detail["left"]) == ([of_paula.reference], [of_pat.reference])


def test_a_person_without_the_right_is_refused_before_any_search_and_with_an_entry(cast: Cast) -> None:
    cast.confirmed()
    with pytest.raises(NotAllowed):
        mute(cast, "erik", by="mia")
    assert events_in(cast.contoso)[-1] == "act.refused"


def test_a_new_mute_of_the_same_human_replaces_the_old_one(cast: Cast) -> None:
    cast.confirmed()
    cast.confirmed(by="erik")
    cast.agreed(lambda: operations.link_accounts(cast.erik.pk, cast.priya.pk, actor=cast.as_("stella")))
    mute(cast, "priya", hours=24)
    live = mute(cast, "erik", hours=1)
    assert Mute.objects.get(lifted_at=None).pk == live.pk


def test_a_law_enforcement_demand_is_muted_too(cast: Cast) -> None:
    cast.confirmed()
    mute(cast, None)
    demand = operations.Demand(authority="C", instrument="W", reference="1", date=dt.date(2026, 1, 1))
    ask = operations.Ask(
        demand=demand,
        tenant_id=cast.contoso.pk,
        service_id=cast.exchange.pk,
        resource_ids=[cast.resource().pk],
        level="read",
        window_for=3600,
        tried="Asked for the court's own copy.",
        justification="The warrant names these mailboxes.",
    )
    with pytest.raises(Muted):
        operations.submit(ask, actor=cast.as_("priya"))
    assert AccessRequest.objects.count() == 1


def test_an_access_request_from_before_coverage_is_held_back_by_a_mute(cast: Cast) -> None:
    cast.confirmed()
    live, ticket = mute(cast), cast.ticket()
    Service.objects.filter(pk=cast.exchange.pk).update(is_covered=False)
    row = cast.submitted(ticket=ticket)
    Service.objects.filter(pk=cast.exchange.pk).update(is_covered=True)
    with pytest.raises(FactsChanged) as refused:
        operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    assert refused.value.current == {"until_at": live.until_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    assert states([row]) == ["PENDING_PROVIDER"]


def test_many_cost_no_query_more_for_their_tenant_than_few(cast: Cast) -> None:
    counts = []
    for n in (2, 5):
        for _ in range(n):
            cast.confirmed()
        with CaptureQueriesContext(connection) as found:
            live = mute(cast)
        counts.append(sum('FROM "requests_app_tenant"' in query["sql"] for query in found))
        operations.lift_mute(live.pk, actor=cast.as_("ada"))
    assert counts[0] == counts[1]
