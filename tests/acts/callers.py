"""Test cases for the acts on clients and tokens of the API: how each act is done through each interface."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from tests.acts.case import Case
from tests.acts.shared import by_adding, by_button, of_tenant
from tests.cast import Cast


def _client(cast: Cast) -> Any:
    made = operations.create_client(tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines"))
    return made.row


def _directory(cast: Cast) -> Any:
    scopes = ["members:provision"]
    made = operations.create_client(tenant_id=cast.contoso.pk, name="Entra", scopes=scopes, actor=cast.as_("ines"))
    return made.row


def _own_client(cast: Cast) -> Any:
    """Return a client of the provider."""
    return cast.own_client("Gateway", ["evaluate"]).row


def _revoke(cast: Cast, client: Client, row: Any) -> Any:
    return client.post(reverse("web:token_revoke", args=[row.pk]))


def _token(cast: Cast) -> Any:
    return operations.create_token(name="laptop", scopes=["log:read"], days=7, actor=cast.as_("mia")).row


CASES: dict[str, Case] = {
    "make_lasting_token": Case(
        "ines",
        _directory,
        lambda cast, row, actor: operations.make_lasting_token(row.pk, days=365, actor=actor),
        page=of_tenant("client_token", days="365"),
        status=200,
        api=lambda cast, caller, row: caller.post(f"clients/{row.pk}/tokens", {"days": 365}),
    ),
    "make_lasting_token by staff": Case(
        "stella",
        lambda cast: cast.own_client("Directory", ["members:provision"]).row,
        lambda cast, row, actor: operations.make_lasting_token(row.pk, days=365, actor=actor),
        admin=by_button("client", "lasting-token", days="365"),
        status=200,
        api=lambda cast, caller, row: caller.post(f"clients/{row.pk}/tokens", {"days": 365}),
    ),
    "create_client": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.create_client(
            tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:clients", args=[cast.contoso.pk]), {"name": "SIEM", "scopes": ["log:read"]}
        ),
        status=200,
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/clients", {"name": "SIEM", "scopes": ["log:read"]}
        ),
    ),
    "create_client by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.create_client(name="Gateway", scopes=["evaluate"], actor=actor),
        admin=by_adding("client", name="Gateway", scopes=["evaluate"]),
        status=200,
        api=lambda cast, caller, row: caller.post("clients", {"name": "Gateway", "scopes": ["evaluate"]}),
    ),
    "change_client": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.change_client(
            row.pk, scopes=["decisions:write"], decides_for_id=cast.ada.pk, actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:client_change", args=[cast.contoso.pk, row.pk]),
            {"scopes": ["decisions:write"], "decides_for": str(cast.ada.pk)},
        ),
        api=lambda cast, caller, row: caller.patch(
            f"clients/{row.pk}", {"scopes": ["decisions:write"], "decides_for": str(cast.ada.pk)}
        ),
    ),
    "change_client by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.change_client(row.pk, scopes=["log:read"], actor=actor),
        admin=by_button("client", "change", scopes=["log:read"]),
        api=lambda cast, caller, row: caller.patch(f"clients/{row.pk}", {"scopes": ["log:read"]}),
    ),
    "rotate_client_secret": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.rotate_client_secret(row.pk, actor=actor),
        page=of_tenant("client_rotate"),
        status=200,
        api=lambda cast, caller, row: caller.post(f"clients/{row.pk}/rotate-secret"),
    ),
    "rotate_client_secret by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.rotate_client_secret(row.pk, actor=actor),
        admin=by_button("client", "rotate"),
        status=200,
        api=lambda cast, caller, row: caller.post(f"clients/{row.pk}/rotate-secret"),
    ),
    "remove_client": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        page=of_tenant("client_remove"),
        api=lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    ),
    "remove_client by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        admin=by_button("client", "remove"),
        api=lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    ),
    "remove_client by staff, of a tenant": Case(
        "stella",
        _client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        admin=by_button("client", "remove"),
        api=lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    ),
    "create_token": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.create_token(name="laptop", scopes=["requests:read"], days=7, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:tokens"), {"name": "laptop", "scopes": ["requests:read"], "days": "7"}
        ),
        status=200,
        api=lambda cast, caller, row: caller.post("tokens", {"name": "laptop", "scopes": ["requests:read"], "days": 7}),
    ),
    "confirm_token": Case(
        "mia",
        _token,
        lambda cast, row, actor: operations.confirm_token(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:token_confirm", args=[row.pk])),
    ),
    "revoke_token": Case(
        "ines",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
        api=lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
    ),
    "revoke_token by its owner": Case(
        "mia",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
        api=lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
    ),
    "revoke_token by staff": Case(
        "stella",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
        admin=by_button("token", "revoke"),
        api=lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
    ),
}
