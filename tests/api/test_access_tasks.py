"""Access requests over AuthZEN: from a denial to a task, to an approval, and back to the decision point."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt as other_library
import pytest
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.access_tasks import TOKEN_TYPE
from requests_app.domain.errors import FactsChanged, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.messages import handlers
from requests_app.messages.mails import email
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    AccessTask,
    Client,
    ContentAccess,
    Grant,
    OutboxMessage,
    Person,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
)
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.models.token_keys import public_keys, signed
from tests.caller import Caller, access_token, token_of
from tests.cast import JUSTIFICATION, TRIED, Cast, events_of
from tests.factors import force_login
from tests.offenders import collected

pytestmark = pytest.mark.django_db

ONE, MANY, TASKS = "/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/requests"
URN = "urn:openid:authzen:access-request:error:"
SCOPES = ["requests:ask", "requests:submit", "evaluate"]


@dataclass
class World:
    cast: Cast
    desk: Caller
    ticket: Any

    def question(self, **changes: Any) -> dict[str, Any]:
        return {
            "subject": {"type": "user", "id": self.cast.priya.email},
            "action": {"name": "read"},
            "resource": {"type": "quillo", "id": "7"},
            "context": {"tenant": "contoso"},
            **changes,
        }

    def denied(self, question: dict[str, Any] | None = None, *, by: Caller | None = None) -> dict[str, Any]:
        found = (by or self.desk).post(ONE, question or self.question())
        assert (found.status_code, found.json()["decision"]) == (200, False)
        context: dict[str, Any] = found.json()["context"]
        return context

    def submission(self, question: dict[str, Any] | None = None, **wanted: Any) -> dict[str, Any]:
        question = question or self.question()
        hint = self.denied(question)["access_request"]
        context = {"ticket": self.ticket.reference, "tried": TRIED, "justification": JUSTIFICATION}
        return {
            **question,
            "context": {**question["context"], **context},
            "requested_access": {"length": 7200, **wanted},
            "denial": {"binding_token": hint["binding_token"], "expires_at": hint["expires_at"]},
        }

    def submitted(self, **wanted: Any) -> dict[str, Any]:
        found = self.desk.post(TASKS, self.submission(**wanted))
        assert found.status_code == 201, found.content
        task: dict[str, Any] = found.json()["task"]
        return task

    def approved(self, task: dict[str, Any]) -> Grant:
        operations.approve_as_provider(task["id"], actor=self.cast.as_("pat"), note="No other way.")
        operations.approve_as_customer(task["id"], actor=self.cast.as_("ada"))
        return Grant.objects.get(access_request=task["id"])

    def read(self, task: dict[str, Any]) -> Any:
        return self.desk.get(task["status_endpoint"].removeprefix("http://localhost:8000"))


def client_with(cast: Cast, *scopes: str) -> Caller:
    made = cast.own_client("Help desk", list(scopes))
    return Caller(access_token(made.row, made.secret).json()["access_token"])


@pytest.fixture
def world(cast: Cast) -> World:
    ticket = cast.ticket(service_id=cast.quillo().pk)
    return World(cast, client_with(cast, *SCOPES), ticket)


def left() -> tuple[int, ...]:
    kinds = (AuditEntry, OutboxMessage, AccessRequest, AccessTask, ContentAccess)
    return tuple(kind.objects.count() for kind in kinds)


def refused(found: Any, status: int, code: str) -> None:
    assert (found.status_code, found.json()["code"]) == (status, code), found.content
    assert found["Content-Type"] == "application/problem+json"


# --- The denial ----------------------------------------------------------------------------------------------


def test_a_denial_says_how_to_ask_and_writes_nothing(world: World, travel: Any) -> None:
    at = travel.freeze()
    world.denied()
    before = left()
    found = world.denied()
    assert left() == before
    hint = found["access_request"]
    assert set(hint) == {"endpoint", "expires_at", "binding_token", "request_schema_url"}
    assert hint["endpoint"] == f"http://localhost:8000{TASKS}"
    ends = dt.datetime.fromisoformat(hint["expires_at"])
    assert dt.timedelta(minutes=9, seconds=58) < ends - at <= dt.timedelta(minutes=10)
    header = other_library.get_unverified_header(hint["binding_token"])
    [key] = [each for each in public_keys()["keys"] if each["kid"] == header["kid"]]
    claims = other_library.decode(
        hint["binding_token"],
        other_library.PyJWK(key),
        algorithms=["RS256"],
        audience=f"http://localhost:8000{TASKS}",
        issuer="http://localhost:8000",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert header["typ"] == TOKEN_TYPE
    assert claims["denial_expires_at"] == hint["expires_at"]
    assert claims["jti"] == claims["evaluation_id"] == found["evaluation_id"]
    assert {name: claims[name] for name in ("subject", "action", "resource", "context")} == world.question()
    assert claims["binding_context_members"] == ["tenant"]
    schema = Browser().get(hint["request_schema_url"].removeprefix("http://localhost:8000"))
    assert schema.status_code == 200
    asked = schema.json()["properties"]
    assert {*asked["context"]["required"], *asked["requested_access"]["properties"]} == {
        "ticket",
        "tried",
        "justification",
        "level",
        "length",
        "requested_until",
        "emergency",
    }


def test_each_denial_of_a_batch_says_how_to_ask(world: World) -> None:
    body = {**world.question(), "evaluations": [{"action": {"name": "list"}}, {"action": {"name": "fly"}}]}
    first, second = world.desk.post(MANY, body).json()["evaluations"]
    assert "access_request" in first["context"]
    assert "access_request" not in second["context"]


#: Questions that are denied, and that nobody can ask for.
HOPELESS: dict[str, Callable[[World], Any]] = {
    "an unknown action": lambda world: world.question(action={"name": "fly"}),
    "an unknown person": lambda world: world.question(subject={"type": "user", "id": str(uuid4())}),
    "a customer": lambda world: world.question(subject={"type": "user", "id": world.cast.mia.email}),
    "an engineer of another queue": lambda world: world.question(subject={"type": "user", "id": world.cast.erik.email}),
    "an unknown resource": lambda world: world.question(resource={"type": "quillo", "id": "9"}),
    "another tenant": lambda world: world.question(context={"tenant": "fabrikam"}),
    "no tenant": lambda world: world.question(context={}),
    "a level that the service does not have": lambda world: world.question(action={"name": "act_as"}),
    "a service that is read through this product": lambda world: world.question(
        resource={"type": "exchange-online", "id": str(world.cast.resource().pk)}
    ),
}


def test_what_nobody_can_ask_for_is_a_plain_denial(world: World) -> None:
    with collected() as case:
        for name, question in HOPELESS.items():
            with case(name):
                assert set(world.denied(question(world))) == {"reason", "at"}
        with case("the resource is switched off"):
            Resource.objects.filter(external_id="7").update(is_active=False)
            assert "access_request" not in world.denied()


def test_only_a_client_with_the_scopes_learns_that_it_can_ask(world: World, calling: Callable[..., Caller]) -> None:
    cast = world.cast
    callers = {
        "evaluate alone": client_with(cast, "evaluate"),
        "without requests:ask": client_with(cast, "evaluate", "requests:submit"),
        "the customer": calling("contoso", Scope.EVALUATE),
        "a person": calling("stella", Scope.EVALUATE, Scope.REQUESTS_ASK, Scope.REQUESTS_SUBMIT),
    }
    body = world.submission()
    with collected() as case:
        for name, caller in callers.items():
            with case(name):
                assert "access_request" not in world.denied(by=caller)
                before = left()[2:]
                assert caller.post(TASKS, body).status_code == 403
                assert left()[2:] == before


def test_a_customer_can_not_give_its_client_the_scope(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        operations.create_client(tenant_id=cast.contoso.pk, name="x", scopes=["requests:ask"], actor=cast.as_("ines"))
    made = operations.create_client(name="x", scopes=["requests:ask", "grants:read"], actor=cast.as_("stella"))
    assert made.row.scopes == ["grants:read"], "customers get notice before the client gets the scope"


@pytest.mark.parametrize("claim", [{"role": "admin"}, {"approval": {"id": str(uuid4())}}, {"grant": str(uuid4())}])
def test_no_property_and_no_context_turns_a_denial_into_a_permission(world: World, claim: dict[str, Any]) -> None:
    question = world.question()
    for part in ("subject", "action", "resource"):
        question[part] = {**question[part], "properties": claim}
    question["context"] = {**question["context"], **claim}
    assert world.denied(question)["access_request"]


# --- Submitting ----------------------------------------------------------------------------------------------


def test_the_access_request_is_raised_by_the_client_for_the_engineer(world: World, travel: Any) -> None:
    travel.freeze()
    found = world.desk.post(TASKS, world.submission(emergency=True))
    assert found.status_code == 201
    task = found.json()["task"]
    row = AccessRequest.objects.get()
    assert task == {
        "id": str(row.pk),
        "status": "pending",
        "status_endpoint": f"http://localhost:8000{TASKS}/{row.pk}",
        "expires_at": task["expires_at"],
        "progress": {"current_step": 1, "total_steps": 2, "step_name": "provider_approval"},
        "links": {
            "ticket": f"http://localhost:8000/access-requests/{row.pk}/",
            "review": f"http://localhost:8000/access-requests/{row.pk}/",
            "cancel": f"http://localhost:8000{TASKS}/{row.pk}/cancel",
        },
    }
    assert found["Location"] == task["status_endpoint"]
    assert (row.requested_by, row.state, row.level, row.window_for) == (
        world.cast.priya,
        "PENDING_PROVIDER",
        "read",
        7200,
    )
    assert (row.raised_by, row.is_emergency, row.until_at) == ("Help desk", True, None)
    assert [each.resource.external_id for each in row.scope.all()] == ["7"]
    entry = json.loads(bytes(AuditEntry.objects.get(correlation_id=row.pk).canonical))
    assert (entry["actor"]["kind"], entry["actor"]["name"]) == ("client", "Help desk")
    assert entry["actor"]["for"]["id"] == str(world.cast.priya.pk)
    assert entry["detail"]["emergency"] is True
    assert "until" not in entry["detail"]


def test_an_emergency_changes_nothing_but_the_mark(world: World, travel: Any) -> None:
    travel.freeze()
    marked, plain = world.submitted(emergency=True), world.submitted(emergency=False)
    rows = [AccessRequest.objects.get(pk=task["id"]) for task in (marked, plain)]
    assert len({(row.state, row.decide_by, row.needs_customer_approval, row.window_for) for row in rows}) == 1
    assert [row.is_emergency for row in rows] == [True, False]
    assert rows[0].content_digest != rows[1].content_digest


def test_the_people_who_decide_see_the_mark_and_the_client(world: World) -> None:
    until = "2999-01-01T00:00:00Z"
    task = world.submitted(emergency=True, requested_until=until)
    operations.approve_as_provider(task["id"], actor=world.cast.as_("pat"), note="No other way.")
    browser = Browser()
    browser.force_login(world.cast.ada)
    page = re.sub(r"<[^>]*>", "", browser.get(f"/access-requests/{task['id']}/").content.decode())
    assert "The API client Help desk raised this access request for Priya Test." in page
    assert "Help desk marked it as an emergency. The mark changes nothing" in page
    assert "It closes at the latest: Tue 1 Jan 2999" in page
    for message in OutboxMessage.objects.filter(lane=FANOUT, topic="notify.decide_as_customer"):
        handlers.fan_out(message, clock.now())
    mail = OutboxMessage.objects.get(lane=MAIL, topic="notify.decide_as_customer", person=world.cast.ada)
    text = " ".join(email.render(mail, clock.now())["text"].split())
    for words in ("Raised by the API client Help desk", "Marked as an emergency.", "It closes at the latest:"):
        assert words in text
    found = Caller(token_of(world.cast, "ada", Scope.REQUESTS_READ)).get(f"access-requests/{task['id']}").json()
    assert (found["raised_by"], found["until"], found["emergency"]) == ("Help desk", until, True)


@pytest.mark.parametrize("scopes", [SCOPES, ["requests:ask", "evaluate"]])
def test_the_address_of_the_clients_own_ticket_is_shown_as_text_and_never_as_a_link(
    cast: Cast, scopes: list[str]
) -> None:
    world = World(cast, client_with(cast, *scopes), cast.ticket(service_id=cast.quillo().pk))
    address = "https://desk.example/cases/4711?a=<b>"
    body = world.submission()
    _from(body, address)
    body["client"] |= {"id": "someone-else", "name": "Somebody else"}
    task = world.desk.post(TASKS, body).json()["task"]
    priya = Browser()
    force_login(priya, cast.priya)
    page = f"/{str(task['links']['ticket']).split('/', 3)[3]}"
    seen = [priya.get(page).content.decode()]
    if "requests:submit" not in scopes:
        draft = AccessDraft.objects.get()
        operations.submit(cast.ask(world.ticket, resource=draft.resource, draft_id=draft.pk), actor=cast.as_("priya"))
    row = AccessRequest.objects.get()
    assert (row.source_url, row.raised_by) == (address, "Help desk")
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="No other way.")
    for who in ("pat", "ada", "priya"):
        browser = Browser()
        force_login(browser, cast.people[who])
        seen.append(browser.get(f"/access-requests/{row.pk}/").content.decode())
    for html in seen:
        assert "https://desk.example/cases/4711?a=&lt;b&gt;" in html
        assert 'href="https://desk.example' not in html
        assert "Somebody else" not in html
    entry = json.loads(bytes(AuditEntry.objects.get(correlation_id=row.pk, event="access_request.submitted").canonical))
    assert entry["detail"]["source_url"] == address
    assert Caller(token_of(cast, "pat")).get(f"access-requests/{row.pk}").json()["source_url"] == address


def test_the_address_is_part_of_what_is_approved(world: World) -> None:
    body = world.submission()
    _from(body, "https://desk.example/cases/4711")
    row = AccessRequest.objects.get(pk=world.desk.post(TASKS, body).json()["task"]["id"])
    resources = list(Resource.objects.filter(external_id="7"))
    assert operations.content_digest(row, resources) == row.content_digest
    row.source_url = "https://desk.example/cases/4712"
    assert operations.content_digest(row, resources) != row.content_digest


@pytest.mark.parametrize("named", ["id", "reference", "elsewhere"])
def test_the_ticket_is_named_in_three_ways(world: World, named: str) -> None:
    type(world.ticket).objects.filter(pk=world.ticket.pk).update(external_reference="ZD-17")
    body = world.submission()
    body["context"]["ticket"] = {"id": str(world.ticket.pk), "reference": world.ticket.reference, "elsewhere": "ZD-17"}[
        named
    ]
    assert world.desk.post(TASKS, body).status_code == 201
    assert AccessRequest.objects.get().ticket == world.ticket


#: What a client can send wrong: a change of the submission, the status and the code.
WRONG: dict[str, tuple[Callable[[World, dict[str, Any]], Any], int, str]] = {
    "no denial": (lambda world, body: body.pop("denial"), 400, "invalid_denial_binding"),
    "no token": (lambda world, body: body["denial"].pop("binding_token"), 400, "invalid_denial_binding"),
    "a token that is none": (
        lambda world, body: body["denial"].update(binding_token="a.b.c"),
        400,
        "invalid_denial_binding",
    ),
    "a long token": (
        lambda world, body: body["denial"].update(binding_token="a" * 9000),
        400,
        "invalid_denial_binding",
    ),
    "a changed token": (
        lambda world, body: body["denial"].update(binding_token=_changed(body["denial"]["binding_token"])),
        400,
        "invalid_denial_binding",
    ),
    "another expiry": (
        lambda world, body: body["denial"].update(expires_at="2999-01-01T00:00:00Z"),
        400,
        "invalid_denial_binding",
    ),
    "no expiry": (lambda world, body: body["denial"].pop("expires_at"), 400, "invalid_denial_binding"),
    "another action": (lambda world, body: body["action"].update(name="list"), 400, "invalid_denial_binding"),
    "another engineer": (
        lambda world, body: body["subject"].update(id=world.cast.erik.email),
        400,
        "invalid_denial_binding",
    ),
    "another spelling of the engineer": (
        lambda world, body: body["subject"].update(id=str(world.cast.priya.pk)),
        400,
        "invalid_denial_binding",
    ),
    "another resource": (lambda world, body: body["resource"].update(id="f-7"), 400, "invalid_denial_binding"),
    "another tenant": (
        lambda world, body: body["context"].update(tenant="fabrikam"),
        400,
        "invalid_denial_binding",
    ),
    "no tenant": (lambda world, body: body["context"].pop("tenant"), 400, "invalid_denial_binding"),
    "no ticket": (lambda world, body: body["context"].pop("ticket"), 422, "unacceptable"),
    "a ticket of another service": (
        lambda world, body: body["context"].update(ticket=world.cast.ticket().reference),
        422,
        "unacceptable",
    ),
    "a ticket of another tenant": (
        lambda world, body: body["context"].update(
            ticket=world.cast.ticket("fabrikam", "fred", service_id=world.cast.quillo().pk).reference
        ),
        422,
        "unacceptable",
    ),
    "no reason": (lambda world, body: body["context"].pop("justification"), 422, "unacceptable"),
    "a reason that is too short": (lambda world, body: body["context"].update(justification="x"), 422, "unacceptable"),
    "nothing tried": (lambda world, body: body["context"].update(tried=""), 422, "unacceptable"),
    "no length": (lambda world, body: body["requested_access"].pop("length"), 422, "unacceptable"),
    "a length as text": (lambda world, body: body["requested_access"].update(length="7200"), 422, "unacceptable"),
    "a length over the cap": (lambda world, body: body["requested_access"].update(length=28800), 422, "unacceptable"),
    "a smaller level": (lambda world, body: body["requested_access"].update(level="names"), 422, "unacceptable"),
    "an unknown level": (lambda world, body: body["requested_access"].update(level="all"), 422, "unacceptable"),
    "a level that is ruled out": (
        lambda world, body: body["requested_access"].update(level="act_as"),
        422,
        "unacceptable",
    ),
    "an end that is over": (
        lambda world, body: body["requested_access"].update(requested_until="2020-01-01T00:00:00Z"),
        409,
        "facts_changed",
    ),
    "an end without a zone": (
        lambda world, body: body["requested_access"].update(requested_until="2999-01-01T00:00:00"),
        422,
        "unacceptable",
    ),
    "an end that is none": (
        lambda world, body: body["requested_access"].update(requested_until="2999-99-99T00:00:00Z"),
        422,
        "unacceptable",
    ),
    "an emergency as text": (lambda world, body: body["requested_access"].update(emergency="yes"), 400, "malformed"),
    "no object": (lambda world, body: body.update(requested_access=[]), 400, "malformed"),
    "several items": (lambda world, body: body.update(items=[]), 400, "malformed"),
    "an address that is not registered": (
        lambda world, body: body.update(callback={"endpoint": "https://x.example"}),
        422,
        "unacceptable",
    ),
    "a client that is text": (lambda world, body: body.update(client="Desk"), 400, "malformed"),
    "a source that is text": (lambda world, body: body.update(client={"source": "Desk"}), 400, "malformed"),
    "a source address that is a number": (lambda world, body: _from(body, 7), 400, "malformed"),
    **{
        f"the source address {address[:30]}": (
            lambda world, body, address=address: _from(body, address),
            422,
            "unacceptable",
        )
        for address in (
            "http://desk.example/4711",
            "javascript:alert(1)",
            "https://lockbox.example@evil.example/",
            "https://desk.example\\@evil.example/",
            "https://desk.example/\u202e4711",
            "//desk.example/4711",
            "4711",
            "https://desk.example/" + "x" * 500,
        )
    },
    "no subject": (lambda world, body: body.pop("subject"), 400, "malformed"),
}


def _from(body: dict[str, Any], address: Any) -> None:
    body["client"] = {"source": {"external_url": address}}


def _changed(token: str) -> str:
    head, claims, signature = token.split(".")
    return ".".join([head, claims, signature[:-2] + ("AA" if signature[-2:] != "AA" else "BB")])


def test_a_wrong_submission_is_refused_and_nothing_is_asked(world: World) -> None:
    with collected() as case:
        for name, (change, status, code) in WRONG.items():
            with case(name):
                body = world.submission()
                change(world, body)
                found = world.desk.post(TASKS, body)
                refused(found, status, code)
                is_of_the_profile = code == "invalid_denial_binding"
                assert found.json()["type"].startswith(URN) is is_of_the_profile
    assert not AccessRequest.objects.exists()
    assert not AccessTask.objects.exists()
    assert not OutboxMessage.objects.filter(topic="notify.decide_as_provider").exists()


def test_a_token_of_another_kind_client_issuer_or_audience_is_no_denial(world: World) -> None:
    body = world.submission()
    real = other_library.decode(body["denial"]["binding_token"], options={"verify_signature": False})
    tokens = {
        "another type": signed(real, typ="at+jwt"),
        "another issuer": signed({**real, "iss": "https://other.example"}, typ=TOKEN_TYPE),
        "another audience": signed({**real, "aud": "http://localhost:8000/services/quillo"}, typ=TOKEN_TYPE),
        "another client": signed({**real, "client_id": str(uuid4())}, typ=TOKEN_TYPE),
        "another resource": signed({**real, "resource_id": str(uuid4())}, typ=TOKEN_TYPE),
        "another person": signed({**real, "engineer": str(world.cast.erik.pk)}, typ=TOKEN_TYPE),
        "no number": signed({**real, "jti": "x"}, typ=TOKEN_TYPE),
        "no signature": other_library.encode(real, "", algorithm="none", headers={"typ": TOKEN_TYPE}),
        "a signature with the public key": _confused(real),
    }
    with collected() as case:
        for name, token in tokens.items():
            with case(name):
                body["denial"]["binding_token"] = token
                refused(world.desk.post(TASKS, body), 400, "invalid_denial_binding")
    assert not AccessRequest.objects.exists()


def _confused(claims: dict[str, Any]) -> str:
    key = public_keys()["keys"][0]
    headers = {"typ": TOKEN_TYPE, "kid": key["kid"]}
    return other_library.encode(claims, key["n"], algorithm="HS256", headers=headers)


def test_no_client_uses_the_denial_that_another_client_got(world: World) -> None:
    body, other = world.submission(), client_with(world.cast, *SCOPES)
    refused(other.post(TASKS, body), 400, "invalid_denial_binding")
    assert not AccessRequest.objects.exists()
    assert not AccessTask.objects.exists()
    # The attempt does not use the denial up.
    assert world.desk.post(TASKS, body).status_code == 201


def test_a_denial_counts_for_ten_minutes(world: World, travel: Any) -> None:
    body = world.submission()
    ends = dt.datetime.fromisoformat(body["denial"]["expires_at"])
    travel.to(ends)
    found = world.desk.post(TASKS, body)
    refused(found, 410, "expired_denial")
    assert found.json()["type"] == URN + "expired_denial"
    assert not AccessRequest.objects.exists()
    travel.to(ends - dt.timedelta(seconds=1))
    assert world.desk.post(TASKS, body).status_code == 201


def test_a_denial_is_used_once(world: World) -> None:
    body = world.submission()
    assert world.desk.post(TASKS, body).status_code == 201
    refused(world.desk.post(TASKS, body, Idempotency_Key="another"), 400, "invalid_denial_binding")
    assert AccessRequest.objects.count() == 1


def test_a_repeated_key_gives_the_same_task_and_another_body_is_refused(world: World, travel: Any) -> None:
    body = world.submission()
    first = world.desk.post(TASKS, body, Idempotency_Key="k-1")
    travel.to(dt.datetime.fromisoformat(body["denial"]["expires_at"]) + dt.timedelta(minutes=1))
    again = world.desk.post(TASKS, body, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Location"] == first["Location"]
    body["requested_access"]["length"] = 1800
    found = world.desk.post(TASKS, body, Idempotency_Key="k-1")
    refused(found, 409, "duplicate_request")
    assert found.json()["type"] == URN + "duplicate_request"
    assert AccessRequest.objects.count() == 1


#: What can happen between the denial and the submission, with the code of the refusal.
MEANWHILE: dict[str, tuple[Callable[[World], Any], str]] = {
    "a window was opened": (lambda world: world.cast.in_quillo(), "not_requestable"),
    "the engineer left the queue": (
        lambda world: QueueAssignment.objects.filter(person=world.cast.priya).delete(),
        "not_requestable",
    ),
    "the engineer was switched off": (
        lambda world: Person.objects.filter(pk=world.cast.priya.pk).update(is_active=False),
        "not_requestable",
    ),
    "the resource was switched off": (
        lambda world: Resource.objects.filter(external_id="7").update(is_active=False),
        "not_requestable",
    ),
    "the service was switched off": (
        lambda world: Service.objects.filter(key="quillo").update(is_active=False),
        "not_requestable",
    ),
    "the level was ruled out": (
        lambda world: Tenant.objects.filter(slug="contoso").update(ruled_out="read"),
        "not_requestable",
    ),
    "the address belongs to another engineer": (
        lambda world: _swapped(world.cast),
        "invalid_denial_binding",
    ),
}


def _swapped(cast: Cast) -> None:
    address = cast.priya.email
    Person.objects.filter(pk=cast.priya.pk).update(email="former@provider.example")
    Person.objects.filter(pk=cast.samir.pk).update(email=address)
    QueueAssignment.objects.filter(person=cast.samir).update(service=Service.objects.get(key="quillo"))


@pytest.mark.parametrize("name", list(MEANWHILE))
def test_the_denial_must_still_be_true(world: World, name: str) -> None:
    change, code = MEANWHILE[name]
    body = world.submission()
    change(world)
    before = AccessRequest.objects.count()
    found = world.desk.post(TASKS, body)
    refused(found, 400, code)
    assert found.json()["type"] == URN + code
    assert (AccessRequest.objects.count(), AccessTask.objects.count()) == (before, 0)


# --- The end of the window -----------------------------------------------------------------------------------


def test_the_window_ends_at_the_earlier_of_its_length_and_the_requested_end(world: World, travel: Any) -> None:
    at = travel.freeze()
    early, late = at + dt.timedelta(minutes=50), at + dt.timedelta(hours=9)
    first = world.approved(world.submitted(requested_until=early.isoformat()))
    assert first.closes_at == early
    operations.revoke(first.access_request_id, actor=world.cast.as_("ada"))
    second = world.approved(world.submitted(requested_until=late.isoformat()))
    assert second.closes_at - second.opens_at == dt.timedelta(hours=2)


def test_no_window_opens_after_the_requested_end(world: World, travel: Any) -> None:
    at = travel.freeze()
    task = world.submitted(requested_until=(at + dt.timedelta(minutes=5)).isoformat())
    operations.approve_as_provider(task["id"], actor=world.cast.as_("pat"), note="No other way.")
    travel.to(at + dt.timedelta(minutes=5))
    with pytest.raises(FactsChanged):
        operations.approve_as_customer(task["id"], actor=world.cast.as_("ada"))
    assert not Grant.objects.exists()
    assert world.read(task).json()["task"]["status"] == "pending"


# --- Tasks ---------------------------------------------------------------------------------------------------


def test_a_task_follows_the_access_request(world: World) -> None:
    task = world.submitted()
    operations.approve_as_provider(task["id"], actor=world.cast.as_("pat"), note="No other way.")
    second = world.read(task).json()
    assert second["task"]["progress"] == {"current_step": 2, "total_steps": 2, "step_name": "customer_approval"}
    assert "result" not in second
    operations.approve_as_customer(task["id"], actor=world.cast.as_("ada"))
    done = world.read(task).json()
    grant = Grant.objects.get()
    assert done["task"]["status"] == "approved"
    assert "progress" not in done["task"]
    assert "cancel" not in done["task"]["links"]
    assert done["result"] == {
        "mode": "reevaluate",
        "approval": {
            "id": str(grant.pk),
            "approved_at": grant.opens_at.isoformat().replace("+00:00", "Z"),
            "approved_until": grant.closes_at.isoformat().replace("+00:00", "Z"),
        },
    }


def _expired(world: World, pk: str) -> None:
    AccessRequest.objects.filter(pk=pk).update(decide_by=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


#: How a task ends, with its status.
ENDS: dict[str, Callable[[World, str], Any]] = {
    "denied": lambda world, pk: operations.deny_as_provider(pk, actor=world.cast.as_("pat"), note="Ask them."),
    "expired": _expired,
    "cancelled": lambda world, pk: operations.withdraw(pk, actor=world.cast.as_("priya")),
}


@pytest.mark.parametrize("status", list(ENDS))
def test_a_task_that_ended_otherwise_has_no_result(world: World, status: str) -> None:
    task = world.submitted()
    ENDS[status](world, task["id"])
    found = world.read(task).json()
    assert found["task"]["status"] == status
    assert set(found) == {"task"}
    assert "cancel" not in found["task"]["links"]


def test_a_closed_window_stays_approved_until_its_real_end(world: World, travel: Any) -> None:
    travel.freeze()
    task = world.submitted()
    world.approved(task)
    operations.revoke(task["id"], actor=world.cast.as_("ada"))
    found = world.read(task).json()
    grant = Grant.objects.get()
    assert found["task"]["status"] == "approved"
    assert dt.datetime.fromisoformat(found["result"]["approval"]["approved_until"]) == grant.closed_at


def test_only_the_client_that_raised_it_reads_or_cancels_a_task(world: World) -> None:
    task = world.submitted()
    other = client_with(world.cast, *SCOPES)
    with collected() as case:
        for name, caller, pk in (("another client", other, task["id"]), ("no such task", world.desk, str(uuid4()))):
            for method, path in (("get", f"{TASKS}/{pk}"), ("post", f"{TASKS}/{pk}/cancel")):
                with case(name, method):
                    found = caller(method, path)
                    refused(found, 404, "unknown_task")
                    assert found.json()["type"] == URN + "unknown_task"
    assert AccessRequest.objects.get().state == "PENDING_PROVIDER"
    # Another access request of the same client has no task.
    plain = world.cast.submitted()
    refused(world.desk.get(f"{TASKS}/{plain.pk}"), 404, "unknown_task")


def test_a_task_can_be_read_for_three_days(world: World, travel: Any) -> None:
    task = world.submitted()
    client = Client.objects.get()
    travel.to(dt.datetime.fromisoformat(task["expires_at"]))
    token = operations.issue_access_token(client, scopes=frozenset(Scope(each) for each in SCOPES))
    found = Caller(token.secret).get(f"{TASKS}/{task['id']}")
    refused(found, 410, "task_expired")


def test_a_pending_task_is_cancelled_by_its_client(world: World) -> None:
    task = world.submitted()
    found = world.desk.post(f"{TASKS}/{task['id']}/cancel", {"comment": "It works again."})
    assert (found.status_code, found.json()["task"]["status"]) == (200, "cancelled")
    assert AccessRequest.objects.get().state == "WITHDRAWN"
    assert events_of(UUID(task["id"])) == ["access_request.submitted", "access_request.withdrawn"]
    before = left()
    again = world.desk.post(f"{TASKS}/{task['id']}/cancel")
    refused(again, 409, "invalid_task_state")
    assert again.json()["type"] == URN + "invalid_task_state"
    assert left() == before


def test_a_token_without_the_scope_to_submit_withdraws_nothing(world: World) -> None:
    task = world.submitted()
    token = operations.issue_access_token(Client.objects.get(), scopes=frozenset({Scope.REQUESTS_ASK, Scope.EVALUATE}))
    before = AccessRequest.objects.get().state
    refused(Caller(token.secret).post(f"{TASKS}/{task['id']}/cancel"), 403, "insufficient_scope")
    assert AccessRequest.objects.get().state == before == "PENDING_PROVIDER"


def test_an_approved_task_can_not_be_cancelled(world: World) -> None:
    task = world.submitted()
    grant = world.approved(task)
    before = left()
    refused(world.desk.post(f"{TASKS}/{task['id']}/cancel"), 409, "invalid_task_state")
    assert left() == before
    assert Grant.objects.get().closed_at is None
    assert grant.pk


# --- Asking again --------------------------------------------------------------------------------------------


def again(world: World, approval: Any, **changes: Any) -> dict[str, Any]:
    question = world.question(**changes)
    question["context"] = {**question["context"], "approval": approval}
    found: dict[str, Any] = world.desk.post(ONE, question).json()
    return found


def test_the_approved_question_is_permitted_by_the_window(world: World) -> None:
    task = world.submitted()
    grant = world.approved(task)
    approval = world.read(task).json()["result"]["approval"]
    found = again(world, approval)
    assert found["decision"] is True
    assert found["context"]["approval"] == {"id": approval["id"], "approved_until": approval["approved_until"]}
    assert found["context"]["grant"] == str(grant.pk)
    # The window permits, with or without the approval, or with one that is not ours.
    assert world.desk.post(ONE, world.question()).json()["decision"] is True
    stranger = again(world, {"id": str(uuid4())})
    assert stranger["decision"] is True
    assert "approval" not in stranger["context"]


def test_an_approval_alone_gives_nothing(world: World) -> None:
    task = world.submitted()
    world.approved(task)
    approval = world.read(task).json()["result"]["approval"]
    erik = {"type": "user", "id": world.cast.erik.email}
    for change in ({"subject": erik}, {"resource": {"type": "quillo", "id": "f-7"}}, {"action": {"name": "act_as"}}):
        found = again(world, approval, **change)
        assert found["decision"] is False
        assert found["context"]["reason"] == "out_of_scope"
        assert found["context"]["next_action"] == "none"
        assert "access_request" not in found["context"]


def test_after_the_end_of_the_window_the_answer_says_to_ask_again(world: World, travel: Any) -> None:
    task = world.submitted()
    world.approved(task)
    approval = world.read(task).json()["result"]["approval"]
    operations.revoke(task["id"], actor=world.cast.as_("ada"))
    found = again(world, approval)
    assert found["decision"] is False
    assert (found["context"]["reason"], found["context"]["next_action"]) == ("approval_expired", "request")
    assert found["context"]["denied_because"] == "window_not_open"
    assert found["context"]["access_request"]["binding_token"]


def test_a_denial_despite_a_live_approval_says_that_asking_does_not_help(world: World) -> None:
    task = world.submitted()
    world.approved(task)
    approval = world.read(task).json()["result"]["approval"]
    QueueAssignment.objects.filter(person=world.cast.priya, service__key="quillo").delete()
    found = again(world, approval)
    assert found["decision"] is False
    assert (found["context"]["reason"], found["context"]["next_action"]) == ("policy_denied", "none")
    assert found["context"]["denied_because"] == "not_allowed"
    assert "access_request" not in found["context"]


def test_an_approval_of_another_client_is_unverifiable(world: World) -> None:
    grant = world.cast.in_quillo()
    operations.revoke(grant.access_request_id, actor=world.cast.as_("ada"))
    with collected() as case:
        for approval in ({"id": str(grant.pk)}, {"id": str(uuid4())}, {"id": "x" * 5000}, {"id": "\0"}):
            with case(approval):
                found = again(world, approval)
                assert found["decision"] is False
                assert found["context"]["reason"] == "approval_unverifiable"
                assert found["context"]["next_action"] == "none"
        unreadable: list[Any] = ["text", [], None, {"id": 7}, {}]
        for wrong in unreadable:
            with case(wrong):
                assert again(world, wrong)["context"]["reason"] == "window_not_open"


def test_a_caller_without_the_scope_gets_its_usual_answer(world: World, calling: Callable[..., Caller]) -> None:
    question = world.question()
    question["context"] = {**question["context"], "approval": {"id": str(uuid4())}}
    found = calling("contoso", Scope.EVALUATE).post(ONE, question).json()
    assert set(found["context"]) == {"reason", "at"}
    assert found["context"]["reason"] == "not_found"


def test_discovery_names_the_endpoint_and_the_capability(client: Browser) -> None:
    found = client.get("/.well-known/authzen-configuration").json()
    assert found["access_request_endpoint"] == f"http://localhost:8000{TASKS}"
    assert found["jwks_uri"] == "http://localhost:8000/.well-known/jwks.json"
    assert found["capabilities"] == ["urn:openid:authzen:capability:access-request"]
