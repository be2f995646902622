"""A real Express process, guarded by clients/guard-node, with the real product: windows open and close for it."""

from __future__ import annotations

import http.client
import json
import os
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from audit_app.models import AuditEntry
from lockbox_site.demo.browser import Browser
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import Grant, Service
from tests.caller import token_of
from tests.cast import PASSWORD, Cast, gather
from tests.factors import a_code
from tests.guard import node
from tests.ports import free_port
from tests.stopwatch import in_time
from tests.tasks.conftest import Running, Start, wait_for, web_alone

pytestmark = [pytest.mark.slow, pytest.mark.timed, pytest.mark.real_clock]

#: People of the cast can sign in there.
SETTINGS = "tests.tasks.web_settings"


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.body = answer.status, answer.read().decode()
        self.location = answer.headers["Location"] or ""
        self.cookies = [value.split(";")[0] for value in answer.headers.get_all("Set-Cookie", [])]


def call(
    port: int, method: str, path: str, *, cookies: str = "", form: dict[str, str] | None = None, **headers: str
) -> Answer:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookies, **headers}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    with closing(line):
        line.request(method, path, urlencode(form or {}), headers)
        return Answer(line.getresponse())


class Site:
    """The product, the example application, and an engineer who is signed in to both."""

    def __init__(self, start: Start, place: Path) -> None:
        self.cast: Cast = gather()
        self.port, self.app_port = free_port(), free_port()
        self.web: Running = web_alone(start, self.port, DJANGO_SETTINGS_MODULE=SETTINGS, WEB_STREAMS="20")
        made = self.cast.guard()
        # Staff change the link's template only by an announced change.
        self.origin = f"http://localhost:{self.app_port}"
        Service.objects.filter(key="quillo").update(link_template=f"{self.origin}/support/{{external_id}}")
        env = {
            "PORT": str(self.app_port), "LOCKBOX_URL": f"http://127.0.0.1:{self.port}", "LOCKBOX_SERVICE": "quillo",
            "LOCKBOX_CLIENT_ID": str(made.row.pk), "LOCKBOX_CLIENT_SECRET": made.secret, "PATH": os.environ["PATH"],
            "LOCKBOX_QUEUE": str(place / "queue"), "WORKSPACE": "7", "ORIGIN": self.origin, "PASSWORD": PASSWORD,
            "TENANT": str(self.cast.contoso.pk),
        }  # fmt: skip
        self.app = start(command=[node.program(), str(node.GUARD / "example" / "app.js")], **env)
        self.app.until("Listening")

    def impersonated(self, session: str) -> Answer:
        """Sign the engineer in, and begin to see the workspace as its user, with this cookie of the guard."""
        form = {"username": self.cast.people["priya"].email, "password": PASSWORD}
        [sid] = call(self.app_port, "POST", "/sign-in", form=form).cookies
        return call(self.app_port, "POST", "/impersonate/7", cookies=f"{sid}; {session}", form={})

    def token(self, grant: Grant, **body: str) -> str:
        """Get a grant token with the engineer's own API token."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        bearer = token_of(self.cast, "priya", Scope.GRANTS_TOKEN)
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        with closing(line):
            line.request("POST", f"/api/v1/grants/{grant.pk}/token", json.dumps(body), headers)
            answer = line.getresponse()
            text = answer.read().decode()
        assert answer.status in (200, 201), text
        return str(json.loads(text)["token"])

    def page(self, token: str, path: str = "/pages/plan") -> Answer:
        begun = self.impersonated(session := f"__Host-lockbox={token}")
        if begun.status != 303:
            return begun
        return call(self.app_port, "GET", path, cookies=f"{begun.cookies[0]}; {session}")

    def cookies_of(self, name: str) -> str:
        """Sign a person in to the product. Return the cookies of the browser."""
        person = self.cast.people[name]
        browser = Browser(f"http://127.0.0.1:{self.port}", person.email, PASSWORD, lambda: a_code(person))
        browser.sign_in()
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar)

    def code_for(self, name: str, grant: Grant) -> tuple[str, str]:
        """Begin a session at the application. Return the address that leads back there, and the browser's cookie."""
        opened = call(self.app_port, "GET", f"/.lockbox/open?grant={grant.pk}&to=/pages/plan")
        assert opened.location.startswith(f"http://127.0.0.1:{self.port}/oauth/authorize?")
        path = opened.location.removeprefix(f"http://127.0.0.1:{self.port}")
        back = call(self.port, "GET", path, cookies=self.cookies_of(name))
        assert (back.status, back.location.startswith(f"{self.origin}/.lockbox/code?")) == (302, True), back.body
        return back.location.removeprefix(self.origin), opened.cookies[0]


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Site:
    return Site(start, tmp_path)


