"""A decision by a client or by a deputy is marked as such everywhere."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.export import csv_lines
from audit_app.exported_entries import read
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from audit_app.siem import FORMATS, Source
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import WrongState
from requests_app.domain.scopes import Scope
from requests_app.doors.web._log_words import About, sentence_of
from requests_app.messages.mails import facts
from requests_app.messages.webhooks import messages
from requests_app.models import AccessRequest, Decision, OutboxMessage, Token
from requests_app.models.people import actor_of_token
from tests.caller import caller_for, client_of
from tests.cast import Cast
from verify import lockbox_verify as lv

pytestmark = pytest.mark.django_db

MACHINE = "the API client Help desk for Ada Test"
DEPUTY = "Otto Test, deputy for Ada Test"


def by_machine(cast: Cast) -> Actor:
    client, _secret = client_of(cast, "contoso", Scope.DECISIONS_WRITE, decides_for_id=cast.ada.pk)
    operations.issue_access_token(client, scopes=frozenset({Scope.DECISIONS_WRITE}))
    return actor_of_token(Token.objects.select_related("account__client").get(account=client.account))


def by_deputy(cast: Cast, *approvers: str) -> Actor:
    at = clock.now()
    end = at + dt.timedelta(hours=9)
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
    for name in approvers or ("ada",):
        operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.otto.pk, from_at=at, until_at=end, actor=cast.as_(name)
        )
    return cast.as_("otto")


def decided(cast: Cast, actor: Actor, verdict: str = "approve") -> AccessRequest:
    row = cast.confirmed()
    if verdict == "deny":
        return operations.deny_as_customer(row.pk, actor=actor, note="No.")
    return operations.approve_as_customer(row.pk, actor=actor)


def entry_of(row: AccessRequest) -> AuditEntry:
    return AuditEntry.objects.get(correlation_id=row.pk, event__endswith="_by_customer")


def words(html: str) -> str:
    return " ".join(strip_tags(html).split())


@pytest.fixture(params=["machine", "deputy"])
def way(request: Any) -> Any:
    return {"machine": (by_machine, MACHINE), "deputy": (by_deputy, DEPUTY)}[request.param]


def test_the_entry_names_the_approver_of_a_deputy_with_their_id(cast: Cast) -> None:
    detail = json.loads(bytes(entry_of(decided(cast, by_deputy(cast))).canonical))["detail"]
    assert detail["deputy_for"] == "Ada Test"
    assert detail["deputy_for_people"] == [{"id": str(cast.ada.pk), "name": "Ada Test", "email": cast.ada.email}]


def test_of_several_who_are_away_all_are_named(cast: Cast) -> None:
    """Nobody can know for which approver the deputy acted, so all who were away are named."""
    row = decided(cast, by_deputy(cast, "ada", "alan"))
    detail = json.loads(bytes(entry_of(row).canonical))["detail"]
    assert detail["deputy_for"] == "Ada Test, Alan Test"
    assert [each["id"] for each in detail["deputy_for_people"]] == [str(cast.ada.pk), str(cast.alan.pk)]
    assert Decision.objects.get(access_request=row, stage="customer").who == (
        "Otto Test, deputy for Ada Test and Alan Test"
    )


def test_a_human_s_own_decision_names_nobody_else(cast: Cast) -> None:
    row = decided(cast, cast.as_("ada"))
    decision = Decision.objects.get(access_request=row, stage="customer")
    assert (decision.who, decision.client, decision.deputy_for) == ("Ada Test", None, None)
    assert "deputy_for" not in json.loads(bytes(entry_of(row).canonical))["detail"]


def test_the_pages_and_the_receipt_say_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    row = decided(cast, act(cast))
    client = Client()
    client.force_login(cast.ada)
    page = words(client.get(reverse("web:access_request", args=[row.pk])).content.decode())
    receipt = words(client.get(reverse("web:receipt", args=[row.pk])).content.decode())
    assert by_place in page  # the page of the access request
    for text in (page, receipt):
        if "client" in by_place:
            assert "the API client Help desk for Ada Test" in text
        else:
            assert ", deputy for Ada Test" in text
    timeline = "as deputy for Ada Test" if "deputy" in by_place else f"{MACHINE}: approved on the customer’s behalf"
    assert timeline in page


def test_lists_and_refusals_say_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    row = decided(cast, act(cast), "deny")
    client = Client()
    client.force_login(cast.ada)
    assert row.state == "DENIED"
    assert f"Denied by {by_place}" in words(client.get(reverse("web:access_requests")).content.decode())
    with pytest.raises(WrongState, match=by_place):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada" if "Otto" in by_place else "alan"))


def test_log_and_timeline_say_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    entry = entry_of(decided(cast, act(cast)))
    sentence, _comment = sentence_of(entry, tenant=cast.contoso, about=About({}, {}), at=clock.now())
    shown = words(sentence)
    names = (
        ("the API client", "Help desk", "for Ada Test") if by_place == MACHINE else ("Otto Test", "deputy for Ada Test")
    )
    assert all(name in shown for name in names), shown


def test_mails_say_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    row = decided(cast, act(cast))
    message = OutboxMessage.objects.filter(topic="notify.window_opened").first()
    assert message is not None
    shown = " ".join(line for fact in facts.of(message, clock.now())["facts"] for line in fact.lines)
    place = f" ({cast.contoso.name})"
    wanted = f"{MACHINE}{place}" if by_place == MACHINE else f"Otto Test{place}, deputy for Ada Test"
    assert (row.state, wanted in shown) == ("OPEN", True), shown


def test_the_api_and_webhooks_say_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    row = decided(cast, act(cast))
    found = caller_for(cast, "ada").get(f"access-requests/{row.pk}").json()["decisions"][1]
    expected = ("Help desk", []) if by_place == MACHINE else (None, ["Ada Test"])
    assert (found["through"], found["deputy_for"]) == expected
    [message] = messages.of([entry_of(row)], cast.contoso.pk)
    ada = str(cast.ada.pk)
    assert json.loads(message.body)["data"]["decided"] == (
        {"by": "client", "in_name_of": ada, "deputy_for": []}
        if by_place == MACHINE
        else {"by": "deputy", "in_name_of": None, "deputy_for": [ada]}
    )


def test_every_export_says_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    entry = entry_of(decided(cast, act(cast)))
    places = Shards.of(cast.contoso.pk)
    [row] = csv.DictReader(io.StringIO("".join(csv_lines([entry], places))))
    source = Source(vendor="V", shards=places)
    lines = {name: "".join(way.lines([entry], source)) for name, way in FORMATS.items()}
    if by_place == MACHINE:
        assert (row["actor"], row["actor_for"], row["deputy_for"]) == ("Help desk", cast.ada.email, "")
        assert all("Help desk" in line for line in lines.values())
    else:
        assert (row["actor"], row["actor_for"], row["deputy_for"]) == ("Otto Test", "", "Ada Test")
        assert read(entry, places).deputy_for == "Ada Test"
        assert json.loads(lines["o365"])["ExtendedProperties"] == [
            {"Name": "ActedAs", "Value": "deputy"},
            {"Name": "DeputyFor", "Value": "Ada Test"},
        ]
        assert json.loads(lines["ocsf"])["unmapped"]["deputy_for"] == "Ada Test"
        assert "CustomerLockboxDeputyFor=Ada Test" in lines["cef"]


def test_the_verifier_says_so(cast: Cast, way: Any) -> None:
    act, by_place = way
    row = decided(cast, act(cast))
    fact = lv._fact(0, json.loads(bytes(entry_of(row).canonical)), dict[Any, Any]().setdefault)
    shown = {"who": fact.name, **lv.how_decided(fact)}
    if by_place == MACHINE:
        assert lv.by_whom(shown) == f"the API client “Help desk” for Ada Test <{cast.ada.email}>"
    else:
        assert lv.by_whom(shown) == f"Otto Test <{cast.otto.email}>, deputy for “Ada Test”"


def test_staff_see_it_in_the_administration(cast: Cast, way: Any) -> None:
    act, by_place = way
    decided(cast, act(cast))
    client = Client()
    client.force_login(cast.stella)
    page = words(client.get(reverse("admin:requests_app_decision_changelist")).content.decode())
    assert by_place in page
