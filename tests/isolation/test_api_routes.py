"""Outsiders call every route of the API. They get the same 404 for a missing row and for another tenant's row."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app.domain.acts.declaration import Comment, Kind
from requests_app.doors.api import plain
from requests_app.doors.api.azure import API_VERSION
from requests_app.doors.api.scim.shapes import GROUP, USER
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.isolation.world import Ids, Route, World, routes

pytestmark = pytest.mark.django_db

#: What an engineer can read of every tenant: its name and the resources of their queue, because a demand can be about
#: any.
OF_ENGINEERS = {("tenants", "samir"), ("resources", "samir")}
#: Routes that contain no id of a tenant's row and show nothing of the caller, each with the reason.
OTHERS = {
    "step_up": "proves again who the caller is: tests/api/test_access_requests.py",
    "guard_release": "takes a grant token in its body, which names the window: tests/api/test_guard_release.py",
    "service": "belongs to no tenant",
    "proxies": "belongs to no tenant, and only staff see a row: tests/api/test_gates.py",
    "resources_bulk": "names rows of tenants in its body, and is for staff only: tests/api/test_bulk.py",
    "reader": "public: the page of the API's document",
    "openapi": "public: the API's document",
    "ssf": "public: the addresses for signal streams",
    "signal_streams": "names a stream in its query or body: tests/webhooks/test_signals.py",
    "signal_status": "names a stream in its query or body: tests/webhooks/test_signals.py",
    "signal_verification": "names a stream in its body: tests/webhooks/test_signals.py",
    "token": "public: takes a secret in its body; tests/api/test_token_endpoint.py",
    "metadata": "public: the addresses for tokens",
    "jwks": "public: the keys with which others verify tokens",
    "authzen": "public: the addresses of the decision point",
    **dict.fromkeys(
        ("gate_original", "gate_forwarded", "gate_open", "gate_code", "gate_status", "gate_done"),
        "needs the secret of a proxy, and answers before all views: tests/api/test_forward_auth.py",
    ),
    "azure_enable": "is about the caller's own tenant, without an id",
    "azure_disable": "is about the caller's own tenant, without an id",
    "evaluation": "answers 200 with a denial for a missing and for another tenant's thing: test_decision_point.py",
    "evaluations": "answers 200 with a denial for a missing and for another tenant's thing: test_decision_point.py",
    "search_subject": "finds nothing about a missing and about another tenant's thing: tests/api/test_search.py",
    "search_resource": "finds nothing about a missing and about another tenant's thing: tests/api/test_search.py",
    "search_action": "finds nothing about a missing and about another tenant's thing: tests/api/test_search.py",
    **dict.fromkeys(
        ("access_tasks", "access_task", "access_task_cancel"),
        "is for one client of the provider, and absent for all others: tests/api/test_access_tasks.py",
    ),
    "access_task_schema": "public: what a client must send",
    "guard_accesses": "is for the provider's applications, and rejects another service's windows: test_reports.py",
    "scim_resource_type": "shows a description that is the same for all tenants",
    "scim_schema": "shows a description that is the same for all tenants",
    "scim_not_offered": "a regular expression that catches the remaining addresses: 501",
    "scim_nothing": "a regular expression that catches the remaining addresses: 404",
    "azure_nothing": "a regular expression that catches the remaining addresses: 404",
    "nothing": "a regular expression that catches the remaining addresses: 404",
}
#: The bodies for calls that need a body.
BODIES: dict[str, Any] = {
    "clients": {"name": "Mine", "scopes": ["log:read"]},
    "client": {"scopes": ["log:read"]},
    "client_tokens": {"days": 30},
    "client_callbacks": {"url": "https://hooks.example/in"},
    "webhooks": {"url": "https://hooks.example/in", "events": ["*"]},
    "webhook": {"label": "Mine"},
    "plans": {"name": "Mine", "includes_lockbox": False},
    "plan": {"name": "Mine"},
    "tenant_change": {"name": "Mine"},
    "resources": {"service": str(uuid4()), "kind": "mailbox", "name": "Mine", "locator": "fabrikam/mine"},
    "resource": {"name": "Mine"},
    **dict.fromkeys(
        ("provider_person_give_role", "provider_person_take_role"), {"role": "engineer", "service": str(uuid4())}
    ),
    "tenant": {"longest_window_seconds": 3600},
    "absences": {"deputy": str(uuid4()), "from_at": "2099-01-01T00:00:00Z", "until_at": "2099-01-02T00:00:00Z"},
    "mutes": {"engineer": None, "hours": 4},
    "two_person_control": {"on": True},
    "sign_on": {"issuer": "https://mine.example", "client_id": "mine"},
    "domains": {"name": "mine.example"},
    "invitations": {"email": "mine@x.example", "role": "approver"},
    **dict.fromkeys(("member_give_role", "member_take_role"), {"role": "approver"}),
    "passkeys": {"name": "Mine", "response": {}},
    "addresses": {"email": "mine@fabrikam.example"},
    "comments": {"body": "Mine"},
    "ticket_link": {"external_reference": "INC-1"},
    "azure_update_approval": {"status": "Deny"},
    "scim_group": {"schemas": [GROUP], "members": []},
    "scim_user": {"schemas": [USER], "userName": "mine@x.example", "active": False},
}


#: Values for the inputs of an act whose route is generated from its declaration.
VALUES: dict[Kind, Any] = {
    Kind.LINE: "Mine",
    Kind.TEXT: "Mine",
    Kind.EMAIL: "mine@x.example",
    Kind.NUMBER: 1,
    Kind.FLAG: True,
    Kind.INSTANT: "2099-01-01T00:00:00Z",
    Kind.ID: str(uuid4()),
}


def body_of(route: Route) -> Any:
    """Return a body for a call of this route, from the declaration of its act or from the table above."""
    view = getattr(route.entry.callback, "cls", None)
    if view is None or view.__module__ != plain.__name__:
        return BODIES.get(route.name)
    (act,) = view.acts["POST"]
    comment = {} if act.comment is Comment.NONE else {"comment": "Mine"}
    return {**comment, **{each.name: VALUES.get(each.kind) or each.choices[0] for each in act.inputs}} or None


def address(name: str, ids: Ids) -> str:
    """Return the URL of a route. A URL of Azure's contract gets the version in its query."""
    return reverse(f"api:{name}", kwargs=ids) + (f"?api-version={API_VERSION}" if name.startswith("azure_") else "")


