"""A mute denies all access requests, while others are being submitted, or approved by the provider.

None of them reaches the customer.
"""

from __future__ import annotations

from functools import partial

import pytest

from requests_app import operations
from requests_app.domain.errors import FactsChanged, Muted
from requests_app.models import AccessRequest, Decision, Mute
from tests.cast import Cast
from tests.concurrency.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def test_an_access_request_passed_on_during_a_mute_is_denied_or_refused(world: Cast) -> None:
    """If the approval commits first, the mute denies the access request.

    If the mute commits first, the approval is refused.
    """
    ada, pat = world.as_("ada"), world.as_("pat")
    for _ in range(6):
        rows = [world.submitted() for _ in range(3)]
        deny = partial(operations.deny_all_and_mute, world.contoso.pk, engineer_id=None, hours=1, actor=ada)
        approve = [partial(operations.approve_as_provider, row.pk, actor=pat) for row in rows]
        mute, *answers = at_once(deny, *approve)
        assert isinstance(mute, Mute)
        for row, answer in zip(rows, answers, strict=True):
            state = AccessRequest.objects.get(pk=row.pk).state
            assert state == ("PENDING_PROVIDER" if isinstance(answer, FactsChanged) else "DENIED")
            stages = sorted(Decision.objects.filter(access_request=row).values_list("stage", flat=True))
            assert stages == ([] if isinstance(answer, FactsChanged) else ["customer", "provider"])
        operations.lift_mute(mute.pk, actor=ada)
        for row in AccessRequest.objects.filter(state="PENDING_PROVIDER"):
            operations.withdraw(row.pk, actor=world.as_("priya"))


def test_two_who_deny_all_at_once_deny_each_access_request_once(world: Cast) -> None:
    for _ in range(3):
        world.confirmed()
    calls = [
        partial(operations.deny_all_and_mute, world.contoso.pk, engineer_id=None, hours=1, actor=world.as_(name))
        for name in ("ada", "alan")
    ]
    results = at_once(*calls)
    assert sorted(result.denied for result in results) == [0, 3]
    assert Decision.objects.filter(stage="customer").count() == 3
    assert Mute.objects.filter(lifted_at=None).count() == 1


def test_an_access_request_submitted_during_a_mute_waits_at_the_provider_or_is_refused(world: Cast) -> None:
    tickets = [world.ticket() for _ in range(3)]
    deny = partial(operations.deny_all_and_mute, world.contoso.pk, engineer_id=None, hours=1, actor=world.as_("ada"))
    submit = [partial(world.submitted, ticket=ticket) for ticket in tickets]
    mute, *answers = at_once(deny, *submit)
    assert isinstance(mute, Mute)
    assert {type(answer) for answer in answers} <= {AccessRequest, Muted}
    assert set(AccessRequest.objects.values_list("state", flat=True)) <= {"PENDING_PROVIDER"}


def test_access_requests_linked_to_a_human_during_a_denial_are_denied_too(world: Cast) -> None:
    """While the denial waits for the access requests, an account is linked, so that they belong to another human."""
    ada, stella = world.as_("ada"), world.as_("stella")
    for _ in range(4):
        rows = [world.confirmed(by="erik") for _ in range(2)]
        deny = partial(operations.deny_all_and_mute, world.contoso.pk, engineer_id=world.erik.pk, hours=1, actor=ada)
        due = world.made_due(lambda: operations.link_accounts(world.priya.pk, world.erik.pk, actor=stella))
        link = partial(operations.apply_proposal, due, actor=world.system("sweep"))
        mute, linked = at_once(deny, link)
        assert isinstance(mute, Mute)
        assert [AccessRequest.objects.get(pk=row.pk).state for row in rows] == ["DENIED"] * 2
        operations.lift_mute(mute.pk, actor=ada)
        if not isinstance(linked, Exception):
            world.agreed(lambda: operations.unlink_accounts(world.erik.pk, actor=stella))
