"""One code in several hands at once, and a code while its window is being closed, on both databases."""

from __future__ import annotations

from functools import partial

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import CodeUsed, WindowNotOpen
from requests_app.models import OneTimeCode
from requests_app.models.people import actor_of_client
from tests.cast import Cast
from tests.concurrency.test_races import at_once, outcomes
from tests.ways_in import way_in

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]


def test_of_browsers_that_use_a_code_at_once_one_gets_in(transactional_db: None, cast: Cast) -> None:
    way = way_in(cast)
    call = partial(
        operations.redeem_code,
        receiver=way.receiver,
        redirect_uri=way.receiver.redirect_uri,
        verifier=way.verifier,
        actor=actor_of_client(way.client),
    )
    for _ in range(3):
        code = way.issue()
        results = at_once(*[partial(call, code)] * 4)
        assert outcomes(results) == {"OneTimeCode": 1, "CodeUsed": 3}
        [row] = [result for result in results if isinstance(result, OneTimeCode)]
        # The others had the code, so it was in wrong hands: what it gave has ended.
        assert not OneTimeCode.objects.alive(row.pk)
        assert {type(result) for result in results} == {OneTimeCode, CodeUsed}
    written = AuditEntry.objects.filter(subject_id=str(way.grant.pk), event__in=["grant.entered", "grant.code_reused"])
    assert sorted(written.values_list("event", flat=True)) == ["grant.code_reused"] * 3 + ["grant.entered"] * 3


def test_a_code_used_while_the_window_is_closed_comes_before_that_or_gives_nothing(
    transactional_db: None, cast: Cast
) -> None:
    way = way_in(cast)
    for _ in range(4):
        way.grant = cast.in_quillo()
        code = way.issue()
        redeem = partial(
            operations.redeem_code,
            code,
            receiver=way.receiver,
            redirect_uri=way.receiver.redirect_uri,
            verifier=way.verifier,
            actor=actor_of_client(way.client),
        )
        revoke = partial(operations.revoke, way.grant.access_request_id, actor=cast.as_("ada"))
        redeemed, _closed = at_once(redeem, revoke)
        events = list(
            AuditEntry.objects.filter(correlation_id=way.grant.access_request_id)
            .filter(event__in=["grant.entered", "grant.revoked", "act.refused"])
            .order_by("seq")
            .values_list("event", flat=True)
        )
        if isinstance(redeemed, OneTimeCode):
            assert events == ["grant.entered", "grant.revoked"]
        else:
            assert isinstance(redeemed, WindowNotOpen)
            assert events == ["grant.revoked", "act.refused"]
