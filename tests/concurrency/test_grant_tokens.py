"""A window closes while its engineer and its application get tokens: none is given after the close."""

from __future__ import annotations

from typing import Any

import pytest

from audit_app.models import AuditEntry
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain.errors import WindowNotOpen
from requests_app.models.people import actor_of_client
from requests_app.operations import GrantToken
from tests.cast import Cast
from tests.concurrency.test_races import at_once
from tests.ways_in import WayIn

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_no_token_comes_after_the_close(transactional_db: None, cast: Cast) -> None:
    made = cast.guard()
    guard = actor_of_client(made.row)
    grant = cast.in_quillo()
    priya, ada = cast.as_("priya"), cast.as_("ada")
    first = WayIn(cast, made.row, grant).token().token

    def issue() -> Any:
        return operations.issue_grant_token(grant.pk, actor=priya)

    def renew() -> Any:
        return operations.renew_grant_token(first, actor=guard)

    def close() -> Any:
        return operations.revoke(grant.access_request_id, actor=ada)

    results = at_once(issue, renew, close, issue, renew, issue, renew)
    given = [each for each in results if isinstance(each, GrantToken)]
    refused = [each for each in results if type(each) is WindowNotOpen]
    assert len(given) + len(refused) == 6
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    events = list(rows.values_list("event", flat=True))
    after = events[events.index("grant.revoked") :]
    assert "grant.token_issued" not in after
    # Who renews again within a minute gets the same token again, without an entry.
    tokens = {first} | {each.token for each in given}
    assert (after.count("act.refused"), events.count("grant.token_issued")) == (len(refused), len(tokens))
    assert verify(cast.contoso.pk).is_good