def reported(kind: str) -> list[tuple[str, str, str, str]]:
    """Wait for a report of this kind. Return kind, action, item and code of each reported access, in their order."""

    def found() -> dict[int, tuple[str, str, str, str]]:
        rows = AuditEntry.objects.filter(event="content.reported")
        details = [json.loads(bytes(row.canonical))["detail"] for row in rows]
        return {
            each["n"]: (detail["kind"], each["action"], each["item"], each.get("code", ""))
            for detail in details
            for each in detail["accesses"]
        }

    wait_for(lambda: kind in {each[0] for each in found().values()}, within=5, why=f"a report of the kind {kind}")
    return [access for _number, access in sorted(found().items())]


def test_an_engineer_works_behind_an_open_window_until_it_is_revoked(site: Site, start: Start) -> None:
    grant = site.cast.in_quillo()
    token = site.token(grant)
    wait_for(lambda: site.page(token).status == 200, within=5, why="the guard follows the feed")
    assert "The plan for the year" in site.page(site.token(grant, alg="EdDSA")).body
    assert site.page("").status == 401
    operations.revoke(grant.access_request_id, actor=site.cast.as_("ada"))
    began = time.monotonic()
    wait_for(lambda: site.page(token).status == 403, within=5, why="the end of the window")
    in_time(time.monotonic() - began < 1.0)
    page, begun = ("access", "view", "GET /pages/{page}", ""), ("access", "view", "POST /impersonate/{workspace}", "")
    *accesses, refused = reported("refused")
    # A page begins with the first of these calls, so either can be the first one after the revocation.
    assert refused in {("refused", *each[1:3], "window_closed") for each in (begun, page)}
    assert len(accesses) >= 4
    assert set(accesses) == {page, begun}


def test_a_key_that_is_withdrawn_at_once_verifies_nothing_any_more(site: Site, start: Start) -> None:
    token = site.token(grant := site.cast.in_quillo())
    wait_for(lambda: site.page(token).status == 200, within=5, why="the guard follows the feed")
    rolling = start("roll_token_keys", "--at-once", DJANGO_SETTINGS_MODULE=SETTINGS)
    assert rolling.process.wait(60) == 0, rolling.log
    wait_for(lambda: site.page(token).status == 401, within=5, why="the withdrawn key")
    assert site.page(site.token(grant)).status == 200


def test_an_engineer_gets_in_with_a_code_and_gives_the_window_back(site: Site) -> None:
    grant = site.cast.in_quillo()
    wait_for(lambda: site.page(site.token(grant)).status == 200, within=5, why="the guard follows the feed")
    path, trial = site.code_for("priya", grant)
    assert call(site.app_port, "GET", path, cookies="__Host-lockbox-try=" + "A" * 43).status == 401
    assert call(site.app_port, "GET", path, cookies=trial).status == 401
    path, trial = site.code_for("priya", grant)
    entered = call(site.app_port, "GET", path, cookies=trial)
    assert (entered.status, entered.location) == (302, f"{site.origin}/pages/plan")
    cookies = f"{site.impersonated(entered.cookies[1]).cookies[0]}; {entered.cookies[1]}"
    shown = call(site.app_port, "GET", "/pages/plan", cookies=cookies)
    assert (shown.status, "I am done" in shown.body) == (200, True)
    status = json.loads(call(site.app_port, "GET", "/.lockbox/status", cookies=cookies).body)
    assert (status["open"], status["grant"]) == (True, str(grant.pk))
    done = call(site.app_port, "POST", "/.lockbox/done", cookies=cookies, Origin=site.origin)
    assert (done.status, done.location) == (303, f"http://127.0.0.1:{site.port}/windows/{grant.pk}/")
    grant.refresh_from_db()
    assert (grant.closed_at is not None, grant.close_reason) == (True, "released")
    assert call(site.app_port, "GET", "/pages/plan", cookies=cookies).status == 403


def test_a_code_that_was_used_twice_gives_nothing(site: Site) -> None:
    grant = site.cast.in_quillo()
    wait_for(lambda: site.page(site.token(grant)).status == 200, within=5, why="the guard follows the feed")
    path, trial = site.code_for("priya", grant)
    assert call(site.app_port, "GET", path, cookies=trial).status == 302
    assert call(site.app_port, "GET", path, cookies=trial).status == 401


def test_a_code_that_came_to_another_browser_first_is_used_up(site: Site) -> None:
    grant = site.cast.in_quillo()
    wait_for(lambda: site.page(site.token(grant)).status == 200, within=5, why="the guard follows the feed")
    path, trial = site.code_for("priya", grant)
    assert call(site.app_port, "GET", path).status == 401
    assert call(site.app_port, "GET", path, cookies=trial).status == 401
