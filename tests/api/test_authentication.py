"""How callers authenticate, and when their tokens end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.views import APIView

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import api_secrets
from requests_app.domain.acts import SCOPES
from requests_app.domain.api_secrets import Kind
from requests_app.domain.errors import InsufficientScope, NotFound
from requests_app.domain.scopes import OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope, in_order
from requests_app.doors.api.base import ApiView
from requests_app.models import AccessRequest, Client, Token
from requests_app.models.people import actor_of_token
from tests.caller import Caller, access_token, client_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def test_a_personal_token_carries_its_human(cast: Cast, calling: Calling) -> None:
    found = calling("ada", Scope.REQUESTS_READ).get("me").json()
    assert found.pop("expires_at")
    assert found == {
        "id": str(cast.ada.pk),
        "kind": "person",
        "name": "Ada Test",
        "email": "ada@contoso.example",
        "side": "customer",
        "tenants": [str(cast.contoso.pk)],
        "roles": ["approver", "member"],
        "scopes": ["requests:read"],
    }


def test_a_client_is_itself_and_nobody_else(cast: Cast, calling: Calling) -> None:
    found = calling("contoso", Scope.LOG_READ).get("me").json()
    assert (found["kind"], found["name"], found["email"]) == ("client", "Help desk", "")
    assert (found["roles"], found["scopes"]) == (["auditor"], ["log:read"])


@pytest.mark.parametrize("header", ["", "Basic YWRhOnNlY3JldA==", "Bearer", "Bearer ", "Bearer lockbox_pat_short"])
def test_without_a_live_token_nobody_is_let_in(db: None, header: str) -> None:
    response = Browser().get("/api/v1/me", headers={"Authorization": header} if header else {})
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    wanted = 'Bearer realm="lockbox"' + (', error="invalid_token"' if header else "")
    assert response["WWW-Authenticate"] == wanted


def test_a_session_is_no_way_in(cast: Cast) -> None:
    browser = Browser()
    browser.force_login(cast.ada)
    assert browser.get("/api/v1/me").status_code == 401
    assert browser.post(f"/api/v1/access-requests/{cast.confirmed().pk}/deny").status_code == 401


def test_a_token_out_of_a_document_costs_no_query(db: None) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = Browser().get("/api/v1/me", headers={"Authorization": "Bearer lockbox_pat_" + "a" * 46})
    assert (response.status_code, len(queries)) == (401, 0)


def _revoked(cast: Cast, token: Token, travel: Any) -> None:
    operations.revoke_token(token.pk, actor=cast.as_("ada"))


def _expired(cast: Cast, token: Token, travel: Any) -> None:
    travel.to(token.expires_at)


def _switched_off(cast: Cast, token: Token, travel: Any) -> None:
    operations.switch_off_person(cast.ada.pk, actor=cast.as_("ines"))


@pytest.mark.parametrize("end", [_revoked, _expired, _switched_off])
def test_an_ended_token_stops_working_immediately(
    cast: Cast, calling: Calling, travel: Any, end: Callable[[Cast, Token, Any], None]
) -> None:
    row = cast.confirmed()
    ada = calling("ada")
    assert ada.get("me").status_code == 200
    ada.step_up()
    tag = ada.get(f"access-requests/{row.pk}")["ETag"]
    end(cast, Token.objects.get(), travel)
    before = AuditEntry.objects.count()
    response = ada.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
    assert AuditEntry.objects.count() == before


def test_the_tokens_of_a_removed_client_stop_working_immediately(cast: Cast) -> None:
    client, secret = client_of(cast, "contoso", Scope.TENANT_READ)
    caller = Caller(access_token(client, secret).json()["access_token"])
    assert caller.get("me").status_code == 200
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    assert caller.get("me").status_code == 401
    assert access_token(client, secret).json() == {"error": "invalid_client"}


def test_a_new_secret_ends_what_was_got_with_the_old_one(cast: Cast) -> None:
    client, secret = client_of(cast)
    caller = Caller(access_token(client, secret).json()["access_token"])
    made = operations.rotate_client_secret(client.pk, actor=cast.as_("ines"))
    assert caller.get("me").status_code == 401
    assert access_token(client, secret).status_code == 401
    assert access_token(client, made.secret).status_code == 200


def test_a_token_that_is_asked_for_beside_a_new_secret_is_not_made(cast: Cast) -> None:
    """The client proved its old secret, and asks for a token. Meanwhile the secret was replaced."""
    client, _secret = client_of(cast)
    operations.rotate_client_secret(client.pk, actor=cast.as_("ines"))
    with pytest.raises(NotFound):
        operations.issue_access_token(client, scopes=[Scope.LOG_READ])
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    ("name", "status"),
    [("ines", 200), ("stella", 200), ("mia", 200), ("ada", 200), ("otto", 200), ("frida", 404), ("priya", 404)],
)
def test_a_client_is_shown_to_its_tenants_people_and_to_staff(
    cast: Cast, calling: Calling, name: str, status: int
) -> None:
    client, _secret = client_of(cast)
    assert calling(name, Scope.TOKENS_MANAGE).get(f"clients/{client.pk}").status_code == status


def test_a_scope_that_is_missing_is_named(cast: Cast, calling: Calling) -> None:
    response = calling("ada", Scope.TICKETS_READ).get("access-requests")
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"] == 'Bearer realm="lockbox", error="insufficient_scope", scope="requests:read"'


def test_a_token_does_less_than_its_human_and_never_more(cast: Cast, calling: Calling) -> None:
    """Otto is an auditor. A token with all scopes still does not make him an approver."""
    row = cast.confirmed()
    otto = calling("otto")
    otto.step_up()
    response = otto.decide("approve", row)
    assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"


def test_a_role_that_was_taken_away_ends_what_the_token_could(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    ada = calling("ada")
    ada.step_up()
    tag = ada.get(f"access-requests/{row.pk}")["ETag"]
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    # Her rights are part of the representation that the tag covers, so both tags are tried. The API checks her rights
    # before it compares the tag.
    for tag_sent in (tag, ada.get(f"access-requests/{row.pk}")["ETag"]):
        response = ada.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag_sent)
        assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"


def test_no_token_of_anybody_opens_content(cast: Cast, calling: Calling) -> None:
    """No scope gives access to content. A token never replaces a grant."""
    assert {"list_items", "open_item"} & SCOPES.keys() == set()
    grant = cast.opened()
    token = operations.create_token(name="all", scopes=in_order(Scope), days=7, actor=cast.as_("priya")).row
    actor, where = actor_of_token(token), (grant.pk, cast.resource().pk)
    before = AuditEntry.objects.exclude(event="act.refused").count()
    for look in (
        partial(operations.content.list_items, *where, actor=actor),
        partial(operations.content.open_item, *where, "1.mail", actor=actor),
    ):
        with pytest.raises(InsufficientScope):
            look()
    assert AuditEntry.objects.exclude(event="act.refused").count() == before


def test_when_a_token_was_used_is_remembered_to_the_minute(cast: Cast, calling: Calling, travel: Any) -> None:
    at = travel.freeze()
    ada = calling("ada")
    ada.get("me")
    assert Token.objects.get().last_used_at == at
    travel.by(seconds=59)
    ada.get("me")
    assert Token.objects.get().last_used_at == at
    later = travel.by(seconds=1)
    ada.get("me")
    assert Token.objects.get().last_used_at == later


def test_only_the_hash_of_a_secret_is_stored(cast: Cast) -> None:
    made = operations.create_token(name="laptop", scopes=["log:read"], days=7, actor=cast.as_("ada"))
    client, secret = client_of(cast)
    access = access_token(client, secret).json()["access_token"]
    for model in (Token, Client, AuditEntry):
        for row in model.objects.all():
            stored = repr(vars(row))
            assert made.secret not in stored
            assert secret not in stored
            assert access not in stored


@pytest.mark.parametrize("kind", list(Kind))
def test_a_secret_is_recognised_by_scanners_and_by_its_checksum(kind: Kind) -> None:
    secret = api_secrets.make(kind)
    assert api_secrets.PATTERN.fullmatch(secret)
    assert api_secrets.is_whole(secret, kind)
    for at in (13, len(secret) - 1):
        wrong = "0" if secret[at] != "0" else "1"
        assert not api_secrets.is_whole(secret[:at] + wrong + secret[at + 1 :], kind)
    others = [other for other in Kind if other is not kind]
    assert not api_secrets.is_whole(secret, *others)


def test_a_secret_that_was_made_before_stays_good() -> None:
    secret = f"lockbox_pat_{'0123456789' * 4}32mxo1"
    assert api_secrets.is_whole(secret, Kind.PERSONAL)


def test_a_list_shows_the_last_four_characters_of_a_secret() -> None:
    assert api_secrets.hint("lockbox_pat_0123456789") == "6789"


def test_machines_manage_neither_people_nor_machines() -> None:
    for scopes in (OF_CLIENTS, OF_PROVIDER_CLIENTS):
        assert not scopes & {Scope.MEMBERS_MANAGE, Scope.TOKENS_MANAGE}
    assert Scope.DECISIONS_WRITE not in OF_PROVIDER_CLIENTS


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
def test_the_usual_headers_need_no_negotiation(
    calling: Calling, monkeypatch: pytest.MonkeyPatch, accept: str | None
) -> None:
    """The answer is of the kind that the framework would choose."""
    caller = calling("ada", Scope.REQUESTS_READ)
    sent = {} if accept is None else {"Accept": accept}
    with monkeypatch.context() as patched:
        patched.setattr(ApiView, "perform_content_negotiation", APIView.perform_content_negotiation)
        by_framework = caller("get", "me", **sent)
    monkeypatch.setattr(DefaultContentNegotiation, "select_renderer", None)
    found = caller("get", "me", **sent)
    assert (found.status_code, found["Content-Type"]) == (200, by_framework["Content-Type"])
    assert found.content == by_framework.content


def test_a_header_with_parameters_is_negotiated(calling: Calling) -> None:
    found = calling("ada", Scope.REQUESTS_READ).get("me", Accept="application/json; indent=2")
    assert found.content.startswith(b'{\n  "id"')
