"""Real threads against the API on PostgreSQL: repeated calls, and acts that end a caller in mid-call."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.models import AccessRequest, Decision, IdempotencyKey
from tests.api.test_idempotency import asking
from tests.caller import Caller, token_of
from tests.cast import Cast, gather
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None) -> Cast:
    return gather()


def test_fifty_equal_calls_with_one_key_are_one_act_and_fifty_equal_answers(world: Cast) -> None:
    priya, body = Caller(token_of(world, "priya")), asking(world)
    call = partial(priya.post, "access-requests", body, Idempotency_Key="one")
    answers: list[Any] = at_once(*[call] * 50)
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert sum(each.has_header("Idempotency-Replayed") for each in answers) == 49
    assert AccessRequest.objects.count() == 1
    assert AuditEntry.objects.filter(event="access_request.submitted").count() == 1
    assert IdempotencyKey.objects.count() == 1


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


def test_a_token_that_is_revoked_while_its_call_waits_does_nothing_after_that(world: Cast) -> None:
    """Whichever took its turn at the log first: no decision stands behind the revocation."""
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
