"""The API with real threads: repeated calls, failures of the database, and callers who lose access during a call."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, OperationalError, connection

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.doors.api import idempotency
from requests_app.models import AccessRequest, Decision, IdempotencyKey
from requests_app.platform import holders
from tests.api.test_idempotency import asking
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def test_fifty_equal_calls_with_one_key_are_one_act(world: Cast) -> None:
    """Some of the calls wait, and get the response of the first call.

    The others are asked to call again. When they do, they get this response too.
    """
    priya, body = Caller(token_of(world, "priya")), asking(world)
    call = partial(priya.post, "access-requests", body, Idempotency_Key="one")
    answers: list[Any] = at_once(*[call] * 50)
    must_wait = [each for each in answers if each.status_code == 409]
    assert {(each.json()["code"], each["Retry-After"]) for each in must_wait} <= {("idempotency_in_progress", "2")}
    answers = [each for each in answers if each.status_code != 409] + [call() for _each in must_wait]
    # While the first response is being stored, other calls get the access request in its present state.
    assert {each.status_code for each in answers} <= {200, 201}
    assert len({each.content for each in answers}) == 1
    assert sum(each.has_header("Idempotency-Replayed") for each in answers) == 49
    assert AccessRequest.objects.count() == 1
    assert AuditEntry.objects.filter(event="access_request.submitted").count() == 1
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.parametrize("place", ["claim", "act", "answer"])
def test_a_connection_that_is_ended_during_a_call_locks_no_retry_out(
    world: Cast, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database connection ends at one stage of a call.

    Then the repeated call succeeds, and the act is done only once.
    """
    priya, body = Caller(token_of(world, "priya")), asking(world)
    name = {"claim": "claim_key", "act": "submit", "answer": "keep_answer"}[place]
    plain = getattr(operations, name)

    def ended(*args: Any, **options: Any) -> Any:
        found = plain(*args, **options) if place == "claim" else None
        with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return found if place == "claim" else plain(*args, **options)

    with monkeypatch.context() as failing:
        failing.setattr(operations, name, ended)
        [first] = at_once(partial(priya.post, "access-requests", body, Idempotency_Key="one"))
    assert first.status_code == (201 if place == "answer" else 503)
    [again] = at_once(partial(priya.post, "access-requests", body, Idempotency_Key="one"))
    assert again.status_code == (200 if place == "answer" else 201)
    assert AccessRequest.objects.count() == 1
    assert AuditEntry.objects.filter(event="access_request.submitted").count() == 1


def test_a_claim_is_given_back_as_soon_as_the_database_takes_it(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, tries = uuid4(), []
    operations.claim_key(
        world.priya, key="one", asked="x", claim=claim, holder=holders.current(), claim_for=idempotency.CLAIM
    )
    plain = operations.release_key

    def fails_at_first(which: Any) -> None:
        tries.append(which)
        if len(tries) < 3:
            raise OperationalError("gone")
        plain(which)

    monkeypatch.setattr(operations, "release_key", fails_at_first)
    holders.began(claim)
    idempotency.release(IdempotencyKey.objects.get())
    until = time.monotonic() + 10
    while IdempotencyKey.objects.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert tries == [claim] * 3
    assert not IdempotencyKey.objects.exists()


def test_many_claims_that_cannot_be_given_back_hold_one_thread(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database can only be read, no claim can be released. One thread tries again for all claims."""

    def is_away(_claim: Any) -> None:
        raise OperationalError("gone")

    def trying() -> int:
        return sum(thread.name == "release" for thread in threading.enumerate())

    with monkeypatch.context() as failing:
        failing.setattr(operations, "release_key", is_away)
        for claim in (uuid4() for _ in range(20)):
            holders.began(claim)
            idempotency.release(IdempotencyKey(claim=claim))
        assert trying() == 1
    until = time.monotonic() + 10
    while trying() and time.monotonic() < until:
        time.sleep(0.05)
    assert trying() == 0


@pytest.mark.postgres
def test_two_approvers_at_once_over_the_api_make_one_decision(world: Cast) -> None:
    for _ in range(5):
        row = world.confirmed()
        callers = [Caller(token_of(world, name)) for name in ("ada", "alan")]
        for caller in callers:
            caller.step_up()
        tags = [caller.get(f"access-requests/{row.pk}")["ETag"] for caller in callers]
        answers = at_once(
            *[
                partial(caller.post, f"access-requests/{row.pk}/{verdict}", {}, If_Match=tag)
                for caller, tag, verdict in zip(callers, tags, ("approve", "deny"), strict=True)
            ]
        )
        assert sorted(each.status_code for each in answers) in ([200, 409], [200, 412])
        assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


@pytest.mark.postgres
def test_a_token_that_is_revoked_while_its_call_waits_does_nothing_after_that(world: Cast) -> None:
    """Either the call locks the log first, or the revocation does.

    In both cases, no decision follows the revocation.
    """
    for _ in range(8):
        row = world.confirmed()
        made = operations.create_token(
            name="t", scopes=["requests:read", "decisions:write"], days=7, actor=world.as_("ada")
        )
        ada = Caller(made.secret)
        ada.step_up()
        tag = ada.get(f"access-requests/{row.pk}")["ETag"]
        answer, _revoked = at_once(
            partial(ada.post, f"access-requests/{row.pk}/approve", {}, If_Match=tag),
            partial(operations.revoke_token, made.row.pk, actor=world.as_("ada")),
        )
        seqs = dict(
            AuditEntry.objects.filter(event__in=["access_request.approved_by_customer", "token.revoked"])
            .order_by("pk")
            .values_list("event", "seq")
        )
        if answer.status_code == 200:
            assert seqs["access_request.approved_by_customer"] < seqs["token.revoked"]
        else:
            assert answer.status_code in (401, 403, 404)
            row.refresh_from_db()
            assert row.state == "PENDING_CUSTOMER"
