"""Every route of the document, sent what no honest caller sends (threats 10, 25, 36 and 37)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client as Browser

from audit_app.models import AuditEntry
from tests.api.routes import AZURE, AZURE_VERSION, OPEN, READS, TAKES_A_BODY, Route, address_of, body_of, resolved
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.isolation.test_api_routes import ApiWorld

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

#: Between them they may call every route.
CALLERS = ("ines", "ada", "priya", "stella")


def _send(caller: Caller, method: str, address: str, body: bytes, **headers: str) -> Any:
    named = {"Authorization": f"Bearer {caller.secret}", "If-Match": '"x"'}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    browser = Browser(raise_request_exception=False)
    return browser.generic(method.upper(), address, body, "application/json", headers=named)


def _callers(cast: Cast) -> dict[str, Caller]:
    return {name: Caller(token_of(cast, name)) for name in CALLERS}


def _is_problem(response: Any) -> bool:
    """In the form of RFC 9457; Azure's routes answer in Azure's, OAuth's in its own."""
    kind = response["Content-Type"]
    return bool(kind == "application/problem+json" or (kind == "application/json" and "error" in response.json()))


NOT_A_BODY: dict[str, bytes] = {
    "half": b"{",
    "list": b"[]",
    "text": b'"text"',
    "number": b"1e400",
    "not a number": b'{"a": NaN}',
    "no text": b"\xff\xfe{}",
    "deep": b'{"a":' * 50_000,
    "deep list": b"[" * 100_000,
    "bomb": gzip.compress(b'{"a": "' + b"x" * 10_000_000 + b'"}'),
}


@pytest.mark.parametrize("route", TAKES_A_BODY, ids=str)
def test_what_is_no_body_is_refused_and_does_nothing(cast: Cast, route: Route) -> None:
    world = ApiWorld(cast)
    callers, address = _callers(cast), address_of(route, world)
    before = AuditEntry.objects.count()
    for name, body in NOT_A_BODY.items():
        for who in ("ines", "priya", "stella"):
            found = _send(
                callers[who], route.method, address, body, **({"Content_Encoding": "gzip"} if name == "bomb" else {})
            )
            assert 400 <= found.status_code < 500, (name, who, found.content)
            assert _is_problem(found), (name, who)
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("route", [each for each in TAKES_A_BODY if str(each) not in OPEN], ids=str)
def test_a_member_that_is_not_there_is_refused_and_not_ignored(cast: Cast, route: Route) -> None:
    world = ApiWorld(cast)
    callers, address = _callers(cast), address_of(route, world)
    body = {**body_of(route, world), "approved_by": "x"}
    before = AuditEntry.objects.count()
    refused = []
    for caller in callers.values():
        found = _send(caller, route.method, address, json.dumps(body).encode())
        assert 400 <= found.status_code < 500, found.content
        refused.append((found.status_code, found.content.decode()))
    assert any(status in (400, 422) and "approved_by" in text for status, text in refused), refused
    assert AuditEntry.objects.count() == before


def _uuids(shape: dict[str, Any]) -> Iterator[str]:
    """The members of a body that name a row."""
    for name, inner in shape.get("properties", {}).items():
        inner = resolved(inner)
        if inner.get("format") == "uuid" or resolved(inner.get("items", {})).get("format") == "uuid":
            yield name


NAMES_A_ROW = [(route, name) for route in TAKES_A_BODY for name in _uuids(route.shape)]


def test_there_are_bodies_that_name_rows() -> None:
    assert len(NAMES_A_ROW) >= 5


@pytest.mark.parametrize(("route", "member"), NAMES_A_ROW, ids=str)
@pytest.mark.parametrize("outsider", ["finn", "frida", "samir"])
def test_another_tenants_id_in_a_body_is_as_one_that_is_not_there(
    cast: Cast, route: Route, member: str, outsider: str
) -> None:
    world = ApiWorld(cast)
    caller = Caller(token_of(cast, outsider))
    caller.step_up()
    is_list = "items" in resolved(route.shape["properties"][member])
    foreign = [
        world.cast.contoso.pk,
        world.pending.pk,
        world.pending.ticket_id,
        world.grant.pk,
        world.cast.ada.pk,
        world.cast.resource().pk,
    ]
    address = address_of(route, world, cast.fabrikam.pk)
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    answers = set()
    for row in (uuid4(), *foreign):
        body = {**body_of(route, world), member: [str(row)] if is_list else str(row)}
        found = _send(caller, route.method, address, json.dumps(body).encode())
        assert 400 <= found.status_code < 500, found.content
        plain = {name: value for name, value in found.json().items() if name != "request_id"}
        answers.add((found.status_code, json.dumps(plain, sort_keys=True).replace(str(row), "")))
    assert len(answers) == 1, answers
    assert not AuditEntry.objects.exclude(pk__in=before).exclude(event="act.refused").exists()
    assert not AuditEntry.objects.exclude(pk__in=before).filter(tenant_id=cast.contoso.pk).exists()


HOSTILE_NAMES = [
    "_connector",
    "tenant__name",
    "pk__in",
    "requested_by.password",
    "id\x00",
    "order\n",
    "\u202eorder",
    "x" * 3000,
]


@pytest.mark.parametrize("route", READS, ids=str)
def test_a_hostile_parameter_is_refused_on_every_route(cast: Cast, route: Route) -> None:
    world = ApiWorld(cast)
    address, query = address_of(route, world).split("?")[0], {}
    if AZURE in route.path:
        query = {"api-version": AZURE_VERSION.partition("=")[2]}
    for caller in _callers(cast).values():
        for name in HOSTILE_NAMES:
            found = caller.get(address, {**query, name: "1"})
            assert 400 <= found.status_code < 500, (name, found.content)
            assert _is_problem(found)


def _told(found: Any) -> str:
    """The answer without what differs by call; of a file, what is in it."""
    if found.streaming:
        return b"".join(found.streaming_content).decode()
    plain = {key: value for key, value in found.json().items() if key != "request_id"}
    return json.dumps(plain, sort_keys=True)


FILTERS = [
    (route, each["name"]) for route in READS for each in route.filters() if each["schema"].get("format") == "uuid"
]


@pytest.mark.parametrize(("route", "name"), FILTERS, ids=str)
@pytest.mark.parametrize("outsider", ["finn", "samir", "fabrikam"])
def test_another_tenants_id_in_a_filter_is_as_one_that_is_not_there(
    cast: Cast, route: Route, name: str, outsider: str
) -> None:
    world = ApiWorld(cast)
    caller = caller_for(cast, outsider)
    address = address_of(route, world, cast.fabrikam.pk)
    answers = set()
    for row in (uuid4(), cast.contoso.pk, world.pending.pk, world.pending.ticket_id, cast.ada.pk, cast.priya.pk):
        found = caller.get(address, {name: str(row)})
        assert found.status_code in (200, 403, 404), found.content
        answers.add((found.status_code, _told(found)))
    assert len(answers) == 1, answers