def calls() -> list[Route]:
    return [route for route in routes() if route.namespace == "api"]


def rows_named() -> list[Route]:
    return [route for route in calls() if route.is_path and route.names_a_row]


def personal_routes() -> list[Route]:
    """Return the routes that show callers only their own rows."""
    return [
        route
        for route in calls()
        if route.is_path and "get" in route.methods and not (route.collections or route.takes_free_text)
        if route.name not in OTHERS
    ]


def test_every_route_of_the_api_is_tried_or_has_a_reason_not_to_be() -> None:
    tried = [*rows_named(), *personal_routes()]
    assert {route.name: route.path for route in calls() if route not in tried and route.name not in OTHERS} == {}
    assert OTHERS.keys() - {route.name for route in calls()} == set(), "no such route"
    # If two routes had one name, the tests would call only one of them.
    assert [name for name, count in Counter(route.name for route in calls()).items() if count > 1] == []
    assert [route.name for route in tried if not route.methods] == []


def test_the_body_for_a_route_that_is_generated_comes_from_its_act() -> None:
    """Without a valid body, a call is refused before the row is looked for, and the tests below would show nothing."""
    [route] = [route for route in calls() if route.path.endswith("/withdraw") and "access-requests" in route.path]
    assert body_of(route) == {"comment": "Mine"}


@pytest.mark.parametrize("outsider", ["frida", "finn", "fatima", "samir"])
def test_an_outsider_gets_the_404_of_what_does_not_exist(cast: Cast, outsider: str) -> None:
    """The administrator's calls pass through the whole site. Those of the others go directly to the views."""
    world = World(cast)
    caller = Caller(token_of(cast, outsider))
    caller.step_up()
    before = AuditEntry.objects.count()
    for route in rows_named():
        if (route.name, outsider) in OF_ENGINEERS:
            continue
        for call, foreign, nothing in _asked(caller if outsider == "finn" else caller.to_view, route, world):
            # The routes of files do not support HEAD.
            wanted = 405 if call[1] == "head" and foreign.status_code == 405 else 404
            assert (foreign.status_code, nothing.status_code) == (wanted, wanted), (*call, foreign.content)
            assert _plain(foreign) == _plain(nothing), call
        assert AuditEntry.objects.count() == before, route.name


def test_a_client_of_another_tenant_cannot_learn_what_exists(cast: Cast) -> None:
    world = World(cast)
    caller = caller_for(cast, "fabrikam")
    before = AuditEntry.objects.count()
    for route in rows_named():
        for call, foreign, nothing in _asked(caller.to_view, route, world):
            assert foreign.status_code == nothing.status_code, call
            assert _plain(foreign) == _plain(nothing), call
            # A client has no scope for some acts.
            is_head = call[1] == "head" and foreign.status_code == 405
            is_refused = foreign.status_code == 404 or is_head or "insufficient_scope" in foreign["WWW-Authenticate"]
            assert is_refused, (*call, foreign.content)
        assert AuditEntry.objects.count() == before, route.name


def _asked(call: Callable[..., Any], route: Route, world: World) -> Iterator[tuple[tuple[str, str], Any, Any]]:
    """Yield (route, method), the response for a row of Contoso, and the response for a missing row."""
    for ids, method in product(route.ids(world), route.methods):
        absent = {key: uuid4() if isinstance(value, UUID) else value for key, value in ids.items()}
        body = body_of(route) if method in ("post", "patch", "put") else None
        there, away = (call(method, address(route.name, each), body, If_Match='"x"') for each in (ids, absent))
        yield (route.name, method), there, away


@pytest.mark.parametrize("outsider", ["frida", "finn", "samir", "fabrikam"])
def test_personal_lists_show_nothing_of_another_tenant(cast: Cast, outsider: str) -> None:
    world = World(cast)
    caller = caller_for(cast, outsider)
    for route in personal_routes():
        for ids in route.ids(world):
            found = caller.get(address(route.name, ids))
            text = found.content.decode()
            # For outsiders, the provider's log is a 404.
            is_providers_log = route.name.startswith("provider_log")
            assert found.status_code in ((403, 404) if is_providers_log else (200, 403)), (
                route.name,
                found.status_code,
            )
            assert World.CANARY not in text, route.name
            if (route.name, outsider) not in OF_ENGINEERS:
                assert "contoso" not in text.lower(), route.name


def test_nobody_calls_without_a_token(cast: Cast) -> None:
    world = World(cast)
    for route in [*rows_named(), *personal_routes()]:
        for ids, method in product(route.ids(world), route.methods):
            for secret in ("", "lockbox_pat_" + "x" * 46, "rubbish"):
                response = Caller(secret)(method, address(route.name, ids))
                assert response.status_code == 401, (route.name, method)
                assert response["WWW-Authenticate"].startswith('Bearer realm="lockbox"'), (route.name, method)


def _plain(response: Any) -> Any:
    """Return what can be compared of a response: all parts except those that differ in each call."""
    body = json.loads(response.content) if response.content else {}
    body.pop("request_id", None)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", json.dumps(body, sort_keys=True))
