"""The certification scenario of AuthZEN's working group: Basic Core, Batch Core, Search Core and Discovery.

The decisions are the product's own, from windows of a real tenant. Only the names are mapped: the scenario's people are
engineers of the cast, and it writes `write` for `act_as`. The levels "Properties" are not met on purpose, because the
properties in a question have no effect here. Revision: openid/authzen b304f68cb206e8be3dfde093142005296582c509,
certification/authorization-api-1_0-scenario.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client as Browser

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import QueueAssignment, Resource, Service
from tests.caller import Caller, caller_for
from tests.cast import QUILLO, Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
SUBJECT, RESOURCE, ACTION = (f"/access/v1/search/{sought}" for sought in ("subject", "resource", "action"))
WRITE = {"write": "act_as"}


@dataclass
class Fixture:
    """Sends the scenario's questions with the names of the cast, and reads the answers with the scenario's names."""

    caller: Caller
    people: dict[str, str]

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.caller.post(path, self._mapped(body), **headers)

    def results(self, path: str, body: Any) -> list[Any]:
        """Return the results of a search with the scenario's names."""
        found = self.post(path, body)
        assert (found.status_code, found["Content-Type"]) == (200, "application/json"), found.content
        names = {person: name for name, person in self.people.items()}
        actions = {ours: theirs for theirs, ours in WRITE.items()}
        mapped = []
        for each in found.json()["results"]:
            if path == ACTION:
                mapped.append(actions.get(each["name"], each["name"]))
            elif path == SUBJECT:
                assert (each["type"], set(each)) == ("user", {"type", "id", "properties"})
                mapped.append(names[each["id"]])
            else:
                assert (each["type"], set(each)) == ("record", {"type", "id", "properties"})
                mapped.append(each["properties"]["external_id"])
        return mapped

    def _mapped(self, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        body = json.loads(json.dumps(body))
        for part in (body, *body.get("evaluations", [])):
            subject, action = part.get("subject"), part.get("action")
            if isinstance(subject, dict) and subject.get("id") in self.people:
                subject["id"] = self.people[subject["id"]]
            if isinstance(action, dict) and action.get("name") in WRITE:
                action["name"] = WRITE[action["name"]]
        return body


@pytest.fixture
def certified(cast: Cast) -> Fixture:
    """Return the scenario's fixture: alice can act as a user in record-1, and bob can read it."""
    values = {**QUILLO, "levels": "names\nread\nact_as | work in it as one of your users | log in as the user"}
    service = operations.save_service(actor=cast.as_("stella"), key="record", name="Records", **values)
    for name in ("record-1", "record-2"):
        operations.save_resource(
            actor=cast.as_("stella"),
            tenant_id=cast.contoso.pk,
            service_id=service.pk,
            kind="workspace",
            name=name,
            external_id=name,
        )
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    for name, role in (("priya", "engineer"), ("erik", "engineer"), ("pat", "provider_approver")):
        QueueAssignment.objects.create(service=service, person=cast.people[name], role=role, given_at=clock.now())
    _window(cast, service, "priya", "act_as")
    _window(cast, service, "erik", "read")
    people = {"alice": str(cast.priya.pk), "bob": str(cast.erik.pk)}
    return Fixture(caller_for(cast, "contoso", Scope.EVALUATE), people)


def _window(cast: Cast, service: Service, by: str, level: str) -> None:
    record = Resource.objects.get(external_id="record-1")
    cast.opened(ticket=cast.ticket(service_id=service.pk), by=by, level=level, resource=record)


def _asks(who: str, what: str, record: str = "record-1") -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": who},
        "action": {"name": what},
        "resource": {"type": "record", "id": record},
    }


ALICE_READS = _asks("alice", "read")


def _lacking(body: dict[str, Any], part: str, name: str = "") -> dict[str, Any]:
    body = json.loads(json.dumps(body))
    del (body[part] if name else body)[name or part]
    return body


def _raw(fixture: Fixture, body: str, content_type: str = "application/json", path: str = ONE) -> Any:
    headers = {"Authorization": f"Bearer {fixture.caller.secret}"}
    browser = Browser(raise_request_exception=False)
    return browser.generic("POST", path, body, content_type=content_type, headers=headers)


# --- Basic Core ----------------------------------------------------------------------------------------------

BASIC: list[tuple[dict[str, Any], bool]] = [
    (ALICE_READS, True),
    (_asks("alice", "write"), True),
    (_asks("bob", "read"), True),
    (_asks("bob", "write"), False),
    ({**ALICE_READS, "context": {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}}, True),
    (
        {
            "subject": {"type": "user", "id": "alice", "properties": {"department": "Sales", "role": "manager"}},
            "action": {"name": "read", "properties": {"method": "GET"}},
            "resource": {
                "type": "record",
                "id": "record-1",
                "properties": {"status": "active", "owner": "bob"},
            },
        },
        True,
    ),
    ({**ALICE_READS, "foo": "bar", "futureField": {"nested": True}}, True),
]


