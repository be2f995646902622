"""Calls every route of the document with malformed input and without permission (threats 10, 25, 36 and 37)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.doors.api.pages import PARAMETERS
from tests.api.routes import AZURE, AZURE_VERSION, OPEN, READS, TAKES_A_BODY, Route, address_of, body_of, resolved
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.guards import guard
from tests.isolation.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

#: For every route, at least one of them has the rights to call it.
CALLERS = ("ines", "ada", "priya", "stella")


def _send(caller: Caller, method: str, address: str, body: bytes, **headers: str) -> Any:
    named = {"Authorization": f"Bearer {caller.secret}", "If-Match": '"x"'}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    browser = Browser(raise_request_exception=False)
    return browser.generic(method.upper(), address, body, "application/json", headers=named)


def _callers(world: World) -> dict[str, Caller]:
    """Return people, the guard of an application, and the client that alone has the world's stream."""
    people = {name: Caller(token_of(world.cast, name)) for name in CALLERS}
    program = operations.issue_access_token(world.stream.client, scopes=frozenset({Scope.SSF_READ, Scope.SSF_MANAGE}))
    return {**people, "guard": guard(world.cast), "program": Caller(program.secret)}


def _is_problem(response: Any) -> bool:
    """Return whether an error has the right form: RFC 9457, or the form of Azure or OAuth on their routes."""
    kind = response["Content-Type"]
    return bool(
        kind == "application/problem+json" or (kind == "application/json" and "error" in json.loads(response.content))
    )


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


def test_a_malformed_body_is_refused_and_does_nothing(cast: Cast) -> None:
    """Ines's body is read on every route. On most routes of a tenant, Priya is refused before her body is read."""
    world = World(cast)
    callers = _callers(world)
    before = AuditEntry.objects.count()
    for route, (name, body) in product(TAKES_A_BODY, NOT_A_BODY.items()):
        headers = {"Content_Encoding": "gzip"} if name == "bomb" else {}
        wanted: dict[str, tuple[int, ...]] = {"ines": (400, 422)}
        is_of_a_tenant = route.path.startswith("/api/v1/tenants/")
        # Some routes read the body before they know what this person can do.
        if is_of_a_tenant or name in ("half", "list", "text"):
            wanted["priya"] = (400, 404, 422)
            if not is_of_a_tenant:
                wanted["stella"] = (400, 422)
        for who, statuses in wanted.items():
            found = _send(callers[who], route.method, address_of(route, world), body, **headers)
            assert found.status_code in statuses, (str(route), name, who, found.content)
            assert _is_problem(found), (str(route), name, who)
        assert AuditEntry.objects.count() == before, (str(route), name)


def test_a_member_that_is_not_there_is_refused_and_not_ignored(cast: Cast) -> None:
    world = World(cast)
    callers = _callers(world)
    for route in TAKES_A_BODY:
        if str(route) in OPEN:
            continue
        body = {**body_of(route, world), "approved_by": "x"}
        before = AuditEntry.objects.count()
        refused = []
        for caller in callers.values():
            found = _send(caller, route.method, address_of(route, world), json.dumps(body).encode())
            assert 400 <= found.status_code < 500, (str(route), found.content)
            refused.append((found.status_code, found.content.decode()))
        assert any(status in (400, 422) and "approved_by" in text for status, text in refused), (str(route), refused)
        assert AuditEntry.objects.count() == before, str(route)


def _uuids(shape: dict[str, Any]) -> Iterator[str]:
    """Yield the names of those members of a body that contain ids of rows."""
    for name, inner in shape.get("properties", {}).items():
        inner = resolved(inner)
        if inner.get("format") == "uuid" or resolved(inner.get("items", {})).get("format") == "uuid":
            yield name


NAMES_A_ROW = [(route, name) for route in TAKES_A_BODY for name in _uuids(route.shape)]


def test_there_are_bodies_that_name_rows() -> None:
    assert len(NAMES_A_ROW) >= 5


def test_another_tenants_id_in_a_body_is_as_one_that_is_not_there(cast: Cast) -> None:
    world = World(cast)
    callers = {outsider: Caller(token_of(cast, outsider)) for outsider in ("finn", "frida", "samir")}
    for caller in callers.values():
        caller.step_up()
    foreign = [
        world.cast.contoso.pk,
        world.pending.pk,
        world.pending.ticket_id,
        world.grant.pk,
        world.cast.ada.pk,
        world.cast.resource().pk,
    ]
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    for (route, member), (who, caller) in product(NAMES_A_ROW, callers.items()):
        is_list = "items" in resolved(route.shape["properties"][member])
        answers = set()
        for row in (uuid4(), *foreign):
            body = {**body_of(route, world), member: [str(row)] if is_list else str(row)}
            address = address_of(route, world, cast.fabrikam.pk)
            found = caller.to_view(route.method, address, body, If_Match='"x"')
            assert 400 <= found.status_code < 500, (str(route), member, who, found.content)
            plain = {name: value for name, value in json.loads(found.content).items() if name != "request_id"}
            answers.add((found.status_code, json.dumps(plain, sort_keys=True).replace(str(row), "")))
        assert len(answers) == 1, (str(route), member, who, answers)
    assert not AuditEntry.objects.exclude(pk__in=before).exclude(event="act.refused").exists()
    assert not AuditEntry.objects.exclude(pk__in=before).filter(tenant_id=cast.contoso.pk).exists()


