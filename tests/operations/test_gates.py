"""Requests to a web tool: who may pass, what the log says about it, and what happens when something fails."""

from __future__ import annotations

import datetime as dt
import json
import re
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.urls import reverse

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import WrongState
from requests_app.doors.api.grants import ContentAccessOut
from requests_app.models import ContentAccess, Grant, QueueAssignment, Resource, Service
from requests_app.models.gate_calls import GateQuery
from requests_app.models.token_keys import verified
from requests_app.operations import gate_cuts, gates
from requests_app.operations.gates import Pass, Refusal
from requests_app.queries import access, callers, review
from requests_app.queries import gates as queries
from requests_app.queries.gates import Asker
from requests_app.words import sentences
from tests.cast import Cast, events_of
from tests.web.pages import nothing_happens, signed_in
from tests.web.test_external_services import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(cast: Cast) -> Grant:
    cast.web_tool(gate_identity=True)
    return cast.in_quillo()


def asked(cast: Cast, grant: Grant, target: str = "/tenants/7/pages?secret=hidden", **changes: Any) -> Pass | Refusal:
    values: dict[str, Any] = {
        "host": "quillo.example",
        "method": "GET",
        "target": target,
        "headers": {},
        "session": Asker(person_id=grant.engineer_id, grant_id=grant.pk),
        **changes,
    }
    return operations.judge(Service.objects.get(key="quillo"), **values)


def gate_request(target: str = "/tenants/7/pages") -> gates.GateRequest:
    return gates.GateRequest(host="quillo.example", method="GET", target=target, headers={})


def last_entry() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(AuditEntry.objects.order_by("-pk")[0].canonical))
    return found


def test_a_request_that_may_pass_is_an_access_with_its_entry(cast: Cast, grant: Grant) -> None:
    found = asked(cast, grant)
    assert isinstance(found, Pass)
    access = ContentAccess.objects.get()
    assert (access.grant, access.kind, access.item_ref) == (grant, "view_allowed", "GET /tenants/7/pages?secret")
    entry = last_entry()
    assert (entry["event"], entry["actor"]["name"]) == ("content.access_allowed", "Priya Test")
    assert entry["access_request"] == str(grant.access_request_id)
    assert entry["detail"]["item"] == "GET /tenants/7/pages?secret"
    assert entry["detail"]["gate"] == "Quillo Cloud"
    assert "hidden" not in json.dumps(entry)


def test_the_tool_learns_who_asks(cast: Cast, grant: Grant) -> None:
    found = asked(cast, grant)
    assert isinstance(found, Pass)
    claims = verified(found.identity, typ="lockbox-identity+jwt")
    assert claims is not None
    assert claims["exp"] - claims["iat"] == 60
    assert {name: claims[name] for name in ("iss", "aud", "sub", "email", "grant", "tenant_slug", "level")} == {
        "iss": settings.BASE_URL,
        "aud": "https://quillo.example",
        "sub": str(cast.priya.pk),
        "email": "priya@provider.example",
        "grant": str(grant.pk),
        "tenant_slug": "contoso",
        "level": "read",
    }
    Service.objects.filter(key="quillo").update(gate_identity=False)
    quiet = asked(cast, grant)
    assert isinstance(quiet, Pass)
    assert quiet.identity == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": "/tenants/f-7/pages"}, "not_found"),
        ({"target": "/tenants/8/pages"}, "not_found"),
        ({"target": "/elsewhere"}, "no_rule"),
        ({"method": "POST"}, "not_covered"),
        ({"method": "PUT"}, "no_rule"),
        ({"method": "TRACE"}, "unknown_method"),
        ({"target": "/tenants/7/../f-7/pages"}, "ambiguous_path"),
        ({"target": "/tenants/7/\x1b[2J\n"}, "ambiguous_path"),
        ({"headers": {"x-http-method-override": "DELETE"}}, "method_override"),
        ({"headers": {"x_http_method_override": ""}}, "ambiguous_header"),
        ({"target": "/tenants/7/pages?secret=1&tenant=hidden"}, "query_refused"),
        ({"headers": {"upgrade": "websocket"}}, "upgrade_refused"),
        ({"headers": {"accept": "text/event-stream"}}, "stream_refused"),
    ],
)
def test_what_may_not_pass_leaves_an_entry_and_no_access(
    cast: Cast, grant: Grant, changes: dict[str, Any], code: str
) -> None:
    before = AuditEntry.objects.count()
    assert asked(cast, grant, **changes) == Refusal(code)
    assert AuditEntry.objects.count() == before + 1
    entry = last_entry()
    assert (entry["event"], entry["detail"]["code"]) == ("act.refused", code)
    assert entry["access_request"] == str(grant.access_request_id)
    assert entry["detail"]["item"].isprintable()
    assert "hidden" not in json.dumps(entry)
    assert not ContentAccess.objects.exists()


def test_without_a_session_nothing_is_written(cast: Cast, grant: Grant) -> None:
    with nothing_happens():
        assert asked(cast, grant, session=None) == Refusal("no_session")
        assert asked(cast, grant, host="other.example") == Refusal("other_host")
        assert asked(cast, grant, host="quillo.example:444") == Refusal("other_host")


