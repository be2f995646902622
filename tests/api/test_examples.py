"""Every example in the OpenAPI document is a call that succeeds."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from django.db import transaction
from django.test import Client as Browser

from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.platform.secret_answers import is_secret
from tests.acts.restored import restore
from tests.acts.single_sign_on import SAML
from tests.api.routes import TAKES_A_BODY, Route, address_of, body_of, every_route, resolved
from tests.api.test_access_tasks import SCOPES, client_with
from tests.api.test_access_tasks import World as Desk
from tests.api.test_token_endpoint import basic
from tests.caller import Caller, caller_for, client_of
from tests.cast import Cast
from tests.guards import guard
from tests.isolation.world import World
from tests.offenders import collected
from tests.operations.test_approval_pages import ORIGIN, put

#: For every route, at least one of them has the rights to call it. None is a client of the provider.
CALLERS = ("ada", "ines", "mia", "priya", "pat", "stella", None)

EXAMPLES = [(route, example) for route in TAKES_A_BODY for example in route.examples]


def test_every_route_that_takes_a_body_has_an_example() -> None:
    assert len(TAKES_A_BODY) > 30
    assert [str(route) for route in TAKES_A_BODY if not route.examples] == []


@pytest.mark.slow
@pytest.mark.django_db
def test_every_example_works_unchanged(cast: Cast) -> None:
    """Each example is rolled back afterwards, so that all examples start with the same rows."""
    world = World(cast)
    desk = Desk(cast, client_with(cast, *SCOPES), cast.ticket(service_id=cast.quillo().pk))
    rows = _Rows(cast, world, desk)
    operations.rule_out_level(cast.contoso.pk, level="view", actor=cast.as_("ines"))
    callers: list[tuple[str | None, Caller]] = [(name, caller_for(cast, name)) for name in CALLERS]
    callers.append(("guard", guard(cast)))
    # A signal stream belongs to its client alone.
    program = operations.issue_access_token(world.stream.client, scopes={Scope.SSF_READ, Scope.SSF_MANAGE})
    callers.append(("signals", Caller(program.secret)))
    callers.append(("desk", desk.desk))
    for name, caller in callers:
        if name in cast.people:
            caller.step_up()
    marked: dict[str, bool] = {}
    with collected() as case:
        for route, example in EXAMPLES:
            here = transaction.savepoint()
            with case(route.method, route.path, json.dumps(example)):
                refused = []
                for ids, (name, caller) in product(rows.of(route, example), callers):
                    found = _called(caller, route, example, world, ids, desk)
                    if found.status_code < 300:
                        # This caller is tried first for the next example, which is often about the same kind of row.
                        callers.remove((name, caller))
                        callers.insert(0, (name, caller))
                        if shows_secret(found):
                            marked[route.path] = is_secret(found) and "no-transform" in found["Cache-Control"]
                        break
                    refused.append((name, found.status_code, found.content.decode()))
                else:
                    pytest.fail(f"Everybody is refused: {refused}")
            transaction.savepoint_rollback(here)
    # None of them is stored for a repeated call, or compressed, by this server or by a proxy.
    assert marked == dict.fromkeys(documented_secrets() & {route.path for route, _example in EXAMPLES}, True)


#: What a secret is called in an answer.
_SECRETS = {"secret", "token"}


def shows_secret(answer: Any) -> bool:
    shown = json.loads(answer.content) if answer.content else None
    return isinstance(shown, dict) and any(isinstance(shown.get(name), str) for name in _SECRETS)


def documented_secrets() -> set[str]:
    """Return the paths of the calls of the API whose documented answer shows a secret."""
    return {route.path for route in every_route() if _SECRETS & _names_in_answers(route)}


def _names_in_answers(route: Route) -> set[str]:
    found = [answer for status, answer in route.document["responses"].items() if status.startswith("2")]
    kinds = [kind for answer in found for kind in resolved(answer).get("content", {}).values()]
    return set[str]().union(*(_names(kind.get("schema", {})) for kind in kinds))


def _names(schema: dict[str, Any]) -> set[str]:
    schema = resolved(schema)
    return {*schema.get("properties", {})}.union(*(_names(part) for part in schema.get("allOf", ())))


@pytest.mark.django_db
def test_the_answers_with_a_secret_to_calls_without_a_body_are_marked_too(cast: Cast) -> None:
    client, secret = client_of(cast, "contoso", Scope.LOG_READ)
    token = Browser().post("/oauth/token", {"grant_type": "client_credentials"}, headers=basic(str(client.pk), secret))
    hook = operations.add_webhook(
        cast.contoso.pk, url="https://hooks.contoso.example/", events=["*"], actor=cast.as_("ines")
    )
    ines = caller_for(cast, "ines")
    rotated = [
        ines.post(f"{each}/rotate-secret", {}) for each in (f"clients/{client.pk}", f"webhooks/{hook.webhook.pk}")
    ]
    assert "access_token" in token.json()
    for answer in rotated:
        assert shows_secret(answer), answer.content
    for answer in (token, *rotated):
        assert is_secret(answer)
        assert {"no-store", "no-transform"} <= set(answer["Cache-Control"].split(", "))
    with_a_body = {route.path for route, _example in EXAMPLES}
    assert documented_secrets() - with_a_body == {
        f"/api/v1/{row}/{{id}}/rotate-secret" for row in ("clients", "webhooks")
    }


def _called(caller: Caller, route: Route, example: Any, world: World, ids: dict[str, Any], desk: Desk) -> Any:
    address = address_of(route, world, **ids)
    read = address if route.method in ("patch", "put") else address.rpartition("/")[0]
    tag = caller.get(read).headers.get("ETag") or '"x"'
    body = body_of(route, world, example)
    if route.path.endswith("/passkeys"):
        # The device's response replaces the empty value of the example, because a response is valid for one challenge.
        options = caller.post(address.replace("/passkeys", "/passkey-options")).json()["options"]
        body["response"] = Authenticator(origin=ORIGIN).create(options)
    if route.path.endswith("/restored"):
        # The hash is the one of this world's rows.
        body["shown"] = caller.get(address).json()["shown"]
    if route.path == "/access/v1/requests":
        # Values of this world replace those that name a person, a resource and a ticket, and the token of one client.
        real = desk.submission()
        context = {**body["context"], "ticket": real["context"]["ticket"]}
        body = {**body, **{name: real[name] for name in ("subject", "resource", "denial")}, "context": context}
    return caller(route.method, address, body, If_Match=tag)


class _Rows:
    """Rows in different states, because each act needs a row in the right state.

    One access request waits for the customer, one waits for the provider, and one is open. One ticket is in work, one
    waits for the customer, and one is closed.
    """

    def __init__(self, cast: Cast, world: World, desk: Desk) -> None:
        self.cast, self.desk = cast, desk
        asks = (world.pending.pk, world.grant.access_request_id, cast.submitted().pk)
        self.access_requests = [{"access_requests": row, "requests": row} for row in asks]
        self.tickets = [{"tickets": row} for row in _tickets(cast)]
        self.clients = [{"clients": client_of(cast, "contoso", Scope.MEMBERS_PROVISION)[0].pk}]

    def of(self, route: Route, example: Any) -> list[dict[str, Any]]:
        """Return the rows to try for a route. If the example needs a preparation, make it."""
        if route.path.endswith("/members/{person}/take-role"):
            operations.give_role(
                self.cast.contoso.pk, self.cast.mia.pk, role=example["role"], actor=self.cast.as_("ines")
            )
        if route.path.endswith("/passkeys"):
            put(self.cast)
        if route.path.endswith("/restored"):
            restore(self.cast)
        if route.path.endswith("/sign-on/key"):
            connection = operations.Connection(protocol="saml", metadata=SAML["metadata"], key_claim="", role_map={})
            operations.set_sign_on(self.cast.contoso.pk, connection=connection, was=None, actor=self.cast.as_("ines"))
        if route.path.endswith("/proxies"):
            return [{"services": self.cast.web_tool().pk}]
        if route.path.endswith("/grants/{id}/token"):
            return [{"grants": self.cast.in_quillo().pk}]
        if route.path == "/access/v1/requests/{id}/cancel":
            return [{"requests": self.desk.submitted()["id"]}]
        if route.path.endswith("/clients/{id}/tokens"):
            return self.clients
        if route.path.endswith("/clients/{id}/callbacks"):
            return [{"clients": self.cast.own_client("Asks", ["requests:ask", "evaluate"]).row.pk}]
        return self.tickets if "/tickets/{id}" in route.path else self.access_requests


def _tickets(cast: Cast) -> list[Any]:
    """Return the ids of three tickets: in work, waiting for the customer, and closed."""
    mia, priya = cast.as_("mia"), cast.as_("priya")
    taken, waiting, closed = (operations.assign_ticket(cast.ticket().pk, actor=priya).pk for _ in range(3))
    operations.ask_customer(waiting, actor=priya, note="Since when?")
    operations.close_ticket(closed, actor=mia)
    return [taken, waiting, closed]
