"""Drafts over AuthZEN: a client drafts an access request, and the engineer confirms or discards it."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import FactsChanged, NotAllowed, NotFound, WrongState
from requests_app.domain.scopes import Scope
from requests_app.messages import handlers
from requests_app.messages.mails import email
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Client, Grant, OutboxMessage, Token
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.models.people import actor_of_token
from tests.api.test_access_tasks import ONE, TASKS, URN, World, client_with, left, refused
from tests.caller import Caller
from tests.cast import JUSTIFICATION, TRIED, Cast, events_in, events_of
from tests.factors import force_login
from tests.offenders import collected

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(cast: Cast) -> World:
    """Return a client that can't submit access requests by itself."""
    ticket = cast.ticket(service_id=cast.quillo().pk)
    return World(cast, client_with(cast, "requests:ask", "evaluate"), ticket)


def browser_of(world: World, who: str) -> Browser:
    browser = Browser(raise_request_exception=False)
    force_login(browser, world.cast.people[who])
    return browser


def page_of(task: dict[str, Any]) -> str:
    return str(task["links"]["ticket"]).removeprefix("http://localhost:8000")


def form(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "step": "submit",
        "resource_ids": [str(AccessDraft.objects.latest("made_at").resource_id)],
        "level": "read",
        "window_for": "7200",
        "tried": TRIED,
        "justification": JUSTIFICATION,
        **changes,
    }


def test_a_client_that_may_not_submit_makes_a_draft_and_nobody_is_asked(world: World) -> None:
    world.cast.own_client("Other", ["requests:ask"])
    since = AuditEntry.objects.count()
    task = world.submitted(emergency=True)
    draft = AccessDraft.objects.get()
    assert task["id"] == str(draft.pk)
    assert (task["status"], task["progress"]) == (
        "pending",
        {"current_step": 1, "total_steps": 3, "step_name": "engineer_confirmation"},
    )
    assert page_of(task) == f"/tickets/{world.ticket.pk}/ask/?draft={draft.pk}"
    assert (draft.engineer, draft.level, draft.window_for, draft.is_emergency) == (world.cast.priya, "read", 7200, True)
    assert draft.expires_at - draft.made_at == dt.timedelta(hours=24)
    assert not AccessRequest.objects.exists()
    assert [row.topic for row in OutboxMessage.objects.filter(lane=FANOUT, about=draft.pk)] == ["notify.access_drafted"]
    assert not OutboxMessage.objects.filter(topic="notify.decide_as_provider").exists()
    assert AuditEntry.objects.count() == since + 1
    entry = json.loads(bytes(AuditEntry.objects.latest("pk").canonical))
    assert (entry["event"], entry["actor"]["name"], entry["actor"]["for"]["id"]) == (
        "access_draft.made",
        "Help desk",
        str(world.cast.priya.pk),
    )


def test_only_the_engineer_gets_a_mail_with_a_link_to_the_page(world: World) -> None:
    task = world.submitted()
    for message in OutboxMessage.objects.filter(lane=FANOUT, topic="notify.access_drafted"):
        handlers.fan_out(message, clock.now())
    mail = OutboxMessage.objects.get(lane=MAIL, topic="notify.access_drafted")
    assert mail.person == world.cast.priya
    found = email.render(mail, clock.now())
    text = " ".join(found["text"].split())
    assert "Help desk drafted an access request in your name. Nobody is asked until you confirm it." in text
    assert page_of(task) in found["text"]
    assert "How much: can read content; Quillo enforces this" in text


def test_the_engineer_finds_the_draft_on_the_first_page_and_in_the_form(world: World) -> None:
    task = world.submitted(requested_until="2999-01-01T00:00:00Z", emergency=True)
    browser, before = browser_of(world, "priya"), left()
    home = re.sub(r"<[^>]*>|\s+", " ", browser.get("/").content.decode())
    assert page_of(task) in browser.get("/").content.decode()
    assert "Read content" in home
    for _look in range(2):
        page = browser.get(page_of(task)).content.decode()
    text = re.sub(r"<[^>]*>", "", page)
    assert "Help desk drafted this access request in your name. Nobody is asked until you submit it." in text
    assert "The window closes at the latest: Tue 1 Jan 2999" in text
    assert "It is marked as an emergency. The mark changes nothing." in text
    assert TRIED.replace("'", "&#x27;") in page
    assert left() == before, "to look changes nothing"
    assert AccessDraft.objects.get().ended_at is None