def test_every_question_of_the_basic_certification_has_its_answer(certified: Fixture) -> None:
    with collected() as case:
        for number, (body, wanted) in enumerate(BASIC):
            with case(number, body):
                for _again in range(3):
                    found = certified.post(ONE, body)
                    assert (found.status_code, found["Content-Type"]) == (200, "application/json")
                    assert found.json()["decision"] is wanted
                    assert isinstance(found.json()["context"], dict)


def test_every_call_that_the_basic_certification_refuses_is_400(certified: Fixture) -> None:
    cases = [
        *(_lacking(ALICE_READS, part) for part in ("subject", "action", "resource")),
        *(_lacking(ALICE_READS, "subject", name) for name in ("type", "id")),
        _lacking(ALICE_READS, "action", "name"),
        *(_lacking(ALICE_READS, "resource", name) for name in ("type", "id")),
        {**ALICE_READS, "subject": "alice"},
        {**ALICE_READS, "action": {"name": 123}},
    ]
    with collected() as case:
        for body in cases:
            with case(body):
                assert certified.post(ONE, body).status_code == 400
    assert _raw(certified, json.dumps(ALICE_READS), "text/plain").status_code == 400
    assert _raw(certified, "{not json").status_code == 400
    assert _raw(certified, "").status_code == 400


@pytest.mark.parametrize("given", ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "7", "req 1/2+x=", "x" * 200])
def test_the_certification_reads_the_id_of_its_call(certified: Fixture, given: str) -> None:
    for path in (ONE, MANY, SUBJECT, RESOURCE, ACTION):
        assert certified.post(path, ALICE_READS, X_Request_ID=given)["X-Request-ID"] == given
        assert certified.post(path, {}, X_Request_ID=given)["X-Request-ID"] == given
        assert Caller("rubbish").post(path, {}, X_Request_ID=given)["X-Request-ID"] == given
    assert certified.post(ONE, ALICE_READS)["X-Request-ID"]


@pytest.mark.parametrize(
    "properties",
    [{"role": "admin"}, {"role": "admin", "level": "act_as"}, {"decision": True}, {"soft": True, "status": "active"}],
)
def test_properties_never_turn_a_denial_into_a_permission(certified: Fixture, properties: dict[str, Any]) -> None:
    for question in (_asks("bob", "write"), _asks("bob", "read", "record-2"), _asks("alice", "delete")):
        claiming = {part: {**value, "properties": properties} for part, value in question.items()}
        assert certified.post(ONE, claiming).json()["decision"] is False
        batch = certified.post(MANY, {**claiming, "evaluations": [{}, claiming]}).json()["evaluations"]
        assert [each["decision"] for each in batch] == [False, False]
    assert certified.results(SUBJECT, _asks("", "read", "record-2") | {"subject": {"type": "user"}}) == []


# --- Batch Core ----------------------------------------------------------------------------------------------

BATCH: list[tuple[dict[str, Any], list[bool]]] = [
    (
        {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "read"},
            "evaluations": [
                {"resource": {"type": "record", "id": "record-1"}},
                {"resource": {"type": "record", "id": "record-2"}},
            ],
        },
        [True, False],
    ),
    (
        {
            "subject": {"type": "user", "id": "bob"},
            "resource": {"type": "record", "id": "record-1"},
            "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
        },
        [True, False],
    ),
    ({"evaluations": [ALICE_READS, _asks("bob", "write")]}, [True, False]),
    (
        {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "read"},
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [
                {"resource": {"type": "record", "id": "record-1"}},
                {
                    "resource": {"type": "record", "id": "record-2"},
                    "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"},
                },
            ],
        },
        [True, False],
    ),
    (
        {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "read"},
            "evaluations": [{"resource": {"type": "record", "id": "record-1"}}, {}],
        },
        [True, False],
    ),
    # The scenario's advisory test: a question takes the type from the default resource.
    (
        {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "write"},
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": {"type": "record", "id": "record-2", "properties": {"status": "archived"}}},
            ],
        },
        [True, False],
    ),
]


def test_every_batch_of_the_certification_has_its_answers(certified: Fixture) -> None:
    with collected() as case:
        for number, (body, wanted) in enumerate(BATCH):
            with case(number, body):
                found = certified.post(MANY, body)
                assert (found.status_code, set(found.json())) == (200, {"evaluations"})
                assert [each["decision"] for each in found.json()["evaluations"]] == wanted


@pytest.mark.parametrize("more", [{}, {"evaluations": []}])
def test_a_batch_of_the_certification_without_questions_is_one_question(
    certified: Fixture, more: dict[str, Any]
) -> None:
    found = certified.post(MANY, {**ALICE_READS, **more})
    assert (found.status_code, found.json()["decision"]) == (200, True)


# --- Search Core ---------------------------------------------------------------------------------------------

WHO = {**ALICE_READS, "subject": {"type": "user"}}
WHAT = {**ALICE_READS, "resource": {"type": "record"}}
HOW = _lacking(ALICE_READS, "action")


