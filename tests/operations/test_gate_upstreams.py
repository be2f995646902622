"""The upstream address of a web tool: who may set it, and where it can lead."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from requests_app import operations
from requests_app.domain.errors import ChangeProposed, Unacceptable
from requests_app.models import Proposal, Service
from requests_app.operations import gates
from requests_app.platform import upstreams
from requests_app.platform.outbound import Target
from requests_app.queries.gates import Asker
from requests_app.words import proposals
from tests.caller import caller_for
from tests.cast import GATE_RULES, Cast, events_of
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db

UPSTREAM = "https://10.1.2.3:8443"
#: What is no address of a tool, and what leads back to this product.
BAD = [
    "quillo.internal",
    "ftp://quillo.internal",
    "https://quillo.internal/path",
    "https://quillo.internal?x",
    "https://quillo.internal#x",
    "https://user:secret@quillo.internal",
    "https://quillo.internal:",
    "https://quillo.internal:0",
    "https://quillo.internal:70000",
    "https://0x7f.1",
    "https://[fe80::1%25eth0]",
    "https://quillo internal",
    "http://10.1.2.3:8080",
    "http://quillo.internal",
    "https://169.254.169.254",
    "https://[fe80::1]",
    "https://[fd00:ec2::254]",
    "https://[::ffff:169.254.169.254]",
    "https://0.0.0.0",
    "https://224.0.0.1",
    "https://quillo.example",
]


def saved(cast: Cast, service: Service, **wanted: Any) -> Service:
    return operations.save_service(service_id=service.pk, actor=cast.as_("stella"), **wanted)


def test_an_upstream_address_is_announced_and_waits(cast: Cast) -> None:
    service = cast.web_tool()
    with pytest.raises(ChangeProposed):
        saved(cast, service, gate_upstream=f" {UPSTREAM.upper()} ")
    service.refresh_from_db()
    assert service.gate_upstream == ""
    [row] = [each for each in Proposal.objects.all() if each.said["set"] == {"gate_upstream": UPSTREAM}]
    assert UPSTREAM in proposals.words("change_service", row.said)


@pytest.mark.parametrize("wanted", ["", "https://quillo.internal"])
def test_each_change_of_an_upstream_address_is_announced(cast: Cast, wanted: str) -> None:
    service = cast.web_tool(gate_upstream=UPSTREAM)
    with pytest.raises(ChangeProposed):
        saved(cast, service, gate_upstream=wanted)
    service.refresh_from_db()
    assert service.gate_upstream == UPSTREAM


@pytest.mark.parametrize("text", BAD)
def test_an_address_that_is_not_the_tools_is_refused(cast: Cast, text: str) -> None:
    service = cast.web_tool()
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, service, gate_upstream=text)
    assert refusal.value.field == "gate_upstream"


def test_an_address_of_this_product_is_refused(cast: Cast, settings: Any) -> None:
    service, settings.BASE_URL, settings.TOOL_PROXY_PORT = cast.web_tool(), "https://lockbox.example", 8002
    settings.METRICS_PORT = 9464
    ours = [f"http://127.0.0.1:{settings.PORT}", "http://localhost:8002", "http://localhost:9464"]
    for text in ("https://lockbox.example", *ours):
        with nothing_happens(), pytest.raises(Unacceptable):
            saved(cast, service, gate_upstream=text)


def test_only_a_gate_has_an_upstream_address(cast: Cast) -> None:
    for service in (cast.exchange, cast.quillo()):
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            saved(cast, service, gate_upstream=UPSTREAM)
        assert refusal.value.field == "gate_upstream"
    with pytest.raises(IntegrityError), transaction.atomic():
        Service.objects.filter(key="quillo").update(gate_upstream=UPSTREAM)


def test_a_gate_that_goes_takes_its_upstream_address_with_it(cast: Cast) -> None:
    service = cast.web_tool(gate_upstream=UPSTREAM)
    cast.agreed(lambda: saved(cast, service, gate_rules=""))
    service.refresh_from_db()
    assert (service.gate_rules, service.gate_upstream) == ("", "")


def test_two_tools_cant_share_a_host(cast: Cast) -> None:
    service = cast.web_tool(gate_upstream=UPSTREAM)
    other = Service.objects.create(
        key="pad",
        name="Pad",
        connector="external",
        application="Pad",
        link_template=service.link_template,
        gate_rules=GATE_RULES,
    )
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, other, gate_upstream="https://pad.internal")
    assert refusal.value.field == "gate_upstream"


def test_customers_dont_see_the_address(cast: Cast) -> None:
    service = cast.web_tool(gate_upstream=UPSTREAM)
    assert caller_for(cast, "ines").get(f"services/{service.pk}").json()["gate_upstream"] == ""
    assert caller_for(cast, "stella").get(f"services/{service.pk}").json()["gate_upstream"] == UPSTREAM


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254"])  # noqa: S104 - refused
def test_a_name_that_leads_to_a_metadata_service_is_not_called(address: str) -> None:
    target = Target.parse("https://quillo.internal", private=True)
    assert upstreams.may_connect_to(target, [ipaddress.ip_address("10.1.2.3")])
    assert not upstreams.may_connect_to(target, [ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address(address)])


def test_a_name_that_leads_to_a_port_of_this_product_is_not_called() -> None:
    here = [ipaddress.ip_address("127.0.0.1")]
    assert upstreams.may_connect_to(Target.parse("https://quillo.internal:9000", private=True), here)
    assert not upstreams.may_connect_to(Target.parse(f"https://quillo.internal:{settings.PORT}", private=True), here)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"accept": "text/event-stream"}, "stream_refused"),
        ({"connection": "upgrade", "upgrade": "websocket"}, "upgrade_refused"),
    ],
)
def test_only_the_proxy_that_cuts_passes_on_streams_of_a_tool_with_an_upstream_address(
    cast: Cast, headers: dict[str, str], reason: str
) -> None:
    service = cast.web_tool(gate_upstream=UPSTREAM, gate_rules="view GET /tenants/{resource}/** stream upgrade")
    grant = cast.in_quillo()
    asker = Asker(person_id=grant.engineer_id, grant_id=grant.pk)
    of: dict[str, Any] = {"host": "quillo.example", "method": "GET", "target": "/tenants/7/x", "session": asker}
    assert gates.judge(service, **of, headers=headers) == gates.Refusal(reason)
    assert events_of(grant.access_request)[-1] == "act.refused"
    assert isinstance(gates.judge(service, **of, headers=headers, cuts=True), gates.Pass)
    assert not allows_stream(gates.judge(service, **of, headers={}))
    assert allows_stream(gates.judge(service, **of, headers={}, cuts=True))
    Service.objects.filter(pk=service.pk).update(gate_upstream="")
    assert allows_stream(gates.judge(service, **of, headers=headers))


def allows_stream(found: gates.Pass | gates.Refusal) -> bool:
    assert isinstance(found, gates.Pass)
    return found.allows_stream
