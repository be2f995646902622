"""The top of every page: who is signed in, the menu, and the number of access requests that wait."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from requests_app.domain import clock
from requests_app.doors.web import context
from requests_app.queries import inbox
from tests.cast import Cast
from tests.web.pages import queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db


def head(cast: Cast, name: str) -> Any:
    return signed_in(cast, name).get("/").context


def labels(cast: Cast, name: str) -> list[str]:
    return [str(item.label) for item in head(cast, name)["nav_items"]]


def test_a_stranger_has_no_menu(client: Client) -> None:
    response = client.get(reverse("account_login"))
    assert response.status_code == 200
    assert "nav_items" not in response.context
    assert response.context["now"] is not None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mia", ["Home", "Access requests", "Tickets"]),
        ("ada", ["Home", "Access requests", "Tickets", "Log"]),
        ("otto", ["Home", "Access requests", "Tickets", "Log"]),
        ("ines", ["Home", "Access requests", "Tickets", "Log", "Lockbox", "People"]),
        ("priya", ["Home", "Access requests", "Tickets"]),
        ("pat", ["Home", "Access requests", "Tickets"]),
        ("stella", ["Home", "Access requests", "Tickets", "Administration"]),
    ],
)
def test_the_menu_follows_the_roles(cast: Cast, name: str, expected: list[str]) -> None:
    assert labels(cast, name) == expected


def test_somebody_without_a_role_has_only_the_first_page(cast: Cast) -> None:
    cast.otto.memberships.all().delete()
    assert labels(cast, "otto") == ["Home"]


def test_the_page_one_is_on_is_marked_in_the_menu(cast: Cast) -> None:
    response = signed_in(cast, "ada").get(reverse("web:access_requests"))
    assert [str(item.label) for item in response.context["nav_items"] if item.current] == ["Access requests"]
    assert b'aria-current="page"' in response.content


def test_the_count_is_of_what_waits_for_this_person(cast: Cast) -> None:
    cast.submitted()
    cast.confirmed()
    cast.confirmed("fabrikam")

    def count(name: str) -> str:
        return head(cast, name)["nav_items"][0].count

    assert count("ada") == "1"
    assert count("mia") == ""
    assert count("frida") == "1"
    assert count("pat") == "1"
    assert count("priya") == ""


def test_a_persons_own_access_request_does_not_wait_for_them(cast: Cast) -> None:
    cast.submitted(by="bea")
    assert head(cast, "bea")["nav_items"][0].count == ""
    assert head(cast, "pat")["nav_items"][0].count == "1"


def test_an_overdue_access_request_waits_for_nobody_though_no_sweep_has_run(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    assert client.get("/").context["nav_items"][0].count == "1"
    travel.to(row.decide_by)
    assert inbox.count_waiting_for(cast.as_("ada"), at=row.decide_by) == 0


def test_a_count_ends_at_its_bound() -> None:
    assert [context.counted(number) for number in (0, 1, 99, 100)] == ["", "1", "99", "99+"]


def test_the_count_reads_no_more_rows_than_its_bound(cast: Cast, monkeypatch) -> None:
    monkeypatch.setattr(inbox, "COUNTED", 2)
    for _ in range(3):
        cast.confirmed()
    ada, at = cast.as_("ada"), context.clock.now()
    with CaptureQueriesContext(connection) as captured:
        assert inbox.count_waiting_for(ada, at=at) == 2
    assert [re.findall(r" LIMIT (\d+)", query["sql"])[-1] for query in captured.captured_queries] == ["2"]
    assert context.counted(2) == "1+"


def test_the_customer_reads_their_tenants_name_and_the_provider_none(cast: Cast) -> None:
    assert head(cast, "ada")["tenant_name"] == "Contoso"
    assert head(cast, "pat")["tenant_name"] == ""


def test_with_two_tenants_each_log_is_named(cast: Cast) -> None:
    cast.fabrikam.memberships.create(person=cast.otto, role="auditor", given_at=cast.fabrikam.created_at)
    assert labels(cast, "otto") == ["Home", "Access requests", "Tickets", "Log (Contoso)", "Log (Fabrikam)"]


def test_roles_stand_in_words(cast: Cast) -> None:
    assert head(cast, "ada")["role_words"] == "Approver, Member"
    assert head(cast, "bea")["role_words"] == "Engineer, Provider approver"


def test_the_theme_is_the_persons(cast: Cast) -> None:
    cast.ada.theme = "dark"
    cast.ada.save()
    assert b'data-theme="dark"' in signed_in(cast, "ada").get("/").content


def test_the_clock_is_asked_once_a_page(monkeypatch) -> None:
    calls, plain = [], context.clock.now

    def now() -> dt.datetime:
        calls.append(1)
        return plain()

    monkeypatch.setattr(context.clock, "now", now)
    request = RequestFactory().get("/")
    assert context.instant(request) == context.instant(request)
    assert calls == [1]


def _began_before(method: str) -> Any:
    request: Any = RequestFactory().generic(method, "/")
    request.began_at = clock.now() - dt.timedelta(seconds=5)
    return request


def test_only_a_page_that_changes_nothing_shows_the_time_at_which_the_request_began() -> None:
    requests = {method: _began_before(method) for method in ("GET", "HEAD", "POST")}
    found = {method: context.instant(request) == request.began_at for method, request in requests.items()}
    assert found == {"GET": True, "HEAD": True, "POST": False}


def test_a_page_that_has_waited_has_a_new_instant() -> None:
    request = _began_before("GET")
    assert context.instant(request) == request.began_at
    assert context.instant_again(request) == context.instant(request) > request.began_at


@pytest.mark.parametrize("path", ["/tickets/", "/admin/", "/no-such-page/"])
def test_a_store_that_fails_under_the_menu_is_a_failing_store(cast: Cast, monkeypatch, path: str) -> None:
    """The view has read its rows by then. Its page would have no menu and no instant."""

    def away(*_: object) -> list:
        raise OperationalError("the database is away")

    client = signed_in(cast, "stella")
    client.raise_request_exception = False
    monkeypatch.setattr(context, "secret_names", away)
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"


@pytest.mark.slow
def test_the_menu_costs_the_same_with_many_waiting(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    cast.confirmed()
    cast.confirmed()

    def grow() -> None:
        for _ in range(8):
            cast.confirmed(by="erik")
            cast.confirmed(by="bea")

    same_queries(lambda: queries_of(client, reverse("web:tickets")), grow)
