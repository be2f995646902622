"""Clients and personal tokens over the API: who can read, create and end them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app.domain.scopes import Scope
from requests_app.models import Client, Token
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
DESK: dict[str, Any] = {"name": "Help desk", "scopes": ["tickets:read", "requests:read"]}


def test_an_administrator_manages_the_tenants_clients(cast: Cast, calling: Calling) -> None:
    ines, path = calling("ines"), f"tenants/{cast.contoso.pk}/clients"
    made = ines.post(path, DESK)
    row = Client.objects.get()
    assert (made.status_code, made["Location"]) == (201, f"http://localhost:8000/api/v1/clients/{row.pk}")
    secret = made.json().pop("secret")
    shown = {name: value for name, value in made.json().items() if name != "secret"}
    assert ines.get(f"clients/{row.pk}").json() == shown
    assert ines.get(path).json()["items"] == [shown]
    assert (shown["name"], shown["scopes"], shown["decides_for"], shown["last_used_at"]) == (
        "Help desk",
        ["tickets:read", "requests:read"],
        None,
        None,
    )
    assert access_token(row, secret).status_code == 200

    changed = ines.patch(f"clients/{row.pk}", {"scopes": ["log:read"]})
    assert (changed.status_code, changed.json()["scopes"]) == (200, ["log:read"])
    fresh = ines.post(f"clients/{row.pk}/rotate-secret").json()["secret"]
    row.refresh_from_db()
    assert (access_token(row, secret).status_code, access_token(row, fresh).status_code) == (401, 200)
    assert ines.delete(f"clients/{row.pk}").status_code == 204
    assert ines.get(f"clients/{row.pk}").status_code == 404
    refused = access_token(row, fresh)
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    assert list(
        AuditEntry.objects.filter(event__startswith="client.").order_by("seq").values_list("event", flat=True)
    ) == [
        "client.created",
        "client.changed",
        "client.secret_rotated",
        "client.removed",
    ]


@pytest.mark.parametrize("name", ["mia", "ada", "otto"])
def test_everybody_of_the_tenant_reads_them_and_nobody_else_changes_them(
    cast: Cast, calling: Calling, name: str
) -> None:
    row, _secret = client_of(cast)
    caller, path = calling(name), f"tenants/{cast.contoso.pk}/clients"
    assert [each["id"] for each in caller.get(path).json()["items"]] == [str(row.pk)]
    assert caller.get(f"clients/{row.pk}").status_code == 200
    before = Client.objects.values().get(), AuditEntry.objects.filter(event__startswith="client.").count()
    caller.step_up()
    for answer in (
        caller.post(path, DESK),
        caller.patch(f"clients/{row.pk}", {"scopes": ["log:read"]}),
        caller.post(f"clients/{row.pk}/rotate-secret"),
        caller.delete(f"clients/{row.pk}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert (Client.objects.values().get(), AuditEntry.objects.filter(event__startswith="client.").count()) == before


def test_staff_manage_the_providers_clients_and_tenants_do_not_see_them(cast: Cast, calling: Calling) -> None:
    stella = calling("stella")
    made = stella.post("clients", {"name": "Gateway", "scopes": ["evaluate", "log:read"]})
    # Its right to ask about every tenant is announced first, so it does not have this scope yet.
    assert (made.status_code, made.json()["tenant"], made.json()["scopes"]) == (201, None, ["log:read"])
    path = f"clients/{made.json()['id']}"
    assert [each["name"] for each in stella.get("clients").json()["items"]] == ["Gateway"]
    for name in ("ines", "priya"):
        assert calling(name).get(path).status_code == 404
        assert calling(name).get("clients").json().get("items", []) == []
        assert calling(name).post("clients", {"name": "Mine", "scopes": ["evaluate"]}).status_code == 403
    assert Client.objects.count() == 1
    assert stella.delete(path).status_code == 204


def test_a_client_that_guards_an_application_names_its_service(cast: Cast, calling: Calling) -> None:
    stella, quillo = calling("stella"), cast.quillo()
    missing = stella.post("clients", {"name": "Quillo", "scopes": ["guard"]})
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "service")
    assert not Client.objects.exists()
    body = {"name": "Quillo", "scopes": ["guard", "grants:read"], "service": str(quillo.pk)}
    made = stella.post("clients", body).json()
    assert (made["scopes"], made["service"]) == (["grants:read"], None)
    row = cast.guard().row
    shown = stella.get(f"clients/{row.pk}").json()
    assert shown["service"] == {"id": str(quillo.pk), "key": quillo.key, "name": quillo.name}
    other = stella.patch(f"clients/{row.pk}", {"service": str(cast.exchange.pk)})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "service")
    waits = stella.patch(f"clients/{made['id']}", {"scopes": ["grants:read", "guard"], "service": str(quillo.pk)})
    assert (waits.status_code, waits.json()["code"]) == (409, "wrong_state")
    released = stella.patch(f"clients/{row.pk}", {"scopes": ["grants:read"]})
    assert (released.status_code, released.json()["service"]) == (200, None)


@pytest.mark.parametrize(
    "body", [{"scopes": []}, {"scopes": ["everything"]}, {"scopes": ["members:manage"]}, {"name": ""}]
)
def test_a_client_that_may_not_be_is_refused_by_its_member(cast: Cast, calling: Calling, body: dict[str, Any]) -> None:
    found = calling("ines").post(f"tenants/{cast.contoso.pk}/clients", DESK | body)
    assert found.status_code == 422
    assert found.json()["errors"][0]["field"].partition(".")[0] in body
    assert not Client.objects.exists()


def test_tokens_are_read_by_their_owner_and_the_administrator_and_found_by_filters(
    cast: Cast, calling: Calling, travel: Any
) -> None:
    calling("ada")
    token_of(cast, "mia", Scope.LOG_READ, days=7)
    theirs = Token.objects.get(account=cast.mia)
    mia, ines = calling("mia"), calling("ines")
    assert {each["owner"]["name"] for each in mia.get("tokens").json()["items"]} == {cast.mia.name}
    seen = ines.get("tokens").json()["items"]
    assert {each["owner"]["name"] for each in seen} == {cast.ada.name, cast.mia.name, cast.ines.name}
    assert "secret" not in seen[0]
    mine = ines.get("tokens", {"owner": str(cast.mia.pk)}).json()["items"]
    assert str(theirs.pk) in {each["id"] for each in mine}
    assert ines.delete(f"tokens/{theirs.pk}").status_code == 204
    ended = ines.get("tokens", {"is_live": "false"}).json()["items"]
    assert [each["id"] for each in ended] == [str(theirs.pk)]
    assert ended[0]["revoked_at"] is not None
    assert str(theirs.pk) not in {each["id"] for each in ines.get("tokens", {"is_live": "true"}).json()["items"]}


def test_a_token_makes_no_token_that_may_do_more(cast: Cast, calling: Calling) -> None:
    small = calling("ada", Scope.TOKENS_MANAGE, Scope.REQUESTS_READ)
    count = Token.objects.count()
    found = small.post("tokens", {"name": "more", "scopes": ["decisions:write"], "days": 7})
    assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    assert Token.objects.count() == count
    assert small.post("tokens", {"name": "same", "scopes": ["requests:read"], "days": 7}).status_code == 201
