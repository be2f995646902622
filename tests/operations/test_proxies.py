"""Web tools: who may say which requests their gates allow, and which proxies ask there."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from requests_app import operations
from requests_app.domain.errors import ChangeProposed, NotAllowed, NotFound, TooMany, Unacceptable, WrongState
from requests_app.models import GateProxy, OutboxMessage, Proposal, Service
from requests_app.words import proposals
from tests.cast import GATE_RULES, PROXY_SECRET, Cast
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

HASH = sha256(b"another secret").hexdigest()


def saved(cast: Cast, service: Service, who: str = "stella", **wanted: Any) -> Service:
    return operations.save_service(service_id=service.pk, actor=cast.as_(who), **wanted)


def added(cast: Cast, service: Service, who: str = "stella", **wanted: Any) -> GateProxy:
    values = {"name": "Dublin", "secret_hash": HASH, **wanted}
    return operations.add_proxy(service.pk, actor=cast.as_(who), **values)


def test_a_gate_is_announced_and_waits(cast: Cast) -> None:
    service = cast.quillo()
    with pytest.raises(ChangeProposed):
        saved(cast, service, gate_rules=f" {GATE_RULES}\n", gate_identity=True)
    service.refresh_from_db()
    assert not service.has_gate
    row = Proposal.objects.get(act="change_service")
    assert row.said["set"] == {"gate_rules": GATE_RULES, "gate_identity": True}
    assert {"contoso", "fabrikam"} <= {*row.touched.values_list("slug", flat=True)}
    assert OutboxMessage.objects.filter(tenant=cast.contoso, topic="notify.staff_change").count() == 1
    words = proposals.words("change_service", row.said)
    assert GATE_RULES in words
    assert "tells the tool who the engineer is" in words


@pytest.mark.parametrize(
    "wanted",
    [
        {"gate_rules": ""},
        {"gate_rules": "view GET /** shared"},
        {"gate_identity": True},
    ],
)
def test_each_change_of_a_gate_is_announced(cast: Cast, wanted: dict[str, Any]) -> None:
    service = cast.web_tool()
    before = {name: getattr(service, name) for name in wanted}
    with pytest.raises(ChangeProposed):
        saved(cast, service, **wanted)
    service.refresh_from_db()
    assert {name: getattr(service, name) for name in wanted} == before


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"gate_rules": "view GET"}, "gate_rules"),
        ({"gate_rules": "view GET /a shared\nall GET /b"}, "gate_rules"),
        ({"gate_identity": True}, "gate_identity"),
        ({"gate_rules": "view GET /a shared", "link_template": ""}, "link_template"),
    ],
)
def test_a_gate_that_could_not_work_is_refused(cast: Cast, wanted: dict[str, Any], field: str) -> None:
    service = cast.quillo()
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, service, **wanted)
    assert refusal.value.field == field


def test_only_an_external_service_has_a_gate(cast: Cast) -> None:
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, cast.exchange, gate_rules=GATE_RULES)
    assert refusal.value.field == "gate_rules"
    service = cast.web_tool()
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, service, link_template="")
    assert refusal.value.field == "link_template"


@pytest.mark.parametrize(
    "columns",
    [{"gate_rules": "view GET / shared"}, {"gate_identity": True}],
)
def test_the_database_refuses_a_gate_without_an_application(cast: Cast, columns: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Service.objects.filter(pk=cast.exchange.pk).update(**columns)


def test_a_proxy_is_announced_without_its_secret(cast: Cast) -> None:
    service = cast.web_tool()
    with pytest.raises(ChangeProposed):
        added(cast, service, secret_hash=HASH.upper())
    assert not GateProxy.objects.exists()
    row = Proposal.objects.get(act="add_proxy")
    assert row.shown == {
        "service": str(service.pk),
        "service_name": "Quillo Cloud",
        "name": "Dublin",
        "fingerprint": HASH[:12],
    }
    assert HASH[:12] in proposals.words("add_proxy", row.said)
    with only_a_refusal(), pytest.raises(WrongState):
        added(cast, service)


def test_a_proxy_is_trusted_after_the_waiting_time(cast: Cast) -> None:
    row = cast.proxy()
    assert row.is_trusted
    assert row.secret_hash == sha256(PROXY_SECRET.encode()).hexdigest()
    assert row.added_by == cast.stella


def test_a_removed_proxy_is_removed_at_once_and_its_secret_never_comes_back(cast: Cast) -> None:
    row = cast.proxy()
    removed = operations.remove_proxy(row.pk, actor=cast.as_("stella"))
    assert not removed.is_trusted
    with only_a_refusal(), pytest.raises(WrongState):
        operations.remove_proxy(row.pk, actor=cast.as_("stella"))
    with only_a_refusal(), pytest.raises(WrongState):
        added(cast, row.service, secret_hash=row.secret_hash)


def test_two_proposals_of_one_secret_make_one_proxy(cast: Cast) -> None:
    service = cast.web_tool()
    first = cast.made_due(lambda: added(cast, service))
    second = cast.made_due(lambda: added(cast, service, name="Cork"))
    outcomes = [operations.apply_proposal(pk, actor=cast.system("sweep")).outcome for pk in (first, second)]
    assert outcomes == ["applied", "lapsed"]
    assert [row.name for row in GateProxy.objects.all()] == ["Dublin"]


@pytest.mark.parametrize("text", ["", "x" * 64, HASH[:-1], HASH + "0", sha256(b"").hexdigest(), PROXY_SECRET[:-1]])
def test_only_a_hash_is_accepted(cast: Cast, text: str) -> None:
    service = cast.web_tool()
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        added(cast, service, secret_hash=text)
    assert refusal.value.field == "secret_hash"


def test_a_service_without_a_gate_has_no_proxy(cast: Cast) -> None:
    service = cast.quillo()
    with only_a_refusal(), pytest.raises(WrongState):
        added(cast, service)


def test_a_proposed_proxy_lapses_if_the_gate_is_gone(cast: Cast) -> None:
    service = cast.web_tool()
    proposed = cast.made_due(lambda: added(cast, service))
    Service.objects.filter(pk=service.pk).update(gate_rules="")
    assert operations.apply_proposal(proposed, actor=cast.system("sweep")).outcome == "lapsed"
    assert not GateProxy.objects.exists()


def test_there_is_a_limit_of_proxies(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    service = cast.proxy().service
    monkeypatch.setattr("requests_app.operations.proxies.MOST_PROXIES", 1)
    with only_a_refusal(), pytest.raises(TooMany):
        added(cast, service)


@pytest.mark.parametrize("who", ["priya", "pat"])
def test_only_staff_decide_on_proxies(cast: Cast, who: str) -> None:
    row = cast.proxy()
    with only_a_refusal(), pytest.raises(NotAllowed):
        added(cast, row.service, who)
    with only_a_refusal(), pytest.raises(NotAllowed):
        operations.remove_proxy(row.pk, actor=cast.as_(who))
    row.refresh_from_db()
    assert row.is_trusted


def test_customers_see_no_proxy(cast: Cast) -> None:
    row = cast.proxy()
    with nothing_happens(), pytest.raises(NotFound):
        operations.remove_proxy(row.pk, actor=cast.as_("ines"))
