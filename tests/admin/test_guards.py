"""What staff see of the guards of applications."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Guard
from tests.admin.conftest import address
from tests.cast import Cast
from tests.guards import ONE, OTHER, actor_of_guard, client_of_guards
from tests.operations.test_reports import one, report

pytestmark = pytest.mark.django_db


def _page(staff: Client, url: str) -> str:
    response = staff.get(url)
    assert response.status_code == 200
    return " ".join(strip_tags(response.content.decode()).split())


@pytest.fixture
def actor(cast: Cast) -> Any:
    return actor_of_guard(client_of_guards(cast))


def test_staff_see_what_each_guard_says_and_for_what_it_speaks(cast: Cast, staff: Client, actor: Any) -> None:
    grant = cast.in_quillo()
    operations.report_accesses(report(one(grant), one(grant), backlog=7), actor=actor)
    operations.note_guard(Guard.objects.get().number, version="test/2", actor=actor, at=clock.now())
    text = _page(staff, address(Guard))
    for words in (ONE, "Quillo Cloud", "reports", "test/2", "7"):
        assert words in text
    text = _page(staff, address(Guard, "change", Guard.objects.get().pk))
    assert "Quillo Cloud" in text
    assert "2" in text


def test_a_silent_guard_is_an_alarm_on_the_overview_while_a_window_is_open(
    cast: Cast, staff: Client, actor: Any
) -> None:
    grant = cast.in_quillo()
    for number in (ONE, OTHER):
        operations.report_accesses(report(first=0, number=number), actor=actor)
    Guard.objects.filter(number=ONE).update(reported_at=clock.now() - dt.timedelta(seconds=61))
    assert "Applications that do not report" in _page(staff, reverse("admin:index"))
    silent, others = (_page(staff, f"{address(Guard)}?silent={value}") for value in ("yes", "no"))
    assert (ONE in silent, OTHER in silent, "silent" in silent) == (True, False, True)
    assert (ONE in others, OTHER in others) == (False, True)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert "Applications that do not report" not in _page(staff, reverse("admin:index"))


def test_a_backlog_that_does_not_become_smaller_is_named(cast: Cast, staff: Client, actor: Any) -> None:
    operations.report_accesses(report(first=0, backlog=7), actor=actor)
    Guard.objects.update(backlog_since=clock.now() - dt.timedelta(minutes=6))
    assert "its backlog does not become smaller" in _page(staff, address(Guard))
    Guard.objects.update(reported_at=None)
    assert "has never reported" in _page(staff, address(Guard))
