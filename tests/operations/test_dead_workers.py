"""No worker runs for 13 hours. Deadlines and windows still end on time, and later everything is recorded once."""

from __future__ import annotations

from collections import Counter

import pytest

from requests_app import operations
from requests_app.domain.errors import DeadlinePassed, WindowNotOpen
from requests_app.models import Grant
from requests_app.tasks import sweep
from tests.cast import Cast, events_of

pytestmark = pytest.mark.django_db


def test_thirteen_hours_without_a_worker_give_nobody_anything(cast: Cast, travel) -> None:
    travel.freeze()
    grant, waiting = cast.opened(), cast.confirmed()
    mailbox = cast.resource()
    travel.by(hours=13)
    with pytest.raises(DeadlinePassed):
        operations.approve_as_customer(waiting.pk, actor=cast.as_("ada"))
    with pytest.raises(WindowNotOpen):
        operations.content.open_item(grant.pk, mailbox.pk, "1.mail", actor=cast.as_("priya"))
    with pytest.raises(DeadlinePassed):
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert Grant.objects.unclosed().count() == 1

    for _ in range(3):
        sweep()

    counted = Counter(events_of(waiting)) + Counter(events_of(grant.access_request_id))
    assert counted["access_request.expired"] == counted["grant.closed"] == 1
    assert counted["content.opened"] == counted["grant.revoked"] == 0
    assert counted["access_request.approved_by_customer"] == 1
    grant.refresh_from_db()
    assert grant.closed_at == grant.closes_at