def test_the_session_of_another_engineer_or_another_service_is_none(cast: Cast, grant: Grant) -> None:
    elsewhere = cast.opened()
    with nothing_happens():
        other = Asker(person_id=cast.erik.pk, grant_id=grant.pk)
        assert asked(cast, grant, session=other) == Refusal("no_session")
        assert asked(cast, elsewhere) == Refusal("no_session")


def test_a_revoked_window_lets_nothing_more_pass(cast: Cast, grant: Grant) -> None:
    assert isinstance(asked(cast, grant), Pass)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert asked(cast, grant) == Refusal("window_not_open")
    assert events_of(grant.access_request)[-2:] == ["grant.revoked", "act.refused"]


def test_another_window_of_the_engineer_does_not_count(cast: Cast, grant: Grant) -> None:
    other = cast.in_quillo()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert asked(cast, grant) == Refusal("window_not_open")
    assert isinstance(asked(cast, other), Pass)


def test_nothing_passes_at_the_end_of_the_window(cast: Cast, grant: Grant, travel: Any) -> None:
    travel.to(grant.closes_at - dt.timedelta(milliseconds=1))
    assert isinstance(asked(cast, grant), Pass)
    travel.to(grant.closes_at)
    assert asked(cast, grant) == Refusal("window_not_open")


def test_somebody_who_is_no_engineer_any_more_is_refused(cast: Cast, grant: Grant) -> None:
    QueueAssignment.objects.filter(person=cast.priya).delete()
    assert asked(cast, grant) == Refusal("not_allowed")


def test_an_account_that_is_switched_off_is_refused(cast: Cast, grant: Grant) -> None:
    type(cast.priya).objects.filter(pk=cast.priya.pk).update(is_active=False)
    assert isinstance(asked(cast, grant), Refusal)


def test_a_level_that_the_tenant_rules_out_is_refused(cast: Cast, grant: Grant) -> None:
    type(cast.contoso).objects.filter(pk=cast.contoso.pk).update(ruled_out="read act_as")
    assert isinstance(asked(cast, grant), Refusal)


def test_a_path_without_a_resource_is_judged_with_the_window(cast: Cast, grant: Grant) -> None:
    Service.objects.filter(key="quillo").update(gate_rules="view GET /assets/** shared\nview GET /{tenant}/** shared")
    assert isinstance(asked(cast, grant, "/assets/app.css"), Pass)
    detail = last_entry()["detail"]
    assert detail["item"] == "GET /assets/app.css"
    # Nobody knows that it was about this resource.
    assert "notes of contoso" not in json.dumps(last_entry())
    assert "resource" not in detail
    row = ContentAccess.objects.get()
    assert (row.resource, row.item_ref) == (None, "GET /assets/app.css")
    assert review.resource_activity(grant, access.looks_by_resource([grant.pk]), with_items=True) == []
    page = signed_in(cast, "ada").get(reverse("web:live", args=[grant.access_request_id])).content.decode()
    assert "GET /assets/app.css" in page
    assert "live-resource" not in page
    assert ContentAccessOut(row).data["resource"] is None
    for more in ("", f"{row.pk}/change/"):
        found = signed_in(cast, "stella").get(f"/admin/requests_app/contentaccess/{more}")
        assert (found.status_code, "GET /assets/app.css" in found.content.decode()) == (200, True)
    gate_cuts.note_cuts(row.tenant_id, {row.pk: gate_cuts.ENDED})
    assert (last_entry()["event"], "resource" in last_entry()["detail"]) == ("content.cut", False)
    assert isinstance(asked(cast, grant, "/contoso/app.css"), Pass)
    assert asked(cast, grant, "/fabrikam/app.css") == Refusal("other_tenant")
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert asked(cast, grant, "/assets/app.css") == Refusal("window_not_open")


def test_an_engineer_gets_a_grant_token_for_a_tool_that_has_only_a_gate(cast: Cast, grant: Grant) -> None:
    assert not callers.has_guard(Service.objects.get(key="quillo"))
    window = reverse("web:window", args=[grant.pk])
    page = signed_in(cast, "priya").get(window).content.decode()
    assert reverse("web:grant_token", args=[grant.pk]) in page
    made = operations.issue_grant_token(grant.pk, actor=cast.as_("priya"))
    service = Service.objects.get(key="quillo")
    for headers in ({"authorization": f"Bearer {made.token}"}, {"lockbox-grant": made.token}):
        asker = queries.session(service, headers)
        assert asker is not None
        assert isinstance(asked(cast, grant, session=asker), Pass)
    # Without its gate, nothing would judge the token.
    Service.objects.update(gate_rules="", gate_identity=False)
    with pytest.raises(WrongState):
        operations.issue_grant_token(grant.pk, actor=cast.as_("priya"))
    assert reverse("web:grant_token", args=[grant.pk]) not in signed_in(cast, "priya").get(window).content.decode()


