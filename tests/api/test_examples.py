"""The examples of the OpenAPI document are calls that succeed."""

from __future__ import annotations

from typing import Any

import pytest

from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain.scopes import Scope
from tests.api.routes import TAKES_A_BODY, Route, address_of, body_of
from tests.caller import caller_for, client_of
from tests.cast import Cast
from tests.isolation.world import World
from tests.operations.test_approval_pages import ORIGIN, put

#: For every route, at least one of them has the rights to call it. None is a client of the provider.
CALLERS = ("ada", "ines", "mia", "priya", "pat", "stella", None)

EXAMPLES = [(route, example) for route in TAKES_A_BODY for example in route.examples]


def test_every_route_that_takes_a_body_has_an_example() -> None:
    assert len(TAKES_A_BODY) > 30
    assert [str(route) for route in TAKES_A_BODY if not route.examples] == []


@pytest.mark.django_db
@pytest.mark.parametrize(("route", "example"), EXAMPLES, ids=lambda each: str(each) if isinstance(each, Route) else "")
def test_an_example_works_unchanged(cast: Cast, route: Route, example: Any) -> None:
    world = World(cast)
    access_request = cast.submitted()
    # An act needs a row in the right state, so these rows have different states: an access request that waits for the
    # customer or the provider or is open, and tickets that are in work, waiting or closed.
    asks = (world.pending.pk, world.grant.access_request_id, access_request.pk)
    rows = [{"access_requests": row, "requests": row} for row in asks]
    if "/tickets/{id}" in route.path:
        rows = [{"tickets": row} for row in _tickets(cast)]
    if route.path.endswith("/clients/{id}/tokens"):
        rows = [{"clients": client_of(cast, "contoso", Scope.MEMBERS_PROVISION)[0].pk}]
    if route.path.endswith("/take-role"):
        operations.give_role(cast.contoso.pk, cast.mia.pk, role=example["role"], actor=cast.as_("ines"))
    if route.path.endswith("/passkeys"):
        put(cast)
    refused = []
    for ids in rows:
        address = address_of(route, world, **ids)
        for name in CALLERS:
            caller = caller_for(cast, name)
            if name in cast.people:
                caller.step_up()
            tag = caller.get(address.rpartition("/")[0]).headers.get("ETag") or '"x"'
            if route.method in ("patch", "put"):
                tag = caller.get(address).headers.get("ETag") or '"x"'
            body = body_of(route, world, example)
            if route.path.endswith("/passkeys"):
                # The device's response replaces the empty value of the example, because a response is valid for one
                # challenge.
                options = caller.post(address.replace("/passkeys", "/passkey-options")).json()["options"]
                body["response"] = Authenticator(origin=ORIGIN).create(options)
            found = caller(route.method, address, body, If_Match=tag)
            if found.status_code < 300:
                return
            refused.append((name, found.status_code, found.content.decode()))
    pytest.fail(f"{route.method} {address}: {refused}")


def _tickets(cast: Cast) -> list[Any]:
    """Return one ticket in work, one that waits for the customer, and one that is closed."""
    mia, priya = cast.as_("mia"), cast.as_("priya")
    taken, waiting, closed = (operations.assign_ticket(cast.ticket().pk, actor=priya).pk for _ in range(3))
    operations.ask_customer(waiting, actor=priya, note="Since when?")
    operations.close_ticket(closed, actor=mia)
    return [taken, waiting, closed]
