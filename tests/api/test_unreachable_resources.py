"""The API says which resources can't be reached: on the resource, and beside an access request for it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Resource
from tests.caller import Caller, token_of
from tests.cast import JUSTIFICATION, TRIED, Cast

pytestmark = pytest.mark.django_db


def calling(cast: Cast, name: str) -> Caller:
    return Caller(token_of(cast, name))


def state_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("reachable", "checked_at", "problem", "failing_since"))


def test_a_resource_says_whether_it_was_reached(cast: Cast, travel: Any, settings: Any, tmp_path: Any) -> None:
    row, caller = cast.resource(), calling(cast, "priya")
    address = f"tenants/{row.tenant_id}/resources/{row.pk}"
    assert state_of(caller.get(address).json()) == (None, None, "", None)
    settings.CONTENT_ROOT = tmp_path
    at = travel.freeze().isoformat().replace("+00:00", "Z")
    operations.check_resource(row.pk, actor=cast.as_("stella"))
    assert state_of(caller.get(address).json()) == (False, at, "resource_not_found", at)
    for place in ("cur", "new"):
        (tmp_path / row.locator / place).mkdir(parents=True)
    operations.check_resource(row.pk, actor=cast.as_("stella"))
    assert state_of(caller.get(address).json()) == (True, at, "", None)


@pytest.mark.parametrize("problem", ["", "no_answer"])
def test_after_two_days_nobody_knows_whether_it_is_reached(cast: Cast, travel: Any, problem: str) -> None:
    at = travel.freeze()
    ask, row = cast.submitted(), cast.resource()
    since = at if problem else None
    Resource.objects.filter(pk=row.pk).update(checked_at=at, check_problem=problem, check_failing_since=since)
    address = f"tenants/{row.tenant_id}/resources/{row.pk}"
    travel.by(hours=47)
    assert calling(cast, "priya").get(address).json()["reachable"] is (not problem)
    travel.by(hours=2)
    caller, warned = calling(cast, "priya"), calling(cast, "pat")
    tested = at.isoformat().replace("+00:00", "Z")
    assert state_of(caller.get(address).json()) == (None, tested, "", None)
    found = caller.get(f"tenants/{row.tenant_id}/resources").json()["items"]
    assert [one["reachable"] for one in found if one["id"] == str(row.pk)] == [None]
    few = caller.get(f"tenants/{row.tenant_id}/resources", {"fields": "id,reachable"}).json()["items"]
    assert {"id": str(row.pk), "reachable": None} in few
    # Otherwise it would have expired.
    type(ask).objects.filter(pk=ask.pk).update(decide_by=clock.now() + dt.timedelta(hours=1))
    warning = {"code": "resource_not_tested", "resource": str(row.pk), "problem": "not_tested", "since": tested}
    assert warned.get(f"access-requests/{ask.pk}").json()["warnings"] == [warning]


def test_an_access_request_for_it_is_accepted_with_a_warning(cast: Cast) -> None:
    spoiled, other, at = cast.resource(), cast.resource(name="sales"), clock.now()
    Resource.objects.filter(pk=spoiled.pk).update(checked_at=at, check_problem="kind_differs", check_failing_since=at)
    body = {
        "ticket": str(cast.ticket().pk), "resources": [str(spoiled.pk), str(other.pk)], "level": "read",
        "window_seconds": 7200, "tried": TRIED, "justification": JUSTIFICATION,
    }  # fmt: skip
    caller = calling(cast, "priya")
    answer = caller.post("access-requests", body)
    assert answer.status_code == 201
    since = at.isoformat().replace("+00:00", "Z")
    warning = {"code": "resource_unreachable", "resource": str(spoiled.pk), "problem": "kind_differs", "since": since}
    assert answer.json()["warnings"] == [warning]
    address = f"access-requests/{answer.json()['id']}"
    assert calling(cast, "pat").get(address).json()["warnings"] == [warning]
    Resource.objects.filter(pk=spoiled.pk).update(check_problem="", check_failing_since=None)
    assert caller.get(address).json()["warnings"] == []