def test_before_the_first_request_the_customer_reads_that_nothing_passed_the_gate(cast: Cast, grant: Grant) -> None:
    text = page(cast, "ada", "live", grant.access_request_id)
    assert "Nothing has passed the gate of Quillo so far." in text
    assert "has reported no accesses" not in text
    text = page(cast, "ada", "access_request", grant.access_request_id)
    # Nobody but the provider knows whether each request goes through a proxy.
    assert "its proxies ask Lockbox about each request" in text
    assert "The log shows only what the proxies ask about." in text
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    text = page(cast, "ada", "access_request", grant.access_request_id)
    assert "othing passed the gate of Quillo" in text
    assert "has reported no accesses" not in text


def test_a_resource_is_found_only_by_its_external_id(cast: Cast, grant: Grant) -> None:
    row = Resource.objects.get(external_id="7")
    for name in (str(row.pk), "notes%20of%20contoso"):
        assert asked(cast, grant, f"/tenants/{name}/pages") == Refusal("not_found")
        detail = last_entry()["detail"]
        assert "asked" not in detail, "it does not say what a rule would have allowed with another resource"


def test_a_resource_outside_the_window_is_refused(cast: Cast, grant: Grant) -> None:
    row = Resource.objects.get(external_id="7")
    Resource.objects.create(tenant=row.tenant, service=row.service, kind="workspace", name="more", external_id="9")
    assert asked(cast, grant, "/tenants/9/pages") == Refusal("not_covered")


def test_the_last_question_of_a_proxy_is_stored_once_a_minute(cast: Cast, travel: Any) -> None:
    proxy = cast.proxy()
    grant = cast.in_quillo()
    query = GateQuery(proxy=proxy.secret_hash, person=grant.engineer_id, grant=grant.pk)
    travel.freeze()
    begun = clock.now()
    for seconds, stored in ((0, 0), (1, 0), (61, 61)):
        travel.to(begun + dt.timedelta(seconds=seconds))
        call = gates.GateCall(gate_request(), query)
        call.decide_here()
        assert isinstance(call.found(), Pass)
        proxy.refresh_from_db()
        assert proxy.asked_at == begun + dt.timedelta(seconds=stored)


def test_if_the_entry_cant_be_written_nobody_passes(cast: Cast, grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise OperationalError("disk full")

    monkeypatch.setattr(recorder, "record_in", fail)
    with nothing_happens():
        assert asked(cast, grant) == Refusal("unavailable")
    assert not ContentAccess.objects.exists()


def test_a_request_that_the_engine_refuses_as_a_whole_does_not_pass(
    cast: Cast, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example if it has waited for too long, or if the connection was lost when tokens were read."""

    def fail(*_args: Any) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(gates.LANE, "_authenticated", fail)
    with nothing_happens():
        assert asked(cast, grant) == Refusal("unavailable")


def test_requests_that_wait_together_have_an_entry_each(cast: Cast, grant: Grant) -> None:
    service = Service.objects.get(key="quillo")
    query = GateQuery(service=service.pk, person=grant.engineer_id, grant=grant.pk)
    targets = [*(f"/tenants/7/{n}" for n in range(30)), "/tenants/7/../x", "/tenants/f-7/x"]
    calls = [gates.GateCall(gate_request(target), query) for target in targets]
    before = AuditEntry.objects.count()
    for call in calls:
        call.begin()
    gates.LANE._decide(list(calls))
    found = [call.found() for call in calls]
    assert [isinstance(each, Pass) for each in found] == [True] * 30 + [False] * 2
    rows = [each.access_id if isinstance(each, Pass) else None for each in found]
    assert rows[30:] == [None] * 2
    assert set(rows[:30]) == set(ContentAccess.objects.values_list("pk", flat=True))
    assert ContentAccess.objects.count() == 30
    assert AuditEntry.objects.count() == before + 32


def test_the_customer_reads_what_was_used_and_what_was_refused(cast: Cast, grant: Grant) -> None:
    asked(cast, grant)
    asked(cast, grant, "/tenants/7/../f-7/pages")
    asked(cast, grant, "/tenants/f-7/pages")
    page = signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk]))
    text = " ".join(unescape(re.sub(r"<[^>]*>", "", page.content.decode())).split())
    for words in (
        "Priya Test, Microsoft used Quillo Cloud for GET /tenants/7/pages?secret in notes of contoso",
        "Priya Test, Microsoft tried GET /tenants/7/../f-7/pages at Quillo Cloud and was refused: "
        "“Two programs could read this address differently.”",
        "Priya Test, Microsoft tried GET /tenants/f-7/pages at Quillo Cloud and was refused",
    ):
        assert words in text


def test_the_summary_says_that_lockbox_recorded_the_requests_before_the_answers(cast: Cast, grant: Grant) -> None:
    for _time in range(2):
        asked(cast, grant)
    seen = access.seen_resources([grant.pk])[grant.pk]
    assert (
        sentences.summary(seen, enforced_by="Quillo") == "Lockbox recorded 2 accesses in Quillo, each before its answer"
    )