def test_every_search_of_the_certification_has_its_results(certified: Fixture) -> None:
    assert sorted(certified.results(SUBJECT, WHO)) == ["alice", "bob"]
    assert certified.results(SUBJECT, {**WHO, "action": {"name": "write"}}) == ["alice"]
    assert certified.results(RESOURCE, WHAT) == ["record-1"]
    assert {"read", "write"} <= set(certified.results(ACTION, HOW))
    assert "write" not in certified.results(ACTION, {**HOW, "subject": {"type": "user", "id": "bob"}})
    context = {"time": "2025-06-27T18:03-07:00"}
    for path, body in ((SUBJECT, WHO), (RESOURCE, WHAT), (ACTION, HOW)):
        assert certified.results(path, {**body, "context": context, "foo": {"bar": 1}}) == certified.results(path, body)


def test_the_certification_ignores_what_the_search_is_for(certified: Fixture) -> None:
    for path, body in ((SUBJECT, WHO), (RESOURCE, WHAT), (ACTION, HOW)):
        assert certified.results(path, ALICE_READS) == certified.results(path, body)


def test_the_pages_of_the_certification(certified: Fixture) -> None:
    first = certified.post(SUBJECT, {**WHO, "page": {"limit": 1}})
    assert first.status_code == 200
    assert first.json()["page"]["count"] == len(first.json()["results"]) == 1
    token = first.json()["page"]["next_token"]
    assert isinstance(token, str)
    assert token
    last = certified.post(SUBJECT, {**WHO, "page": {"token": token}})
    assert last.status_code == 200
    assert last.json()["page"] == {"next_token": "", "count": 1}
    assert last.json()["results"] != first.json()["results"]


def test_a_search_of_the_certification_for_something_unknown_is_empty(certified: Fixture) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        (ACTION, {**HOW, "subject": {"type": "user", "id": "nonexistent-user"}}),
        (SUBJECT, {**WHO, "subject": {"type": "spaceship"}}),
        (SUBJECT, {**WHO, "resource": {"type": "spaceship", "id": "record-1"}}),
        (SUBJECT, {**WHO, "resource": {"type": "record", "id": "record-9"}}),
        (SUBJECT, {**WHO, "action": {"name": "fly"}}),
        (RESOURCE, {**WHAT, "subject": {"type": "user", "id": "nonexistent-user"}}),
        (RESOURCE, {**WHAT, "resource": {"type": "spaceship"}}),
        (RESOURCE, {**WHAT, "action": {"name": "fly"}}),
        (ACTION, {**HOW, "subject": {"type": "spaceship", "id": "alice"}}),
    ]
    with collected() as case:
        for path, body in cases:
            with case(path, body):
                assert certified.results(path, body) == []


def test_every_search_that_the_certification_refuses_is_400(certified: Fixture) -> None:
    cases: list[tuple[str, Any]] = [
        (SUBJECT, _lacking(WHO, "action")),
        (SUBJECT, _lacking(WHO, "subject")),
        (SUBJECT, _lacking(WHO, "resource", "id")),
        (RESOURCE, _lacking(WHAT, "subject")),
        (RESOURCE, _lacking(WHAT, "subject", "id")),
        (RESOURCE, _lacking(WHAT, "resource", "type")),
        (ACTION, _lacking(HOW, "resource")),
        (ACTION, _lacking(HOW, "subject")),
        (SUBJECT, {**WHO, "action": {"name": 123}}),
        (SUBJECT, {**WHO, "subject": "alice"}),
    ]
    with collected() as case:
        for path, body in cases:
            with case(path, body):
                assert certified.post(path, body).status_code == 400
        for path in (SUBJECT, RESOURCE, ACTION):
            with case(path):
                assert _raw(certified, "{not json", path=path).status_code == 400
                assert _raw(certified, "", path=path).status_code == 400
                assert _raw(certified, json.dumps(ALICE_READS), "text/plain", path=path).status_code == 400


# --- Discovery -----------------------------------------------------------------------------------------------


def test_the_discovery_of_the_certification(client: Browser, settings: Any) -> None:
    settings.BASE_URL = "https://lockbox.example.com"
    found = client.get("/.well-known/authzen-configuration")
    assert (found.status_code, found["Content-Type"]) == (200, "application/json")
    assert found.json() == {
        "policy_decision_point": "https://lockbox.example.com",
        "access_evaluation_endpoint": "https://lockbox.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://lockbox.example.com/access/v1/evaluations",
        "search_subject_endpoint": "https://lockbox.example.com/access/v1/search/subject",
        "search_resource_endpoint": "https://lockbox.example.com/access/v1/search/resource",
        "search_action_endpoint": "https://lockbox.example.com/access/v1/search/action",
        "access_request_endpoint": "https://lockbox.example.com/access/v1/requests",
        "jwks_uri": "https://lockbox.example.com/.well-known/jwks.json",
        "capabilities": ["urn:openid:authzen:capability:access-request"],
    }
