"""No number counts a practice request: each test has one practice request, or several, beside no real one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import TooMany
from requests_app.doors.web import home as pages_home
from requests_app.models import AccessRequest, Grant
from requests_app.queries import dashboard, home, inbox, review
from requests_app.queries import tenant as tenants
from requests_app.queries import tickets as tickets_of
from tests import practice
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.factors import force_login
from tests.web.pages import only_a_refusal

pytestmark = pytest.mark.django_db(transaction=True)


def _page(cast: Cast, name: str, path: str) -> str:
    client = Client()
    force_login(client, cast.people[name], is_fresh=True)
    found: str = client.get(path).content.decode()
    return found


def _soon() -> dt.datetime:
    return clock.now() + dt.timedelta(seconds=1)


@pytest.mark.parametrize(("who", "state"), [("pat", "submitted"), ("ada", "confirmed")])
def test_practice_is_in_the_list_of_what_waits_and_not_in_its_number(cast: Cast, who: str, state: str) -> None:
    row = getattr(practice, state)(cast)
    actor = cast.as_(who)
    assert inbox.waiting(actor, at=clock.now(), limit=5) == [row.pk]
    assert inbox.count_waiting_for(actor, at=clock.now()) == 0
    text = _page(cast, who, "/")
    assert row.reference in text
    assert "A practice request waits for your answer" in text
    assert "nav-count" not in text
    assert "Waiting for you (" not in text


def test_real_access_request_beside_practice_is_counted_alone(cast: Cast) -> None:
    practice.confirmed(cast)
    cast.confirmed()
    assert inbox.count_waiting_for(cast.as_("ada"), at=clock.now()) == 1
    text = _page(cast, "ada", "/")
    assert "1 access request waits for your answer" in text
    assert "Waiting for you (1, and 1 for practice)" in text


def test_open_window_of_practice_is_shown_and_not_counted(cast: Cast) -> None:
    practice.opened(cast)
    for who in ("ada", "pat", "stella"):
        text = _page(cast, who, "/")
        assert "Windows open now" in text, who
        assert "Windows open now (" not in text, who
        assert "access window is open now" not in text, who
    text = _page(cast, "priya", "/")
    assert "Your open access windows" in text
    assert "Your open access windows (" not in text


def test_many_windows_of_practice_do_not_change_the_count_of_real_ones(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_home, "WINDOWS", 2)
    cast.opened()
    ticket = practice.started(cast)
    for _ in range(3):
        practice.opened(cast, ticket=ticket)
    for who in ("ada", "pat", "stella"):
        text = _page(cast, who, "/")
        assert "Windows open now (1, and practice)" in text, who
        assert "1 access window is open now" in text, who
        assert "More than" not in text, who
    assert "Your open access windows (1, and practice)" in _page(cast, "priya", "/")


def test_home_of_a_customer_who_only_practised_says_that_nobody_ever_asked(cast: Cast) -> None:
    operations.release(practice.opened(cast).access_request_id, actor=cast.as_("priya"))
    assert "There has never been an access request." in _page(cast, "ada", "/")


def test_several_practice_requests_offer_no_mute(cast: Cast) -> None:
    ticket = practice.started(cast)
    for _ in range(2):
        practice.confirmed(cast, ticket=ticket)
    assert "Do you get too many access requests?" not in _page(cast, "ada", "/")
    askers: Any = tenants.askers(cast.contoso, at=clock.now())
    found = [(person.pk, person.waiting) for person in askers.people]
    assert list(found) == [(cast.priya.pk, 0)]


def test_dashboard_of_staff_counts_no_practice(cast: Cast) -> None:
    ticket = practice.started(cast)
    for state in ("opened", "submitted", "confirmed"):
        getattr(practice, state)(cast, ticket=ticket)
    found = dashboard.dashboard(actor=cast.as_("stella"), at=_soon())
    assert [(stage.waiting.n, stage.late.n, stage.oldest) for stage in found.stages] == [(0, 0, None)] * 2
    assert (found.open_windows.n, list(found.closing_next)) == (0, [])


def test_numbers_of_a_tenant_count_no_practice(cast: Cast) -> None:
    ticket = practice.started(cast)
    for state in ("opened", "submitted", "confirmed"):
        getattr(practice, state)(cast, ticket=ticket)
    assert tenants.under_way(cast.contoso, at=_soon()) == tenants.UnderWay(0, 0, 0, 0)
    found = Caller(token_of(cast, "ines")).get(f"tenants/{cast.contoso.pk}/under-way").json()
    assert found.pop("invited") == []
    assert set(found.values()) == {0}


def test_earlier_access_here_counts_no_practice(cast: Cast) -> None:
    operations.release(practice.opened(cast).access_request_id, actor=cast.as_("priya"))
    row = cast.submitted()
    before = review.earlier(row, actor=cast.as_("pat"))
    assert (before.by_engineer, before.of_service, before.recent) == (0, 0, [])
    assert home.last_here([row]) == {row.pk: None}
    assert ": none</p>" in _page(cast, "pat", reverse("web:access_request", args=[row.pk]))


def test_practice_has_its_own_small_limit_of_waiting_requests(cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "PENDING_MAX", 3)
    ticket, real, priya = practice.started(cast), cast.ticket(), cast.as_("priya")
    for _ in range(2):
        operations.submit(practice.ask(ticket), actor=priya)
    with only_a_refusal(), pytest.raises(TooMany, match="2 waiting"):
        operations.submit(practice.ask(ticket), actor=priya)
    assert "highest allowed number" in _page(cast, "priya", reverse("web:ask", args=[ticket.pk]))
    assert tickets_of.pending_count(cast.contoso, is_practice=False, actor=priya, at=clock.now()) == 0
    for _ in range(3):
        operations.submit(practice.ask(real, cast.resource()), actor=priya)
    with pytest.raises(TooMany, match="3 waiting"):
        operations.submit(practice.ask(real, cast.resource()), actor=priya)
    assert AccessRequest.objects.count() == 5


def test_practice_has_its_own_small_hourly_limit(cast: Cast) -> None:
    ticket, priya = practice.started(cast), cast.as_("priya")
    for _ in range(5):
        operations.withdraw(operations.submit(practice.ask(ticket), actor=priya).pk, actor=priya)
    with only_a_refusal(), pytest.raises(TooMany, match="submitted 5"):
        operations.submit(practice.ask(ticket), actor=priya)
    operations.submit(practice.ask(cast.ticket(), cast.resource()), actor=priya)
    assert AccessRequest.objects.real().count() == 1


def test_form_offers_practice_only_on_a_practice_ticket(cast: Cast) -> None:
    ticket, real = practice.started(cast), cast.ticket()
    made_up = practice.resource_of(ticket)
    here = _page(cast, "priya", reverse("web:ask", args=[ticket.pk]))
    there = _page(cast, "priya", reverse("web:ask", args=[real.pk]))
    assert (made_up.name in here, cast.resource().name in here) == (True, False)
    assert (made_up.name in there, cast.resource().name in there) == (False, True)
    demand = f"{reverse('web:legal_demand')}?tenant={cast.contoso.pk}&service={cast.exchange.pk}"
    assert made_up.name not in _page(cast, "priya", demand)


def test_real_form_does_not_repeat_a_practice_request(cast: Cast) -> None:
    row = operations.withdraw(practice.submitted(cast).pk, actor=cast.as_("priya"))
    client = Client()
    force_login(client, cast.priya, is_fresh=True)
    assert client.get(reverse("web:ask", args=[cast.ticket().pk]), {"from": str(row.pk)}).status_code == 404
    assert client.get(reverse("web:ask", args=[row.ticket_id]), {"from": str(row.pk)}).status_code == 200
    assert not Grant.objects.exists()
