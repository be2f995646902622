"""The problem documents that the API answers to each kind of invalid call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app.doors.api import authentication
from requests_app.models import AccessRequest, IdempotencyKey
from requests_app.operations import _decision_lane
from tests.api.test_idempotency import asking
from tests.caller import Caller
from tests.cast import Cast

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def test_a_problem_has_the_members_of_rfc_9457_and_ours(cast: Cast, calling: Calling) -> None:
    response = calling("ada").get("access-requests/00000000-0000-0000-0000-000000000000", X_Request_ID="abcdefgh1")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response["X-Request-ID"] == "abcdefgh1"
    assert response.json() == {
        "type": "http://localhost:8000/api/#problem-not-found",
        "title": "This does not exist, or you do not have access to it.",
        "status": 404,
        "code": "not_found",
        "request_id": "abcdefgh1",
    }


def test_the_type_of_a_problem_links_to_its_explanation(cast: Cast, calling: Calling) -> None:
    kind = calling("ada").get("nothing").json()["type"]
    page = Browser().get("/api/").content.decode()
    assert f'id="{kind.partition("#")[2]}"' in page


def test_each_fault_of_a_body_is_named(cast: Cast, calling: Calling) -> None:
    body = asking(cast) | {"window_seconds": "7200", "level": "everything", "resources": ["x"], "state": "OPEN"}
    del body["tried"]
    response = calling("priya").post("access-requests", body)
    assert (response.status_code, response.json()["code"]) == (422, "unacceptable")
    assert {each["field"] for each in response.json()["errors"]} == {"state"}
    del body["state"]
    found = calling("priya").post("access-requests", body).json()["errors"]
    assert {each["field"] for each in found} == {"window_seconds", "level", "resources.0", "tried"}
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize(
    ("path", "member"),
    [("access-requests", "resources"), ("tokens", "scopes"), ("tenants/{}/webhooks", "events")],
)
def test_the_items_of_a_too_long_list_are_not_checked(cast: Cast, calling: Calling, path: str, member: str) -> None:
    response = calling("ines").post(path.format(cast.contoso.pk), {member: [1] * 5_000})
    found = [each for each in response.json()["errors"] if each["field"].startswith(member)]
    assert (response.status_code, [each["field"] for each in found]) == (422, [member])


@pytest.mark.parametrize("body", [{"x" * 500_000: 1}, {"name": "x", "days": 7, "scopes": ["y" * 500_000]}])
def test_wrong_input_is_not_echoed_whole_nor_stored(calling: Calling, body: dict[str, Any]) -> None:
    response = calling("otto").post("tokens", body, Idempotency_Key="long")
    assert (response.status_code, len(response.content) < 2_000) == (422, True)
    assert bytes(IdempotencyKey.objects.get().body or b"") == response.content


def test_a_field_that_is_not_there_is_refused_and_not_ignored(cast: Cast, calling: Calling) -> None:
    priya, body = calling("priya"), asking(cast)
    fields = ("state", "approved_by", "closes_at", "id", "allowed_actions", "content_digest")
    answers = {field: priya.post("access-requests", body | {field: "x"}) for field in fields}
    assert {field: (found.status_code, found.json()["errors"]) for field, found in answers.items()} == {
        field: (422, [{"field": field, "detail": "There is no such field."}]) for field in fields
    }
    assert not AccessRequest.objects.exists()


def test_a_length_out_of_bounds_is_refused_with_the_bounds(cast: Cast, calling: Calling) -> None:
    priya, body = calling("priya"), asking(cast)
    offenders = []
    lengths: list[Any] = [-1, 0, 10**9, 10**400, 1.5, "7200", None, True, [], 86400]
    for seconds in lengths:
        response = priya.post("access-requests", body | {"window_seconds": seconds})
        found = (response.status_code, [each["field"] for each in response.json().get("errors", [])][:1])
        if found != (422, ["window_seconds"]):
            offenders.append((seconds, found))
    assert offenders == []
    assert not AccessRequest.objects.exists()


HOSTILE = [
    (b"", 422),
    (b"{", 400),
    (b"[]", 422),
    (b'"text"', 422),
    (b"null", 422),
    (b'{"ticket": NaN}', 400),
    (b'{"tried": "\\u0000"}', 422),
    (b'{"tried": "\\ud800"}', 422),
    (b"\xff\xfe", 400),
    (b"[" * 100_000, 400),
    (b'{"a":' * 50_000, 400),
    (b'{"resources": [' + b'"x",' * 100_000 + b'"x"]}', 422),
]


@pytest.mark.slow
def test_a_hostile_body_is_answered_and_does_nothing(cast: Cast, calling: Calling) -> None:
    headers = {"Authorization": f"Bearer {calling('priya').secret}"}
    before = AuditEntry.objects.count()
    browser = Browser(raise_request_exception=False)
    offenders = []
    for body, status in HOSTILE:
        response = browser.post("/api/v1/access-requests", body, content_type="application/json", headers=headers)
        found = (response.status_code, response["Content-Type"], AuditEntry.objects.count())
        if found != (status, "application/problem+json", before):
            offenders.append((body[:20], found))
    assert offenders == []


def test_a_body_that_is_too_large_is_not_read(cast: Cast, calling: Calling) -> None:
    headers = {"Authorization": f"Bearer {calling('priya').secret}"}
    body = b'{"tried": "' + b"x" * (1024 * 1024) + b'"}'
    browser = Browser(raise_request_exception=False)
    response = browser.post("/api/v1/access-requests", body, content_type="application/json", headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_body_is_json(cast: Cast, calling: Calling, kind: str) -> None:
    headers = {"Authorization": f"Bearer {calling('priya').secret}"}
    response = Browser().generic("POST", "/api/v1/access-requests", b"tried=1", kind, headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


HOSTILE_PARAMETERS = [
    "_connector=OR",
    "requested_by__password=x",
    "state__in=OPEN",
    "tenant.name=Contoso",
    "order=password",
    "order=-submitted_at,id",
    "fields=password",
    "fields=",
    "limit=0",
    "limit=201",
    "limit=-1",
    "limit=١",
    "limit=" + "9" * 5000,
    "cursor=rubbish",
    "cursor=cD0yMDI2",
    "cursor=%00",
    "tenant=1",
    "state=EVERYTHING",
    "submitted_since=yesterday",
    "submitted_since=0001-01-01T00:00:00%2B23:59",
    "submitted_before=9999-12-31T23:59:59-23:59",
    "reference=%00",
    "reference=" + "x" * 200,
    "x" * 2000 + "=1",
]


def test_a_hostile_parameter_is_refused(cast: Cast, calling: Calling) -> None:
    cast.submitted()
    ada = calling("ada")
    offenders = {}
    for query in HOSTILE_PARAMETERS:
        response = ada.get(f"access-requests?{query}")
        is_problem = response["Content-Type"] == "application/problem+json"
        if response.status_code not in (400, 422) or not is_problem or "Traceback" in response.content.decode():
            offenders[query] = (response.status_code, response.content)
    assert offenders == {}


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_a_method_that_a_route_does_not_take_is_405(cast: Cast, calling: Calling, method: str) -> None:
    response = calling("ada")(method, "me")
    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


def test_an_unknown_path_is_a_problem_and_not_a_page(cast: Cast, calling: Calling) -> None:
    paths = ("/api/v2/me", "/api/v1/", "/api/v1/me/", "/api/v1/../admin/", "/api/v1/access-requests/1", "/api/v1/a%0Ab")
    ada = calling("ada")
    answers = {path: ada.get(path) for path in paths}
    found = {path: (response.status_code, response["Content-Type"]) for path, response in answers.items()}
    assert found == dict.fromkeys(paths, (404, "application/problem+json"))


def test_no_form_of_answer_but_json(cast: Cast, calling: Calling) -> None:
    response = calling("ada").get("me", Accept="text/html")
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("path", ["/api/v1/me", "/access/v1/evaluation"])
def test_an_absent_store_is_a_problem_and_not_a_page(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    caller = calling("ada")

    def gone(*_given: object, **_which: str) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(authentication, "find_token", gone)
    monkeypatch.setattr(_decision_lane, "find_callers", gone)
    found = caller("get" if path.endswith("me") else "post", path)
    assert (found.status_code, found["Content-Type"]) == (503, "application/problem+json")
    assert (found.json()["code"], found["Retry-After"]) == ("store_unavailable", "5")
