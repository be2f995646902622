"""The decision point over HTTP, while the window closes or the caller loses access. Only on PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from audit_app import recorder
from audit_app.models import AuditEntry
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.doors.api import quota
from requests_app.models import Client, ContentAccess, Grant, Person, Token
from tests.caller import Caller, access_token, client_of
from tests.cast import Cast
from tests.concurrency.test_races import at_once, wait_for_somebody_who_waits

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    quota.CALLS.clear()
    return cast


def _gateway(world: Cast, tenant: str | None = None) -> Caller:
    return Caller(access_token(*client_of(world, tenant, Scope.EVALUATE)).json()["access_token"])


def _question(world: Cast) -> dict[str, Any]:
    return {
        "subject": {"type": "engineer", "id": str(world.priya.pk)},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": str(world.resource().pk)},
        "context": {"purpose": "access"},
    }


def _answers(results: list[Any]) -> list[dict[str, Any]]:
    """Return the single decisions in these responses. The decisions of a batch are listed one by one."""
    found = []
    for result in results:
        assert result.status_code == 200, result.content
        body = result.json()
        found += body.get("evaluations", [body])
    return found


def test_no_permission_comes_after_the_close(world: Cast) -> None:
    grant = world.opened()
    provider, customer, ada = _gateway(world), _gateway(world, "contoso"), world.as_("ada")
    single, batch = _question(world), {**_question(world), "evaluations": [{}] * 3}
    results = at_once(
        *[lambda: provider.post(ONE, single) for _ in range(5)],
        *[lambda: customer.post(ONE, single) for _ in range(5)],
        *[lambda: provider.post(MANY, batch) for _ in range(2)],
        lambda: operations.revoke(grant.access_request_id, actor=ada),
    )
    answers = _answers(results[:-1])
    assert len(answers) == 16
    # The customer's client learns nothing about a person without a window, so the reason can be not_found.
    assert {each["context"]["reason"] for each in answers} <= {"window_open", "window_not_open", "not_found"}
    allowed = [each["context"]["entry"] for each in answers if each["decision"]]
    refused = [each["context"]["entry"] for each in answers if not each["decision"]]
    revoked = AuditEntry.objects.get(correlation_id=grant.access_request_id, event="grant.revoked").seq
    assert max(allowed, default=0) < revoked < min(refused, default=revoked + 1)
    assert len(set(allowed + refused)) == 16
    assert ContentAccess.objects.filter(grant=grant).count() == len(allowed)
    assert verify(world.contoso.pk).is_good


@pytest.mark.parametrize("how", ["token revoked", "client removed", "scope taken away", "window closed"])
def test_a_question_that_waits_for_its_turn_is_answered_from_what_is_so_then(world: Cast, how: str) -> None:
    """The call waits for the log, which another transaction has locked.

    When the call waits, that transaction closes the window or takes the caller's right away.
    """
    grant, caller, body = world.opened(), _gateway(world), _question(world)
    holds = threading.Event()

    def meanwhile() -> None:
        with transaction.atomic():
            recorder.turn(world.contoso.pk)
            holds.set()
            wait_for_somebody_who_waits()
            if how == "token revoked":
                Token.objects.update(revoked_at=clock.now())
            elif how == "client removed":
                Person.objects.filter(kind="client").update(is_active=False)
            elif how == "scope taken away":
                Client.objects.update(scopes=["log:read"])
            else:
                Grant.objects.filter(pk=grant.pk).update(closed_at=clock.now(), close_reason="revoked")

    def ask() -> Any:
        assert holds.wait(120)
        return caller.post(ONE, body)

    _held, found = at_once(meanwhile, ask)
    if how == "window closed":
        assert (found.status_code, found.json()["decision"]) == (200, False)
    else:
        assert found.status_code == 403
    assert ContentAccess.objects.count() == 0


def test_many_at_once_have_each_their_entry(world: Cast) -> None:
    grant, caller, body = world.opened(), _gateway(world), _question(world)
    answers = _answers(at_once(*[lambda: caller.post(ONE, body) for _ in range(20)]))
    assert [each["decision"] for each in answers] == [True] * 20
    assert len({each["context"]["entry"] for each in answers}) == 20
    assert ContentAccess.objects.filter(grant=grant).count() == 20
    assert verify(world.contoso.pk).is_good
