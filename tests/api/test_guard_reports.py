"""POST /api/v1/guard/accesses: every field is checked, and nothing but a path pattern gets into the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess, Grant, Guard
from requests_app.platform import token_ids
from tests.caller import Caller
from tests.cast import Cast
from tests.guards import LIFE, ONE, guard

pytestmark = pytest.mark.django_db

PATH = "guard/accesses"
NOTHING: Any = object()


@pytest.fixture
def grant(cast: Cast) -> Grant:
    return cast.in_quillo()


def access(grant: Grant, **fields: Any) -> dict[str, Any]:
    found = {
        "grant_id": str(grant.pk),
        "resource": str(grant.access_request.resources.get().pk),
        "engineer": str(grant.engineer_id),
        "jti": token_ids.made(grant.pk, grant.engineer_id),
        "action": "view",
        "item": "GET /w/{id}/pages",
        "at": grant.opens_at.isoformat().replace("+00:00", "Z"),
        "kind": "access",
        "code": "",
        **fields,
    }
    return {name: value for name, value in found.items() if value is not NOTHING}


def body(*accesses: Any, **fields: Any) -> dict[str, Any]:
    found = {
        "guard": ONE,
        "life": LIFE,
        "version": "test/1",
        "first": 1,
        "backlog": 0,
        "accesses": list(accesses),
        **fields,
    }
    return {name: value for name, value in found.items() if value is not NOTHING}


def test_a_report_is_acknowledged_and_a_gap_says_what_is_expected(cast: Cast, grant: Grant) -> None:
    caller = guard(cast)
    found = caller.post(PATH, body(access(grant), access(grant)))
    assert (found.status_code, found.json()) == (200, {"acknowledged": 2, "rejected": 0})
    assert found["Cache-Control"] == "no-store"
    # The numbers replace an Idempotency-Key: the same call with the same key is not answered from memory.
    for key in ("a", "a"):
        found = caller.post(PATH, body(access(grant)), Idempotency_Key=key)
        assert "Idempotency-Replayed" not in found
    gap = caller.post(PATH, body(access(grant), first=9))
    assert (gap.status_code, gap.json()["code"], gap.json()["expected"]) == (409, "reports_gap", 3)
    assert ContentAccess.objects.get().count == 2


def test_a_sign_of_life_needs_no_number(cast: Cast) -> None:
    found = guard(cast).post(PATH, {"guard": ONE, "life": LIFE, "accesses": []})
    assert (found.status_code, found.json()) == (200, {"acknowledged": 0, "rejected": 0})
    assert Guard.objects.get().reported_at is not None


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("guard", NOTHING, 400),
        ("guard", "7", 400),
        ("life", NOTHING, 422),
        ("life", "7", 422),
        ("life", None, 422),
        ("former", LIFE, 422),
        ("former", [7], 422),
        ("former", [LIFE] * 101, 422),
        ("version", "x" * 81, 400),
        ("version", "a\nb", 400),
        ("version", 7, 400),
        ("accesses", NOTHING, 400),
        ("accesses", {}, 400),
        ("accesses", [{}] * 1001, 400),
        ("accesses", ["x"], 422),
        ("first", 0, 422),
        ("first", True, 422),
        ("first", "1", 422),
        ("first", NOTHING, 422),
        ("first", 2**53, 422),
        ("backlog", -1, 422),
        ("backlog", 1.5, 422),
        ("other", 1, 422),
    ],
)
def test_a_report_in_another_form_is_refused(cast: Cast, grant: Grant, field: str, value: Any, status: int) -> None:
    plain = body(access(grant)) | {field: value}
    found = guard(cast).post(PATH, {name: each for name, each in plain.items() if each is not NOTHING})
    assert found.status_code == status, found.content
    assert not Guard.objects.exists()
    assert not ContentAccess.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grant_id", "7"),
        ("resource", NOTHING),
        ("engineer", None),
        ("jti", "a b"),
        ("jti", "x" * 65),
        ("action", "delete"),
        ("item", NOTHING),
        ("item", ""),
        ("item", "GET"),
        ("item", "get /w"),
        ("item", "GET w"),
        ("item", "GET /w?name=anna"),
        ("item", "GET /w#anna"),
        ("item", "GET /w anna"),
        ("item", "GET /w/ä"),
        ("item", "GET /w\n"),
        ("item", "GET /" + "x" * 300),
        ("at", "2026-11-30T18:05:07"),
        ("at", "2026-11-30"),
        ("at", "yesterday"),
        ("at", "0001-01-01T00:00:00Z"),
        ("at", 7),
        ("kind", "Access"),
        ("code", "Not allowed"),
        ("other", "x"),
    ],
)
def test_an_access_with_a_wrong_field_is_refused_and_named(cast: Cast, grant: Grant, field: str, value: Any) -> None:
    found = guard(cast).post(PATH, body(access(grant), access(grant, **{field: value})))
    assert (found.status_code, found.json()["code"]) == (422, "unacceptable")
    assert found.json()["errors"][0]["field"] == f"accesses[1].{field}"
    assert not ContentAccess.objects.exists()
    assert not Guard.objects.exists()


@pytest.mark.parametrize(
    ("item", "stored"),
    [
        ("GET /", "GET /"),
        ("GET /w/{id}/pages", "GET /w/{id}/pages"),
        ("POST /w/<int:pk>/", "POST /w/<int:pk>/"),
        ("GET /w/:id/v2", "GET /w/:id/v2"),
        ("GET /w/7/pages", "GET /w/{value}/pages"),
        ("GET /w/0b3f4fd2-6c0e-4f0e-9d7e-1a2b3c4d5e6f", "GET /w/{value}"),
        ("GET /f/0123456789abcdef01", "GET /f/{value}"),
        ("GET /u/anna@x.example", "GET /u/{value}"),
        ("GET /u/anna%20b/x", "GET /u/{value}/x"),
        ("PRIYA /w", "OTHER /w"),
    ],
)
def test_a_part_that_looks_like_a_value_is_not_stored(cast: Cast, grant: Grant, item: str, stored: str) -> None:
    assert guard(cast).post(PATH, body(access(grant, item=item))).status_code == 200
    entry = AuditEntry.objects.get(event="content.reported")
    assert json.loads(bytes(entry.canonical))["detail"]["accesses"][0]["item"] == stored
    assert ContentAccess.objects.get().item_ref == stored


@pytest.mark.parametrize(("code", "stored"), [("silent", "silent"), ("priya_read_all_of_it", "other")])
def test_a_code_is_one_of_the_known_words(cast: Cast, grant: Grant, code: str, stored: str) -> None:
    assert guard(cast).post(PATH, body(access(grant, kind="refused", code=code))).status_code == 200
    entry = AuditEntry.objects.get(event="content.reported")
    assert json.loads(bytes(entry.canonical))["detail"]["accesses"][0]["code"] == stored


def test_a_persons_token_can_not_report(cast: Cast, grant: Grant, calling: Callable[..., Caller]) -> None:
    """Threat 48: only the application reports, and only with a client that staff have announced."""
    for who in ("priya", "stella", "ada", "contoso", None):
        found = calling(who, Scope.EVALUATE).post(PATH, body(access(grant)))
        assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    plain = Caller(guard(cast).secret + "x").post(PATH, body(access(grant)))
    assert plain.status_code == 401
    assert not ContentAccess.objects.exists()
    assert not Guard.objects.exists()