def _reader_of(route: Route) -> str:
    """Return a caller who can read this route, so that its parameters are read."""
    for beginning, reader in (("guard_", "guard"), ("signal_", "program")):
        if str(route).startswith(beginning):
            return reader
    return "stella" if str(route).startswith("provider_") else "ines"


def _sides_of(route: Route) -> dict[str, tuple[int, ...]]:
    """Return callers who can reach this route, each with the expected statuses.

    The provider's people are included where they can, because some filters find other rows for them.
    """
    # A stream is named in the query, and one that is not there is not found.
    names_a_row = (404,) if str(route).startswith("signal_") else ()
    sides: dict[str, tuple[int, ...]] = {_reader_of(route): (200, 400, *names_a_row, 422)}
    if not route.path.startswith("/api/v1/tenants/"):
        sides.setdefault("priya", (200, 400, 403, 404, 422))
        sides.setdefault("stella", (200, 400, 403, *names_a_row, 422))
    return sides


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


def test_a_hostile_parameter_is_refused_on_every_route(cast: Cast, settings: Any) -> None:
    world = World(cast)
    callers = _callers(world)
    settings.API_CALLS_PER_MINUTE = 100_000  # One person makes nearly all of these calls.
    for route, name in product(READS, HOSTILE_NAMES):
        query = {"api-version": AZURE_VERSION.partition("=")[2]} if AZURE in route.path else {}
        caller = callers[_reader_of(route)]
        # The middleware is the same for all routes, so only the calls of the first route pass through it.
        call: Callable[..., Any] = caller if route is READS[0] else caller.to_view
        found = call("get", address_of(route, world).split("?")[0], {**query, name: "1"})
        assert found.status_code == 400, (str(route), name, found.content)
        assert _is_problem(found), (str(route), name)


HOSTILE_VALUES = ["\x00", "\ufdd0", "9" * 400, "-1", "' OR 1=1 --", "%", "\u202e", "x" * 3000, "1e400", "{}", "null"]


def _items(found: Any) -> list[Any]:
    """Return the rows of a list, or the lines of a file."""
    if found.streaming:
        return b"".join(found.streaming_content).splitlines()
    items: list[Any] = json.loads(found.content)["items"]
    return items


@pytest.mark.postgres
def test_a_hostile_value_of_a_filter_is_refused_or_finds_nothing(cast: Cast, settings: Any) -> None:
    """Send all filters of a route in one call, because a refusal with 422 names every wrong filter.

    Then send each of the other filters in a separate call, directly to the view. The middleware is the same for all
    routes, and the reader's call with all filters of a route passes through it. If a caller is refused without any
    filter and with all of them, a call with only one of them would be refused too. The parameters of every list are
    read in the same way for all callers, so only the reader sends each of them in a separate call.
    """
    world = World(cast)
    callers = _callers(world)
    settings.API_CALLS_PER_MINUTE = 100_000  # One person makes nearly all of these calls.
    for route in READS:
        address, names = address_of(route, world).split("?")[0], [each["name"] for each in route.filters()]
        without = {who: callers[who].get(address).status_code for who in _sides_of(route)}
        for (who, statuses), value in product(_sides_of(route).items() if names else (), HOSTILE_VALUES):
            done: set[str] = set()
            call: Callable[..., Any] = callers[who]
            if who != _reader_of(route):
                call = callers[who].to_view
                found = call("get", address, dict.fromkeys(names, value))
                assert found.status_code in statuses, (str(route), value, who, found.content)
                if found.status_code in (403, 404) and found.status_code == without[who]:
                    continue
                done |= PARAMETERS
            together = set(names) - PARAMETERS
            if who == _reader_of(route) and len(together) < 2:
                together = set(names)
            if len(together) > 1 or who == _reader_of(route):
                found = call("get", address, dict.fromkeys(sorted(together), value))
                assert found.status_code in statuses, (str(route), value, who, found.content)
                if found.status_code == 422:
                    done |= {each["field"] for each in json.loads(found.content)["errors"]}
            for name in [name for name in names if name not in done]:
                found = callers[who].to_view("get", address, {name: value})
                assert found.status_code in statuses, (str(route), name, value, who, found.content)
                assert found.status_code != 200 or _items(found) == [], (str(route), name, value, who)


def _comparable(found: Any) -> str:
    """Return a response in a form that can be compared: without the request id. For a file, return its content."""
    if found.streaming:
        return b"".join(found.streaming_content).decode()
    plain = {key: value for key, value in json.loads(found.content).items() if key != "request_id"}
    return json.dumps(plain, sort_keys=True)


FILTERS = [
    (route, each["name"]) for route in READS for each in route.filters() if each["schema"].get("format") == "uuid"
]


def test_another_tenants_id_in_a_filter_is_as_one_that_is_not_there(cast: Cast) -> None:
    world = World(cast)
    callers = {outsider: caller_for(cast, outsider) for outsider in ("finn", "samir", "fabrikam")}
    rows = (uuid4(), cast.contoso.pk, world.pending.pk, world.pending.ticket_id, cast.ada.pk, cast.priya.pk)
    for (route, name), (who, caller) in product(FILTERS, callers.items()):
        answers = set()
        for row in rows:
            found = caller.to_view("get", address_of(route, world, cast.fabrikam.pk), {name: str(row)})
            assert found.status_code in (200, 403, 404), (str(route), name, who, found.content)
            answers.add((found.status_code, _comparable(found)))
        assert len(answers) == 1, (str(route), name, who, answers)
