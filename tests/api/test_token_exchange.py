"""Grant tokens over HTTP: the engineer's call of the API, and token exchange at the token endpoint (RFC 8693)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import StoreUnavailable
from requests_app.domain.scopes import Scope
from requests_app.doors.api import oauth
from requests_app.models import Client, Grant, IdempotencyKey, Service, TokenKey, token_keys
from requests_app.models.token_keys import verified
from tests.api.test_token_endpoint import basic
from tests.caller import Caller, client_of, token_of
from tests.cast import Cast
from tests.offenders import collected
from tests.ways_in import WayIn

pytestmark = pytest.mark.django_db
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


@pytest.fixture
def guard(cast: Cast) -> operations.Made:
    return cast.guard()


@pytest.fixture
def window(cast: Cast, guard: operations.Made) -> Grant:
    return cast.in_quillo()


def issued(cast: Cast, window: Grant) -> str:
    client = Client.objects.select_related("account").filter(service__key="quillo").earliest("created_at")
    return WayIn(cast, client, window).token().token


def exchange(made: operations.Made, token: str, **form: Any) -> Any:
    oauth.TRIES.clear()
    sent = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **form}
    sent = {name: value for name, value in sent.items() if value is not None}
    return Browser().post("/oauth/token", sent, headers=basic(str(made.row.pk), made.secret))


def count() -> int:
    return AuditEntry.objects.filter(event="grant.token_issued").count()


# --- The engineer's call -------------------------------------------------------------------------------------


def test_the_engineer_gets_a_token_with_a_personal_token(cast: Cast, window: Grant) -> None:
    caller = Caller(token_of(cast, "priya", Scope.GRANTS_TOKEN))
    found = caller.post(f"grants/{window.pk}/token", {"alg": "EdDSA"})
    assert (found.status_code, found["Cache-Control"]) == (200, "no-store, private, no-transform")
    body = found.json()
    assert sorted(body) == ["audience", "expires_at", "expires_in", "token"]
    claims = verified(body["token"], typ="at+jwt")
    assert claims is not None
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (body["audience"], body["expires_in"])
    # Without a body too.
    assert caller.post(f"grants/{window.pk}/token").status_code == 200


def test_a_repeated_call_does_not_store_the_token(cast: Cast, window: Grant) -> None:
    caller = Caller(token_of(cast, "priya", Scope.GRANTS_TOKEN))
    first = caller.post(f"grants/{window.pk}/token", {}, Idempotency_Key="k-1")
    assert first.status_code == 200
    assert [bytes(row.body or b"") for row in IdempotencyKey.objects.all()] == [b""]
    again = caller.post(f"grants/{window.pk}/token", {}, Idempotency_Key="k-1")
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_gone")
    assert count() == 1


@pytest.mark.parametrize(
    ("who", "scopes", "status", "code"),
    [
        ("priya", [Scope.GRANTS_READ, Scope.GRANTS_CLOSE], 403, "insufficient_scope"),
        ("pat", [Scope.GRANTS_TOKEN], 403, "not_allowed"),
        ("stella", [Scope.GRANTS_TOKEN], 403, "not_allowed"),
        ("ada", [Scope.GRANTS_TOKEN], 403, "not_allowed"),
        ("frida", [Scope.GRANTS_TOKEN], 404, "not_found"),
        ("erik", [Scope.GRANTS_TOKEN], 404, "not_found"),
    ],
)
def test_other_calls_are_refused(
    cast: Cast, window: Grant, who: str, scopes: list[Scope], status: int, code: str
) -> None:
    found = Caller(token_of(cast, who, *scopes)).post(f"grants/{window.pk}/token", {})
    assert (found.status_code, found.json()["code"]) == (status, code)
    assert count() == 0


@pytest.mark.parametrize("body", [{"alg": "none"}, {"alg": "HS256"}, {"alg": None}, {"algorithm": "RS256"}])
def test_a_wrong_body_is_refused(cast: Cast, window: Grant, body: dict[str, Any]) -> None:
    found = Caller(token_of(cast, "priya", Scope.GRANTS_TOKEN)).post(f"grants/{window.pk}/token", body)
    assert found.status_code == 422
    assert count() == 0


def test_a_client_gets_none(cast: Cast, window: Grant, guard: operations.Made) -> None:
    with collected() as case:
        for name, scopes in {"guard": [Scope.GUARD], "help desk": [Scope.GRANTS_READ]}.items():
            with case(name):
                row = guard.row if name == "guard" else client_of(cast, None, *scopes)[0]
                token = operations.issue_access_token(row, scopes=scopes).secret
                found = Caller(token).post(f"grants/{window.pk}/token", {})
                assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    assert count() == 0


# --- Token exchange ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ACCESS, JWT])
def test_the_application_exchanges_a_token_for_the_next_one(
    cast: Cast, window: Grant, guard: operations.Made, kind: str
) -> None:
    audience = "http://localhost:8000/services/quillo"
    answer = exchange(guard, issued(cast, window), subject_token_type=kind, audience=audience)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store, private, no-transform")
    found = answer.json()
    claims = verified(found.pop("access_token"), typ="at+jwt")
    assert claims is not None
    assert (claims["aud"], claims["client_id"], claims["sub"]) == (audience, str(guard.row.pk), str(cast.priya.pk))
    assert found == {"issued_token_type": ACCESS, "token_type": "Bearer", "expires_in": claims["exp"] - claims["iat"]}
    entry = AuditEntry.objects.order_by("-pk")[0]
    assert (entry.event, entry.door) == ("grant.token_issued", "api")


def test_the_secret_can_be_in_the_form(cast: Cast, window: Grant, guard: operations.Made) -> None:
    form = {"client_id": str(guard.row.pk), "client_secret": guard.secret, "grant_type": EXCHANGE}
    token = issued(cast, window)
    answer = Browser().post("/oauth/token", {**form, "subject_token": token, "subject_token_type": ACCESS})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "x"}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": ACCESS}, "invalid_request"),
        ({"scope": "guard"}, "invalid_scope"),
        ({"audience": "http://localhost:8000/services/ledger"}, "invalid_target"),
        ({"resource": "https://quillo.example/"}, "invalid_target"),
    ],
)
def test_a_wrong_exchange_is_refused(
    cast: Cast, window: Grant, guard: operations.Made, form: dict[str, Any], error: str
) -> None:
    token = issued(cast, window)
    answer = exchange(guard, token, **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert count() == 1


def test_a_refusal_has_its_stable_code_and_its_entry(
    cast: Cast, window: Grant, guard: operations.Made, travel: Any
) -> None:
    token = issued(cast, window)
    other = Service.objects.create(key="ledger", name="Ledger", connector="external", application="Ledger")
    foreign = exchange(cast.guard(other), token)
    assert (foreign.status_code, foreign.json()) == (
        400,
        {"error": "invalid_request", "error_description": "grant_token_foreign"},
    )
    operations.revoke(window.access_request_id, actor=cast.as_("ada"))
    over = exchange(guard, token)
    assert over.json() == {"error": "invalid_request", "error_description": "window_not_open"}
    travel.by(minutes=5)
    ended = exchange(guard, token)
    assert ended.json() == {"error": "invalid_request", "error_description": "grant_token_ended"}
    rows = AuditEntry.objects.filter(event="act.refused", text__contains="renew_grant_token").order_by("pk")
    assert [row.tenant_id for row in rows] == [cast.contoso.pk] * 3
    assert count() == 1


def test_without_a_database_the_answer_has_the_format_of_oauth(
    cast: Cast, window: Grant, guard: operations.Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_named: Any) -> None:
        raise StoreUnavailable

    token = issued(cast, window)
    monkeypatch.setattr(operations, "renew_grant_token", fail)
    answer = exchange(guard, token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert (answer["Cache-Control"], answer["Retry-After"]) == ("no-store", "5")


def test_only_the_client_of_an_application_exchanges(cast: Cast, window: Grant, guard: operations.Made) -> None:
    token = issued(cast, window)
    wrong = operations.Made(guard.row, "lockbox_cs_wrong")
    answer = exchange(wrong, token)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    for made in (cast.own_client("Gateway", ["evaluate", "grants:read"]), operations.Made(*client_of(cast))):
        answer = exchange(made, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    Client.objects.filter(pk=guard.row.pk).update(service=None)
    assert exchange(guard, token).json()["error"] == "unauthorized_client"
    Client.objects.filter(pk=guard.row.pk).update(service=cast.quillo(), scopes=["evaluate"])
    assert exchange(guard, token).json()["error"] == "unauthorized_client"
    operations.remove_client(guard.row.pk, actor=cast.as_("stella"))
    assert exchange(guard, token).json() == {"error": "invalid_client"}
    assert count() == 1


def test_an_access_token_of_the_api_is_no_grant_token(cast: Cast, window: Grant, guard: operations.Made) -> None:
    for secret in (
        operations.issue_access_token(guard.row, scopes=[Scope.GUARD]).secret,
        token_of(cast, "priya", Scope.GRANTS_TOKEN),
    ):
        assert exchange(guard, secret).json() == {"error": "invalid_request", "error_description": "not_found"}
    assert count() == 0


def test_no_token_and_no_key_reaches_the_servers_log(
    cast: Cast,
    window: Grant,
    guard: operations.Made,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    caller = Caller(token_of(cast, "priya", Scope.GRANTS_TOKEN))
    first = caller.post(f"grants/{window.pk}/token").json()["token"]
    second = exchange(guard, issued(cast, window)).json()["access_token"]
    operations.revoke(window.access_request_id, actor=cast.as_("ada"))
    assert exchange(guard, second).status_code == 400
    out, err = capfd.readouterr()
    logged = out + err + caplog.text
    assert "token_key.made" in logged
    private = [json.loads(token_keys._sealer().opened(row.sealed)) for row in TokenKey.objects.all()]
    secrets = [*first.split(".")[1:], *second.split(".")[1:], *(each["d"] for each in private), guard.secret]
    secrets += [row.sealed for row in TokenKey.objects.all()]
    assert [each for each in secrets if each in logged] == []


def test_a_grant_token_is_no_token_of_our_api(cast: Cast, window: Grant) -> None:
    token = issued(cast, window)
    for path in ("me", f"grants/{window.pk}", "grants"):
        assert Caller(token).get(path).status_code == 401
    assert Caller(token).post(f"grants/{window.pk}/token", {}).status_code == 401
