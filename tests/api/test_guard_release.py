"""“I am done” in an application: the window closes as its engineer's act, and only with the engineer's own token."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, Grant, OutboxMessage, QueueAssignment
from requests_app.models.token_keys import signed, verified
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import QUILLO, Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def guard(cast: Cast) -> operations.Made:
    return cast.guard()


@pytest.fixture
def window(cast: Cast, guard: operations.Made) -> Grant:
    return cast.in_quillo()


def caller_of(made: operations.Made) -> Caller:
    return Caller(access_token(made.row, made.secret).json()["access_token"])


def token(cast: Cast, window: Grant) -> str:
    return operations.issue_grant_token(window.pk, actor=cast.as_("priya")).token


def release(made: operations.Made, text: object) -> Any:
    return caller_of(made).post("guard/release", {"token": text})


def still_open(window: Grant) -> bool:
    window.refresh_from_db()
    row = AccessRequest.objects.get(pk=window.access_request_id)
    is_mailed = OutboxMessage.objects.filter(topic="notify.window_closed").exists()
    return (window.closed_at, row.state, is_mailed) == (None, "OPEN", False)


def test_the_window_closes_and_the_log_shows_who_did_it_through_what(
    cast: Cast, guard: operations.Made, window: Grant
) -> None:
    answer = release(guard, token(cast, window))
    assert (answer.status_code, answer.json()["close_reason"]) == (200, "released")
    window.refresh_from_db()
    assert (window.closed_by, window.close_reason) == (cast.priya, "released")
    entry = AuditEntry.objects.get(correlation_id=window.access_request_id, event="grant.released")
    actor = json.loads(bytes(entry.canonical))["actor"]
    assert (actor["kind"], actor["name"]) == ("client", guard.row.account.name)
    assert actor["for"]["id"] == str(cast.priya.pk)


def test_the_same_call_again_has_the_same_answer(cast: Cast, guard: operations.Made, window: Grant) -> None:
    proof = token(cast, window)
    assert release(guard, proof).status_code == 200
    count = AuditEntry.objects.count()
    assert release(guard, proof).status_code == 200
    assert AuditEntry.objects.count() == count


def test_another_application_closes_nothing(cast: Cast, guard: operations.Made, window: Grant) -> None:
    service = operations.save_service(
        actor=cast.as_("stella"), key="other", name="Other", **{**QUILLO, "application": "Other"}
    )
    other = cast.guard(service)
    answer = release(other, token(cast, window))
    assert (answer.status_code, answer.json()["code"]) == (403, "grant_token_foreign")
    assert still_open(window)


def test_an_ended_token_closes_nothing(cast: Cast, guard: operations.Made, window: Grant, travel: Any) -> None:
    proof = token(cast, window)
    travel.to(clock.now() + dt.timedelta(minutes=6))
    answer = release(guard, proof)
    assert (answer.status_code, answer.json()["code"]) == (403, "grant_token_ended")
    assert still_open(window)


@pytest.mark.parametrize("change", ["signature", "payload", "no token", "another kind"])
def test_a_token_that_is_not_ours_closes_nothing(
    cast: Cast, guard: operations.Made, window: Grant, change: str
) -> None:
    head, payload, signature = token(cast, window).split(".")
    sent = {
        "signature": f"{head}.{payload}.{signature[:-4]}AAAA",
        "payload": f"{head}.{payload[:-4]}AAAA.{signature}",
        "no token": "x",
        "another kind": signed({"sub": str(cast.priya.pk)}, typ="JWT"),
    }[change]
    assert release(guard, sent).status_code == 404
    assert still_open(window)


def test_without_the_role_the_engineer_closes_nothing_through_an_application(
    cast: Cast, guard: operations.Made, window: Grant
) -> None:
    proof = token(cast, window)
    assert verified(proof, typ="at+jwt") is not None
    QueueAssignment.objects.filter(person=cast.priya, service=cast.quillo()).delete()
    assert release(guard, proof).status_code in (403, 404)
    assert still_open(window)


def test_only_a_guard_can_send_such_a_token(cast: Cast, window: Grant) -> None:
    proof = token(cast, window)
    asks = operations.Made(*client_of(cast, None))
    for caller, status in ((Caller(token_of(cast, "priya")), 403), (caller_of(asks), 403), (Caller(""), 401)):
        assert caller.post("guard/release", {"token": proof}).status_code == status
    assert still_open(window)


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 1, "grant": "x"}, {"token": "x" * 70_000}, []])
def test_a_wrong_body_is_refused(guard: operations.Made, window: Grant, body: Any) -> None:
    assert caller_of(guard).post("guard/release", body).status_code in (400, 422)
    assert still_open(window)
