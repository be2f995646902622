"""Access requests over AuthZEN with real transactions: of two acts on a draft, denial or task, exactly one happens."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import partial
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import FactsChanged, WrongState
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Grant, OutboxMessage
from tests.api.test_access_drafts import confirm
from tests.api.test_access_tasks import SCOPES, TASKS, World, client_with
from tests.cast import Cast, events_of
from tests.concurrency.test_races import at_once, outcomes

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ATTEMPTS = pytest.mark.parametrize("attempt", range(4))


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> World:
    return World(cast, client_with(cast, *SCOPES), cast.ticket(service_id=cast.quillo().pk))


@pytest.fixture
def drafting(transactional_db: None, cast: Cast) -> World:
    return World(cast, client_with(cast, "requests:ask", "evaluate"), cast.ticket(service_id=cast.quillo().pk))


def count(*events: str) -> Counter[str]:
    return Counter(AuditEntry.objects.filter(event__in=events).values_list("event", flat=True))


CONFIRMED, DISCARDED, EXPIRED = "access_request.submitted", "access_draft.discarded", "access_draft.expired"


@ATTEMPTS
@pytest.mark.parametrize("by", ["the engineer", "the client"])
def test_a_draft_is_either_confirmed_or_discarded(drafting: World, by: str, attempt: int) -> None:
    task = drafting.submitted()
    priya = drafting.cast.as_("priya")
    discard = partial(operations.discard_draft, task["id"], actor=priya)
    if by == "the client":
        discard = partial(drafting.desk.post, f"{TASKS}/{task['id']}/cancel")
    confirmed, discarded = at_once(partial(confirm, drafting, task), discard)
    happened = count(CONFIRMED, DISCARDED)
    if isinstance(confirmed, AccessRequest):
        assert happened == {CONFIRMED: 1}
        assert (AccessRequest.objects.count(), AccessTask.objects.count()) == (1, 1)
        if by == "the client":
            # A draft that was confirmed while the client waited is the engineer's own now: 403. Otherwise: 409.
            assert discarded.status_code in (403, 409), discarded.content
            assert discarded.json()["code"] in ("not_allowed", "invalid_task_state")
        else:
            assert isinstance(discarded, WrongState)
    else:
        assert isinstance(confirmed, FactsChanged)
        assert happened == {DISCARDED: 1}
        assert (AccessRequest.objects.count(), AccessTask.objects.count()) == (0, 0)
        assert not OutboxMessage.objects.filter(topic="notify.decide_as_provider").exists()
        assert isinstance(discarded, AccessDraft) or discarded.status_code == 200
    assert AccessDraft.objects.get().ended_at is not None


@ATTEMPTS
def test_two_confirmations_are_one_access_request(drafting: World, attempt: int) -> None:
    task = drafting.submitted()
    results = at_once(*[partial(confirm, drafting, task)] * 3)
    assert outcomes(results) == {"AccessRequest": 1, "FactsChanged": 2}
    assert (AccessRequest.objects.count(), AccessTask.objects.count()) == (1, 1)
    assert count(CONFIRMED) == {CONFIRMED: 1}
    assert OutboxMessage.objects.filter(topic="notify.decide_as_provider").count() == 1


@pytest.mark.parametrize("scopes", [SCOPES, ["requests:ask", "evaluate"]])
def test_one_key_is_one_task(transactional_db: None, cast: Cast, scopes: list[str]) -> None:
    world = World(cast, client_with(cast, *scopes), cast.ticket(service_id=cast.quillo().pk))
    body = world.submission()
    call = partial(world.desk.post, TASKS, body, Idempotency_Key="one")
    answers: list[Any] = at_once(*[call] * 8)
    must_wait = [each for each in answers if each.status_code == 409]
    assert {(each.json()["code"], each["Retry-After"]) for each in must_wait} <= {("idempotency_in_progress", "2")}
    answers = [each for each in answers if each.status_code != 409] + [call() for _each in must_wait]
    assert {each.status_code for each in answers} <= {200, 201}
    assert len({each.json()["task"]["id"] for each in answers}) == 1
    assert AccessRequest.objects.count() + AccessDraft.objects.count() == 1
    assert sum(count(CONFIRMED, "access_draft.made").values()) == 1


@ATTEMPTS
@pytest.mark.parametrize("scopes", [SCOPES, ["requests:ask", "evaluate"]])
def test_a_denial_is_used_once_by_calls_with_different_keys(
    transactional_db: None, cast: Cast, scopes: list[str], attempt: int
) -> None:
    world = World(cast, client_with(cast, *scopes), cast.ticket(service_id=cast.quillo().pk))
    body = world.submission()
    answers: list[Any] = at_once(
        *[partial(world.desk.post, TASKS, body, Idempotency_Key=f"key-{number}") for number in range(4)]
    )
    refused = [each for each in answers if each.status_code != 201]
    assert len(refused) == 3
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(400, "invalid_denial_binding")}
    assert AccessRequest.objects.count() + AccessDraft.objects.count() == 1
    assert sum(count(CONFIRMED, "access_draft.made").values()) == 1
    topics = ["notify.decide_as_provider", "notify.access_drafted"]
    assert OutboxMessage.objects.filter(topic__in=topics).count() == 1


@ATTEMPTS
def test_a_task_is_either_approved_or_cancelled(world: World, attempt: int) -> None:
    task = world.submitted()
    operations.approve_as_provider(task["id"], actor=world.cast.as_("pat"), note="No other way.")
    approved, cancelled = at_once(
        partial(operations.approve_as_customer, task["id"], actor=world.cast.as_("ada")),
        partial(world.desk.post, f"{TASKS}/{task['id']}/cancel"),
    )
    found = world.read(task).json()
    events = Counter(events_of(AccessRequest.objects.get()))
    if isinstance(approved, AccessRequest):
        assert (cancelled.status_code, cancelled.json()["code"]) == (409, "invalid_task_state")
        assert (found["task"]["status"], Grant.objects.count()) == ("approved", 1)
        assert (events["access_request.approved_by_customer"], events["access_request.withdrawn"]) == (1, 0)
    else:
        assert isinstance(approved, WrongState)
        assert cancelled.status_code == 200
        assert (found["task"]["status"], Grant.objects.count()) == ("cancelled", 0)
        assert (events["access_request.approved_by_customer"], events["access_request.withdrawn"]) == (0, 1)


def test_at_its_end_a_draft_expires_once_and_nobody_confirms_it(drafting: World, travel: Any) -> None:
    at = travel.freeze()
    task = drafting.submitted()
    travel.to(at + dt.timedelta(hours=24))
    system = drafting.cast.system("sweep")
    sweep = partial(operations.expire_drafts, actor=system, limit=10)
    first, second, confirmed = at_once(sweep, sweep, partial(confirm, drafting, task))
    assert (first + second, type(confirmed)) == (1, FactsChanged)
    assert count(CONFIRMED, DISCARDED, EXPIRED) == {EXPIRED: 1}
    assert not AccessRequest.objects.exists()
