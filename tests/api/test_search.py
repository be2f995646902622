"""The searches of the decision point over HTTP: pages, tokens, quota and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from requests_app.domain.scopes import Scope
from tests.caller import Caller, caller_for
from tests.cast import Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
SUBJECT, RESOURCE, ACTION = (f"/access/v1/search/{sought}" for sought in ("subject", "resource", "action"))


@pytest.fixture
def gateway(cast: Cast) -> Caller:
    """Return a client of the provider that can only call the decision point."""
    return caller_for(cast, None, Scope.EVALUATE)


def question(cast: Cast, *, by: str = "priya", tenant: str = "contoso", **more: Any) -> dict[str, Any]:
    """Return a question that is complete for all searches. Each ignores what it is for."""
    return {
        "subject": {"type": "engineer", "id": cast.people[by].email},
        "action": {"name": "list"},
        "resource": {"type": "exchange-online", "id": str(cast.resource(tenant).pk)},
        **more,
    }


def test_the_answers_of_the_three_searches(cast: Cast, gateway: Caller) -> None:
    cast.opened(level="view")
    body = question(cast)
    assert gateway.post(SUBJECT, body).json() == {
        "page": {"next_token": "", "count": 1},
        "results": [
            {
                "type": "engineer",
                "id": str(cast.priya.pk),
                "properties": {"name": "Priya Test", "email": cast.priya.email},
            }
        ],
    }
    resource = cast.resource()
    assert gateway.post(RESOURCE, body).json() == {
        "page": {"next_token": "", "count": 1},
        "results": [
            {
                "type": "exchange-online",
                "id": str(resource.pk),
                "properties": {"name": resource.name, "external_id": "", "tenant": "contoso"},
            }
        ],
    }
    assert gateway.post(ACTION, body).json() == {
        "page": {"next_token": "", "count": 2},
        "results": [{"name": "list"}, {"name": "view"}],
    }


def test_pages_follow_each_other_until_the_last(cast: Cast, gateway: Caller) -> None:
    cast.opened()
    names: list[str] = []
    body = {**question(cast), "page": {"limit": 3}}
    first = gateway.post(ACTION, body).json()
    names += [each["name"] for each in first["results"]]
    body["page"] = {"token": first["page"]["next_token"], "limit": 3}
    second = gateway.post(ACTION, body).json()
    names += [each["name"] for each in second["results"]]
    assert names == ["download", "list", "read", "view"]
    assert second["page"]["next_token"] == ""


def test_a_token_is_for_one_search_of_one_caller(cast: Cast, gateway: Caller, calling: Calling) -> None:
    cast.opened()
    body = question(cast)
    token = gateway.post(ACTION, {**body, "page": {"limit": 1}}).json()["page"]["next_token"]
    page = {"token": token, "limit": 1}
    other = {**question(cast), "subject": {"type": "user", "id": body["subject"]["id"]}}
    cases: list[tuple[Caller, str, dict[str, Any]]] = [
        (gateway, ACTION, {**other, "page": page}),
        (gateway, RESOURCE, {**body, "page": page}),
        (gateway, ACTION, {**body, "context": {"tenant": "contoso"}, "page": page}),
        (gateway, ACTION, {**body, "page": {"token": token[:-1] + ("A" if token[-1] != "A" else "B")}}),
        (gateway, ACTION, {**body, "page": {"token": "list"}}),
        (gateway, ACTION, {**body, "page": {"token": 7}}),
        (gateway, ACTION, {**body, "page": {"token": ["x"]}}),
        (calling("contoso", Scope.EVALUATE), ACTION, {**body, "page": page}),
    ]
    with collected() as case:
        for number, (caller, path, wrong) in enumerate(cases):
            with case(number):
                found = caller.post(path, wrong)
                assert (found.status_code, found.json()["code"]) == (400, "malformed")
    assert gateway.post(ACTION, {**body, "page": page}).status_code == 200


def test_a_token_is_good_for_an_hour(cast: Cast, gateway: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.opened()
    body = question(cast)
    token = gateway.post(ACTION, {**body, "page": {"limit": 1}}).json()["page"]["next_token"]
    assert gateway.post(ACTION, {**body, "page": {"token": token}}).status_code == 200
    monkeypatch.setattr("requests_app.doors.api.search.TOKEN_LIVES_FOR", -1)
    assert gateway.post(ACTION, {**body, "page": {"token": token}}).status_code == 400


def test_a_page_of_another_kind_is_400(cast: Cast, gateway: Caller) -> None:
    cases: list[Any] = [[], "1", None, *({"limit": limit} for limit in (0, -1, True, "2", 1.5, None))]
    cast.opened()
    with collected() as case:
        for page in cases:
            with case(page):
                found = gateway.post(SUBJECT, {**question(cast), "page": page})
                assert (found.status_code, found.json()["code"]) == (400, "malformed")
        with case("too many"):
            assert gateway.post(SUBJECT, {**question(cast), "page": {"limit": 10**30}}).status_code == 200


def test_a_search_is_never_an_access(cast: Cast, gateway: Caller) -> None:
    cast.opened()
    for path in (SUBJECT, RESOURCE, ACTION):
        found = gateway.post(path, {**question(cast), "context": {"purpose": "access"}})
        assert (found.status_code, found.json()["code"]) == (400, "malformed")
        assert gateway.post(path, {**question(cast), "context": {"purpose": "advice"}}).status_code == 200


def test_each_question_behind_a_page_counts_for_the_quota(cast: Cast, gateway: Caller, settings: Any) -> None:
    settings.EVALUATIONS_PER_MINUTE = 7
    cast.opened()
    found = gateway.post(ACTION, question(cast))
    assert len(found.json()["results"]) == 4
    assert found["RateLimit"].startswith('"evaluations";r=2;'), "five actions were asked about"
    over = gateway.post(ACTION, question(cast))
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert "results" not in over.json()


def test_an_empty_page_counts_too(cast: Cast, gateway: Caller, settings: Any) -> None:
    settings.EVALUATIONS_PER_MINUTE = 2
    for _number in range(2):
        assert gateway.post(SUBJECT, question(cast)).json()["results"] == []
    assert gateway.post(SUBJECT, question(cast)).status_code == 429


@pytest.mark.parametrize("who", ["fabrikam", "frida"])
def test_another_tenants_thing_and_a_missing_one_have_one_answer(cast: Cast, calling: Calling, who: str) -> None:
    cast.opened()
    caller = calling(who, Scope.EVALUATE)
    absent = {**question(cast), "resource": {"type": "exchange-online", "id": str(uuid4())}}
    nobody = {**question(cast), "subject": {"type": "engineer", "id": str(uuid4())}}
    empty = {"page": {"next_token": "", "count": 0}, "results": []}
    with collected() as case:
        for context in ({}, {"tenant": "contoso"}, {"tenant": str(cast.contoso.pk)}):
            for path in (SUBJECT, RESOURCE, ACTION):
                with case(path, context):
                    answers = [
                        caller.post(path, {**each, "context": context}) for each in (question(cast), absent, nobody)
                    ]
                    assert [(each.status_code, each.json()) for each in answers] == [(200, empty)] * 3


def test_who_may_not_search(cast: Cast, calling: Calling) -> None:
    cast.opened()
    with collected() as case:
        for who, scope, code in (
            ("priya", Scope.EVALUATE, "not_allowed"),
            ("mia", Scope.EVALUATE, "not_allowed"),
            ("ada", Scope.LOG_READ, "insufficient_scope"),
            (None, Scope.GRANTS_READ, "insufficient_scope"),
        ):
            caller = calling(who, scope)
            for path in (SUBJECT, RESOURCE, ACTION):
                with case(who, path):
                    found = caller.post(path, question(cast))
                    assert (found.status_code, found.json()["code"]) == (403, code)
        for path in (SUBJECT, RESOURCE, ACTION):
            with case(path):
                assert Caller("rubbish").post(path, question(cast)).status_code == 401