def test_the_engineer_confirms_the_draft_and_both_stages_begin_then(world: World, travel: Any) -> None:
    at = travel.freeze()
    until = at + dt.timedelta(hours=30)
    task = world.submitted(requested_until=until.isoformat(), emergency=True)
    later = at + dt.timedelta(hours=20)
    travel.to(later)
    assert browser_of(world, "priya").post(page_of(task), form(world)).status_code == 302
    row = AccessRequest.objects.get()
    assert str(row.pk) == task["id"]
    assert (row.requested_by, row.raised_by, row.is_emergency, row.until_at) == (
        world.cast.priya,
        "Help desk",
        True,
        until,
    )
    assert row.decide_by == limits.provider_deadline(row.submitted_at)
    assert later <= row.submitted_at
    assert events_of(row.pk) == ["access_request.submitted"]
    entry = json.loads(bytes(AuditEntry.objects.get(correlation_id=row.pk).canonical))
    assert (entry["actor"]["kind"], entry["door"]) == ("person", "pages")
    assert AccessDraft.objects.get().ended_at is not None
    desk = client_again(world)
    found = desk.get(f"{TASKS}/{task['id']}").json()
    assert found["task"]["progress"] == {"current_step": 2, "total_steps": 3, "step_name": "provider_approval"}
    assert "cancel" not in found["task"]["links"]
    grant = world.approved(task)
    assert desk.get(f"{TASKS}/{task['id']}").json()["result"]["approval"]["id"] == str(grant.pk)
    assert desk.post(ONE, world.question()).json()["decision"] is True
    # The access request is the engineer's own now.
    before = left()
    refused(desk.post(f"{TASKS}/{task['id']}/cancel"), 403, "not_allowed")
    assert left() == before


def client_again(world: World) -> Any:
    """Return the same client with a new token, because the first one has expired."""
    client = Client.objects.get(account__name="Help desk")
    scopes = frozenset({Scope.REQUESTS_ASK, Scope.EVALUATE})
    return Caller(operations.issue_access_token(client, scopes=scopes).secret)


def test_a_draft_can_be_changed_but_not_turned_to_another_resource(world: World) -> None:
    task = world.submitted()
    browser, before = browser_of(world, "priya"), left()
    other = operations.save_resource(
        actor=world.cast.as_("stella"),
        tenant_id=world.cast.contoso.pk,
        service_id=world.cast.quillo().pk,
        kind="workspace",
        name="other notes",
        external_id="8",
    )
    entries = AuditEntry.objects.count()
    found = browser.post(page_of(task), form(world, resource_ids=[str(other.pk)]))
    assert found.status_code == 422
    assert AccessRequest.objects.count() == 0
    assert AuditEntry.objects.count() == entries
    assert before[2:] == left()[2:]
    assert browser.post(page_of(task), form(world, window_for="1800", level="names")).status_code == 302
    assert AccessRequest.objects.get().window_for == 1800


@pytest.mark.parametrize("by", ["the engineer", "the client"])
def test_a_draft_is_discarded(world: World, by: str) -> None:
    task = world.submitted()
    if by == "the engineer":
        assert browser_of(world, "priya").post(page_of(task), {"step": "discard"}).status_code == 302
    else:
        found = world.desk.post(f"{TASKS}/{task['id']}/cancel", {"comment": "It works again."})
        assert (found.status_code, found.json()["task"]["status"]) == (200, "cancelled")
    assert world.read(task).json()["task"]["status"] == "cancelled"
    assert "cancel" not in world.read(task).json()["task"]["links"]
    assert events_in(world.cast.contoso)[-1] == "access_draft.discarded"
    before = left()
    found = world.desk.post(f"{TASKS}/{task['id']}/cancel")
    refused(found, 409, "invalid_task_state")
    assert found.json()["type"] == URN + "invalid_task_state"
    ended = browser_of(world, "priya").get(page_of(task))
    assert (ended.status_code, "This draft was confirmed or discarded" in ended.content.decode()) == (409, True)
    with pytest.raises(FactsChanged):
        confirm(world, task)
    assert left()[1:] == before[1:]
    assert not AccessRequest.objects.exists()


def confirm(world: World, task: dict[str, Any], by: str = "priya") -> AccessRequest:
    draft = AccessDraft.objects.get(pk=task["id"])
    ask = world.cast.ask(world.ticket, resource=draft.resource, draft_id=draft.pk)
    return operations.submit(ask, actor=world.cast.as_(by))


def test_an_unconfirmed_draft_ends_after_24_hours(world: World, travel: Any) -> None:
    at = travel.freeze()
    task, just_in_time = world.submitted(), world.submitted()
    ends = at + dt.timedelta(hours=24)
    assert set(AccessDraft.objects.values_list("expires_at", flat=True)) == {ends}
    travel.to(ends - dt.timedelta(microseconds=1))
    assert confirm(world, just_in_time).state == "PENDING_PROVIDER"
    travel.to(ends)
    browser = browser_of(world, "priya")
    assert page_of(task) not in browser.get("/").content.decode()
    assert browser.get(page_of(task)).status_code == 409
    with pytest.raises(FactsChanged):
        confirm(world, task)
    with pytest.raises(WrongState):
        operations.discard_draft(task["id"], actor=world.cast.as_("priya"))
    assert AccessRequest.objects.count() == 1
    assert client_again(world).get(f"{TASKS}/{task['id']}").json()["task"]["status"] == "expired"


