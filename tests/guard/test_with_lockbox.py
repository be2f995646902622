"""The guard with Lockbox itself: its keys, its tokens, its feed, its reports, its release."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from audit_app.models import AuditEntry
from lockbox_guard import Guard, Rule, WSGIGuard
from lockbox_guard.visit import TRY, Visit
from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.doors.api import oauth
from requests_app.models import Client, Grant, token_keys
from requests_app.work import feed
from tests.cast import Cast
from tests.guard.conftest import until
from tests.guard.test_tokens import code_of
from tests.guard.test_web import Response, Shop, _Quiet
from tests.stopwatch import in_time
from tests.ways_in import WayIn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real_clock, pytest.mark.timed]


@pytest.fixture
def grant(cast: Cast, live_server: LiveServer, settings: Any) -> Grant:
    settings.BASE_URL = live_server.url
    return cast.in_quillo()


@pytest.fixture(autouse=True)
def _looking() -> Iterator[None]:
    """Read the windows for the feeds, as a thread of the web server does."""
    ends, usual = threading.Event(), feed.SIGN_SECONDS
    feed.SIGN_SECONDS = 0.3  # a guard that was closed leaves the feed with the next sign

    def look() -> None:
        while not ends.wait(0.1):
            feed.HUB.look()
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    yield
    ends.set()
    thread.join()
    feed.SIGN_SECONDS = usual


@pytest.fixture
def guard(cast: Cast, grant: Grant, _looking: None, live_server: LiveServer, tmp_path: Path) -> Iterator[Guard]:
    oauth.TRIES.clear()
    made = cast.guard()
    found = Guard(
        issuer=live_server.url, service="quillo",
        client_id=str(made.row.pk), client_secret=made.secret, queue=tmp_path, origin="http://localhost:9",
    )  # fmt: skip
    found.wait_for_feed()
    yield found
    found.close()
    until(lambda: not feed.HUB._followers, 15)


def issued(cast: Cast, grant: Grant, alg: str = "RS256") -> str:
    return str(operations.issue_grant_token(grant.pk, alg=alg, actor=cast.as_("priya")).token)


def question(guard: Guard, token: str, **changed: Any) -> dict[str, Any]:
    detail = guard.verified(token).details[0]
    return {"action": "list", "item": "GET /w/{id}", "tenant": "contoso", "identifier": detail["identifier"],
            "engineer": "priya@provider.example"} | changed  # fmt: skip


@pytest.mark.parametrize("alg", ["RS256", "EdDSA"])
def test_a_token_of_lockbox_is_accepted_until_the_customer_ends_the_window(
    cast: Cast, grant: Grant, guard: Guard, alg: str
) -> None:
    token = issued(cast, grant, alg)
    asked = question(guard, token)
    access = guard.admit(token, **asked)
    assert access.detail["grant_id"] == str(grant.pk)
    assert code_of(guard, token, **asked | {"engineer": "omar@provider.example"}) == "other_engineer"
    assert code_of(guard, token, **asked | {"tenant": "fabrikam"}) == "out_of_scope"
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    until(lambda: code_of(guard, token, **asked) == "window_closed", 2)


def test_accesses_are_in_the_customers_log_once(cast: Cast, grant: Grant, guard: Guard) -> None:
    token = issued(cast, grant)
    asked = question(guard, token)
    for number in range(3):
        guard.admit(token, **asked | {"item": f"GET /w/{{id}}/page{number}"})
    until(lambda: not guard._queue._run("SELECT 1 FROM accesses"))
    entries = AuditEntry.objects.filter(event="content.reported")
    assert entries.count() >= 1
    assert "page0" in str([bytes(entry.canonical) for entry in entries])
    assert sum(str(bytes(entry.canonical)).count("/page1") for entry in entries) == 1


def test_a_rolled_key_is_followed(cast: Cast, grant: Grant, guard: Guard) -> None:
    former = issued(cast, grant)
    asked = question(guard, former)
    before = guard.decide(former, **asked)
    operations.roll_token_keys(is_due_only=False, at_once=True, actor=cast.system("sweep"))
    token = issued(cast, grant)
    until(lambda: code_of(guard, token, **asked) == "allowed", 15)
    assert before.detail["grant_id"] == str(grant.pk)
    assert len(token_keys.public_keys()["keys"]) > 1


def test_a_token_is_renewed_and_the_window_released_through_the_application(
    cast: Cast, grant: Grant, guard: Guard
) -> None:
    client = Client.objects.select_related("account").get(pk=guard.client_id)
    token = WayIn(cast, client, grant).token().token
    asked = question(guard, token)
    newer = guard.renewed(token, 400)
    assert newer != token
    assert code_of(guard, newer, **asked) == "allowed"
    shop = Shop()
    with ExitStack() as stack:
        server = make_server("127.0.0.1", 0, WSGIGuard(guard, shop.wsgi), handler_class=_Quiet)
        stack.callback(server.server_close)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        stack.callback(server.shutdown)
        response = Response(server.server_port, "/.lockbox/done", newer, "POST", Origin="http://localhost:9")
        assert (response.status, response.headers["Location"]) == (303, f"{guard.lockbox.issuer}/windows/{grant.pk}/")
        response.read()
    grant.refresh_from_db()
    assert grant.closed_at is not None
    until(lambda: code_of(guard, newer, **asked) == "window_closed", 2)


@pytest.mark.parametrize("is_own_browser", [True, False])
def test_a_code_works_in_its_own_browser_and_ends_in_another_one(
    cast: Cast, grant: Grant, guard: Guard, is_own_browser: bool
) -> None:
    way = WayIn(cast, Client.objects.select_related("account").get(pk=guard.client_id), grant)
    guard.origin, code = way.receiver.origin, way.issue()
    cookies = [("cookie", f"{TRY}={way.verifier}")] if is_own_browser else []
    visit = Visit(guard, "GET", "/.lockbox/code", f"code={code}&state=/", cookies, lambda: None)
    assert visit.reserved()[0] == (302 if is_own_browser else 401)
    with pytest.raises(DomainError):
        way.redeem(code)


def test_a_download_is_cut_when_the_customer_ends_the_window(cast: Cast, grant: Grant, guard: Guard) -> None:
    token, shop = issued(cast, grant), Shop()
    asked = question(guard, token)
    rule = Rule("contoso", asked["identifier"], asked["engineer"], "list", "/w/{id}/trickle")
    rules: Callable[[Any], Rule] = lambda environ: rule  # noqa: E731
    with ExitStack() as stack:
        server = make_server("127.0.0.1", 0, WSGIGuard(guard, shop.wsgi, rules), handler_class=_Quiet)
        stack.callback(server.server_close)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        stack.callback(server.shutdown)
        response = Response(server.server_port, "/w/w-17/trickle", token)
        assert response.answer.read1(100)
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        begun = time.monotonic()
        response.rest()
        in_time(time.monotonic() - begun < 1)
    until(
        lambda: "cut" in str([bytes(entry.canonical) for entry in AuditEntry.objects.filter(event="content.reported")])
    )
