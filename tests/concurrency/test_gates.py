"""Many requests to a web tool at once, and the end of their window in the middle, on both databases."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.models import ContentAccess, Grant, Service
from requests_app.operations.gates import Pass, Refusal
from requests_app.queries.gates import Asker
from tests.cast import Cast
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def tool(transactional_db: None, cast: Cast) -> Service:
    return cast.web_tool()


def asking(service: Service, grant: Grant) -> Any:
    return partial(
        operations.judge,
        service,
        host="quillo.example",
        method="GET",
        target="/tenants/7/pages",
        headers={},
        session=Asker(person_id=grant.engineer_id, grant_id=grant.pk),
    )


def test_requests_at_once_share_transactions_and_each_has_its_entry(
    cast: Cast, tool: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant, groups = cast.in_quillo(), []
    decide = operations.gates.LANE._decide

    def counted(calls: Any) -> Any:
        groups.append(len(calls))
        assert not transaction.get_connection().in_atomic_block
        return decide(calls)

    monkeypatch.setattr(operations.gates.LANE, "_decide", counted)
    results = at_once(*[asking(tool, grant)] * 12)
    assert [type(result) for result in results] == [Pass] * 12
    assert sum(groups) == 12
    assert ContentAccess.objects.filter(grant=grant).count() == 12
    entries = AuditEntry.objects.filter(tenant_id=grant.tenant_id, event="content.access_allowed")
    assert entries.count() == 12


def test_a_revocation_comes_after_every_request_that_passed(cast: Cast, tool: Service) -> None:
    for _ in range(3):
        grant = cast.in_quillo()
        revoke = partial(operations.revoke, grant.access_request_id, actor=cast.as_("ada"))
        calls = [asking(tool, grant)] * 6
        *results, _closed = at_once(*calls, revoke)
        assert {type(result) for result in results} <= {Pass, Refusal}
        found = AuditEntry.objects.filter(correlation_id=grant.access_request_id)
        events = list(found.order_by("seq").values_list("event", flat=True))
        before, after = events[: events.index("grant.revoked")], events[events.index("grant.revoked") + 1 :]
        passed = sum(isinstance(result, Pass) for result in results)
        assert Counter(before)["content.access_allowed"] == passed
        assert Counter(after) == ({"act.refused": 6 - passed} if passed < 6 else {})