def test_nobody_else_sees_confirms_or_discards_a_draft(world: World) -> None:
    task = world.submitted()
    before = AccessDraft.objects.values_list("ended_at", flat=True).get()
    with collected() as case:
        for who in ("erik", "samir", "pat", "stella", "ada", "mia", "frida"):
            with case(who):
                browser = browser_of(world, who)
                assert browser.get(page_of(task)).status_code in (403, 404)
                assert browser.post(page_of(task), {"step": "discard"}).status_code in (403, 404)
                assert task["id"] not in browser.get("/").content.decode()
                with pytest.raises(NotFound):
                    operations.discard_draft(task["id"], actor=world.cast.as_(who))
                with pytest.raises((NotFound, NotAllowed)):
                    confirm(world, task, by=who)
    other = client_with(world.cast, "requests:ask", "evaluate")
    for method, path in (("get", f"{TASKS}/{task['id']}"), ("post", f"{TASKS}/{task['id']}/cancel")):
        refused(other(method, path), 404, "unknown_task")
    assert AccessDraft.objects.values_list("ended_at", flat=True).get() == before
    assert not AccessRequest.objects.exists()


def test_no_client_confirms_a_draft(world: World) -> None:
    task = world.submitted()
    made = world.cast.own_client("Desk", ["requests:submit", "requests:ask", "evaluate"])
    operations.issue_access_token(made.row, scopes=frozenset({Scope.REQUESTS_SUBMIT}))
    token = Token.objects.select_related("account__client").get(account=made.row.account)
    draft = AccessDraft.objects.get()
    ask = world.cast.ask(world.ticket, resource=draft.resource, draft_id=draft.pk)
    with pytest.raises((NotAllowed, NotFound)):
        operations.submit(ask, actor=actor_of_token(token, in_name_of=world.cast.priya))
    assert not AccessRequest.objects.exists()
    assert world.read(task).json()["task"]["status"] == "pending"


def test_a_denial_makes_one_draft(world: World) -> None:
    body = world.submission()
    first = world.desk.post(TASKS, body, Idempotency_Key="k-1")
    again = world.desk.post(TASKS, body, Idempotency_Key="k-1")
    assert (first.status_code, again.json()) == (201, first.json())
    refused(world.desk.post(TASKS, body, Idempotency_Key="k-2"), 400, "invalid_denial_binding")
    assert AccessDraft.objects.count() == 1
    confirm(world, first.json()["task"])
    refused(world.desk.post(TASKS, body, Idempotency_Key="k-3"), 400, "invalid_denial_binding")
    assert (AccessRequest.objects.count(), AccessTask.objects.count()) == (1, 1)


def test_a_draft_is_checked_as_far_as_it_can_be(world: World) -> None:
    cases: list[tuple[str, str, Any, int]] = [
        ("context", "justification", "short", 422),
        ("context", "tried", "", 422),
        ("context", "ticket", "none", 422),
        ("requested_access", "length", 28800, 422),
        ("requested_access", "level", "names", 422),
        ("requested_access", "requested_until", "2020-01-01T00:00:00Z", 409),
    ]
    with collected() as case:
        for part, name, value, status in cases:
            with case(name):
                body = world.submission()
                body[part][name] = value
                assert world.desk.post(TASKS, body).status_code == status
    assert not AccessDraft.objects.exists()
    assert not OutboxMessage.objects.filter(topic="notify.access_drafted").exists()


def test_an_engineer_is_not_flooded_with_drafts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "hourly_max", lambda *, is_practice: 2)
    for _number in range(2):
        world.submitted()
    refused(world.desk.post(TASKS, world.submission()), 429, "too_many")
    assert AccessDraft.objects.count() == 2


def test_a_draft_alone_gives_no_access(world: World) -> None:
    task = world.submitted()
    question = world.question()
    question["context"] = {**question["context"], "approval": {"id": task["id"]}}
    found = world.desk.post(ONE, question).json()
    assert found["decision"] is False
    assert found["context"]["reason"] == "approval_unverifiable"
    assert not Grant.objects.exists()


def test_the_draft_of_a_closed_ticket_is_not_confirmed(world: World) -> None:
    task = world.submitted()
    type(world.ticket).objects.filter(pk=world.ticket.pk).update(state="CLOSED")
    with pytest.raises(FactsChanged):
        confirm(world, task)
    assert not AccessRequest.objects.exists()
