"""What the proxies of web tools are answered, and how a browser gets its session at the host of a tool."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, one_time_codes
from requests_app.identity import sessions
from requests_app.models import ContentAccess, GateProxy, GateSession, Grant, OneTimeCode, Service
from requests_app.models.token_keys import signed, verified
from requests_app.operations import gates
from requests_app.queries import gates as queries
from requests_app.queries import receivers
from requests_app.queries.gates import Asker
from tests.cast import PROXY_SECRET, Cast, events_of
from tests.factors import force_login
from tests.grant_tokens import grant_token
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db

HOST = "quillo.example"


@pytest.fixture
def grant(cast: Cast) -> Grant:
    cast.web_tool(gate_identity=True)
    cast.proxy()
    return cast.in_quillo()


def original(target: str = "/tenants/7/pages", method: str = "GET", **more: str) -> Any:
    """Ask as nginx does."""
    of = {"X-Original-Method": method, "X-Original-URI": target, "X-Original-Host": HOST}
    return Client().get("/forward-auth/original", headers={"X-Lockbox-Proxy": PROXY_SECRET, **of, **more})


def forwarded(target: str = "/tenants/7/pages", method: str = "GET", **more: str) -> Any:
    """Ask as Caddy and Traefik do."""
    of = {"X-Forwarded-Method": method, "X-Forwarded-Uri": target, "X-Forwarded-Host": HOST}
    return Client().get("/forward-auth/forwarded", headers={"X-Lockbox-Proxy": PROXY_SECRET, **of, **more})


def enveloped(target: str = "/tenants/7/pages", method: str = "GET", **more: str) -> Any:
    """Ask as Envoy does: with the original method, and the original path below the address."""
    of = {"X-Original-Method": method, "X-Original-URI": target, "X-Original-Host": HOST}
    headers = {"X-Lockbox-Proxy": PROXY_SECRET, **of, **more}
    return Client().generic(method, "/forward-auth/original" + target, headers=headers)


def codes(*responses: HttpResponse) -> list[tuple[int, str]]:
    return [(each.status_code, json.loads(each.content)["code"]) for each in responses]


@pytest.mark.parametrize("ask", [original, forwarded, enveloped])
def test_each_kind_of_proxy_gets_200_with_the_identity_for_a_yes(cast: Cast, grant: Grant, ask: Any) -> None:
    found = ask(Authorization=f"Bearer {grant_token(grant)}")
    assert (found.status_code, found.content) == (200, b"")
    claims = verified(found["X-Lockbox-Identity"], typ=gates.IDENTITY_TYPE)
    assert claims is not None
    assert claims["sub"] == str(cast.priya.pk)
    assert found["Cache-Control"] == "no-store"
    assert ContentAccess.objects.get().item_ref == "GET /tenants/7/pages"


@pytest.mark.parametrize("ask", [original, forwarded, enveloped])
def test_each_kind_of_proxy_gets_401_without_a_session_and_403_for_a_no(grant: Grant, ask: Any) -> None:
    token = {"Lockbox-Grant": grant_token(grant)}
    assert codes(ask(), ask("/tenants/f-7/pages", **token), ask(method="POST", **token)) == [
        (401, "no_session"),
        (403, "not_found"),
        (403, "not_covered"),
    ]
    assert not ContentAccess.objects.exists()


def test_only_a_trusted_proxy_is_answered(cast: Cast, grant: Grant) -> None:
    token = {"Authorization": f"Bearer {grant_token(grant)}"}
    with nothing_happens():
        for secret in ("", "x", "x" * 64, PROXY_SECRET[:-1]):
            assert codes(original(**{"X-Lockbox-Proxy": secret}, **token)) == [(403, "unknown_proxy")]
    operations.remove_proxy(GateProxy.objects.get().pk, actor=cast.as_("stella"))
    with nothing_happens():
        assert codes(original(**token)) == [(403, "unknown_proxy")]


def test_without_its_rules_a_tool_has_no_gate(grant: Grant) -> None:
    Service.objects.filter(key="quillo").update(gate_rules="", gate_identity=False)
    with nothing_happens():
        assert codes(original(Authorization=f"Bearer {grant_token(grant)}")) == [(403, "unknown_proxy")]


def test_a_proxy_is_believed_only_for_the_host_of_its_tool(grant: Grant) -> None:
    token = {"Authorization": f"Bearer {grant_token(grant)}"}
    with nothing_happens():
        other = original(**{"X-Original-Host": "other.example"}, **token)
        # A header of another kind of proxy counts for nothing.
        none = forwarded(**{"X-Forwarded-Host": "", "X-Original-Host": HOST}, **token)
        assert codes(other, none) == [(403, "other_host"), (403, "other_host")]


def test_headers_of_another_kind_of_proxy_change_nothing(grant: Grant) -> None:
    found = forwarded(
        "/tenants/f-7/x", Authorization=f"Bearer {grant_token(grant)}", **{"X-Original-URI": "/tenants/7/pages"}
    )
    assert codes(found) == [(403, "not_found")]


def test_the_secret_must_come_over_tls(grant: Grant, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    with nothing_happens():
        assert codes(original(Authorization=f"Bearer {grant_token(grant)}")) == [(403, "unknown_proxy")]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "http://localhost:8000/services/other"},
        {"exp": 1},
        {"exp": None},
        {"sub": "nobody"},
        {"authorization_details": []},
        {"authorization_details": "lockbox_grant"},
        {"authorization_details": [{"type": "other", "grant_id": "6f1d4f4c-2b46-4f4e-9f0a-2f4a3a2d4c11"}]},
        {"sid": "6f1d4f4c-2b46-4f4e-9f0a-2f4a3a2d4c11"},
    ],
)
def test_a_token_that_is_not_for_this_tool_is_no_session(grant: Grant, changes: dict[str, Any]) -> None:
    with nothing_happens():
        assert codes(original(Authorization=f"Bearer {grant_token(grant, **changes)}")) == [(401, "no_session")]


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é"])
def test_what_is_no_token_is_no_session(grant: Grant, text: str) -> None:
    with nothing_happens():
        assert codes(original(Authorization=f"Bearer {text}")) == [(401, "no_session")]
        identity = signed({"iss": settings.BASE_URL, "exp": 2**40}, typ=gates.IDENTITY_TYPE)
        assert codes(original(Authorization=f"Bearer {identity}")) == [(401, "no_session")]


def test_a_fault_of_ours_is_403(grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("a fault")

    token = {"Authorization": f"Bearer {grant_token(grant)}"}
    monkeypatch.setattr(gates, "_resource_in", fail)
    with nothing_happens():
        assert codes(original(**token)) == [(403, "unavailable")]
        assert Client().get("/forward-auth/nothing", headers={"X-Lockbox-Proxy": PROXY_SECRET}).status_code == 403


@pytest.mark.parametrize(
    "rest",
    ["/../../.lockbox/open", "/a/../../../.lockbox/x", "//..//..//.lockbox/", "/%2e%2e/%2e%2e/.lockbox/x", "/.."],
)
def test_a_path_that_leads_out_of_the_address_is_no_question(grant: Grant, rest: str) -> None:
    # nginx and Caddy take such a path for the reserved one, and pass it on with their secret.
    token = {"Authorization": f"Bearer {grant_token(grant)}", "X-Lockbox-Proxy": PROXY_SECRET}
    ways = {
        "original": {"X-Original-Method": "GET", "X-Original-URI": "/tenants/7/pages", "X-Original-Host": HOST},
        "forwarded": {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/tenants/7/pages", "X-Forwarded-Host": HOST},
    }
    with nothing_happens():
        for way, of in ways.items():
            found: Any = Client().get(f"/forward-auth/{way}{rest}", headers={**of, **token})
            assert codes(found) == [(403, "unknown_address")]
            assert "X-Lockbox-Identity" not in found


def test_a_header_with_underscores_is_refused(grant: Grant) -> None:
    token = {"Authorization": f"Bearer {grant_token(grant)}", "X-Lockbox-Proxy": PROXY_SECRET}
    of = {"X-Original-Method": "GET", "X-Original-URI": "/tenants/7/pages", "X-Original-Host": HOST}
    for names in (",X_HTTP_Method_Override", ",X-Lockbox_Identity", ",some_header,other_header"):
        left_out = {"lockbox.left_out": names}
        found: Any = Client().get("/forward-auth/original", headers={**of, **token}, **left_out)  # type: ignore[arg-type]  # a value of WSGI
        assert codes(found) == [(403, "ambiguous_header")]
    assert not ContentAccess.objects.exists()


def test_the_answer_says_whether_the_tool_may_answer_with_a_stream(grant: Grant) -> None:
    token = {"Authorization": f"Bearer {grant_token(grant)}"}
    assert original(**token)["X-Lockbox-Stream"] == "no"
    rules = "view GET /tenants/{resource}/** stream"
    Service.objects.filter(key="quillo").update(gate_rules=rules)
    assert original(**token)["X-Lockbox-Stream"] == "yes"


# --- A browser at the host of the tool -----------------------------------------------------------------------


class Browser:
    """A browser that comes to the tool's host through its proxy, and keeps the cookies of that host."""

    def __init__(self) -> None:
        self.cookies = SimpleCookie()

    def __call__(self, target: str, method: str = "GET", **more: str) -> Any:
        held = "; ".join(f"{name}={each.value}" for name, each in self.cookies.items())
        headers = {"X-Lockbox-Proxy": PROXY_SECRET, "X-Original-Host": HOST, "Cookie": held, **more}
        found = Client().generic(method, target, headers=headers)
        for name, each in found.cookies.items():
            self.cookies[name] = each.value
            if not each.value:
                del self.cookies[name]
        return found

    def ask(self, target: str = "/tenants/7/pages", **more: str) -> Any:
        held = "; ".join(f"{name}={each.value}" for name, each in self.cookies.items())
        return original(target, Cookie=held, **more)


def _code(cast: Cast, opened: HttpResponse, who: str = "priya") -> str:
    """Go to this product as the browser does, and return the address at the tool to which it leads."""
    client = Client()
    force_login(client, cast.people[who], is_fresh=True)
    there = urlsplit(opened["Location"])
    found = client.get(f"{there.path}?{there.query}")
    assert found.status_code == 302, found.content
    back = urlsplit(found["Location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == "https://quillo.example/.lockbox/code"
    return f"{back.path}?{back.query}"


def entered(cast: Cast, grant: Grant) -> Browser:
    browser = Browser()
    opened = browser(f"/.lockbox/open?grant={grant.pk}&to=/tenants/7/pages")
    assert browser(_code(cast, opened)).status_code == 302
    return browser


def askers(cast: Cast, grant: Grant) -> tuple[Asker, Asker]:
    """Return somebody with a session at the tool, and somebody with a token that came by the same code."""
    secret = entered(cast, grant).cookies["__Host-lockbox"].value
    by_session = queries.session(grant.access_request.service, {"cookie": f"__Host-lockbox={secret}"})
    assert by_session is not None
    return by_session, replace(by_session, has_session=False)


def test_what_is_open_at_the_tool_ends_with_the_code_that_it_came_by(cast: Cast, grant: Grant) -> None:
    by_session, by_token = askers(cast, grant)
    assert queries.still_open([by_session, by_token]) == {by_session, by_token}
    OneTimeCode.objects.end_all_of(grant.engineer_id, at=clock.now())
    assert queries.still_open([by_session, by_token]) == set()


def test_what_is_open_at_the_tool_ends_with_the_password_that_the_session_began_with(cast: Cast, grant: Grant) -> None:
    by_session, by_token = askers(cast, grant)
    person = grant.engineer
    person.set_password("Another-password-0815")
    person.save()
    # The token is shown to nobody again, and lives for five minutes at most.
    assert queries.still_open([by_session, by_token]) == {by_token}


def test_a_browser_gets_a_session_that_ends_with_the_window(cast: Cast, grant: Grant) -> None:
    browser = Browser()
    opened = browser(f"/.lockbox/open?grant={grant.pk}&to=/tenants/7/pages%3Fx=1")
    asked = parse_qs(urlsplit(opened["Location"]).query)
    verifier = browser.cookies["__Host-lockbox-try"].value
    assert asked["code_challenge"] == [one_time_codes.challenge_of(verifier)]
    assert verifier not in opened["Location"]
    done = browser(_code(cast, opened))
    assert (done.status_code, done["Location"]) == (302, "/tenants/7/pages?x=1")
    made = done.cookies["__Host-lockbox"]
    assert (made["secure"], made["httponly"], made["samesite"], made["path"]) == (True, True, "Lax", "/")
    assert made["domain"] == ""
    left = (grant.closes_at - clock.now()).total_seconds()
    assert left - 10 < made["max-age"] <= left
    assert "__Host-lockbox-try" not in browser.cookies
    assert made.value not in GateSession.objects.get().secret_hash
    assert browser.ask().status_code == 200
    assert events_of(grant.access_request)[-2:] == ["grant.entered", "content.access_allowed"]
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert codes(browser.ask()) == [(403, "window_not_open")]


def test_the_open_button_leads_to_the_gate(cast: Cast, grant: Grant) -> None:
    receiver = receivers.of_service(Service.objects.get(key="quillo"))
    assert receiver is not None
    assert receiver.open_url(grant.pk, "/x") == f"https://quillo.example/.lockbox/open?grant={grant.pk}&to=%2Fx"
    assert receivers.find("gate:quillo") == receiver
    assert receivers.find("gate:exchange-online") is None
    assert receivers.find("gate:nothing") is None


def test_a_code_is_worth_nothing_in_another_browser(cast: Cast, grant: Grant) -> None:
    browser, other = Browser(), Browser()
    address = _code(cast, browser(f"/.lockbox/open?grant={grant.pk}"))
    other(f"/.lockbox/open?grant={grant.pk}")
    assert other(address).status_code == 401
    assert Browser()(address).status_code == 401
    # The attempt in the other browser has used it up.
    assert browser(address).status_code == 401
    assert not GateSession.objects.exists()


def test_a_code_that_comes_without_the_cookie_is_used_up_and_logged(cast: Cast, grant: Grant) -> None:
    """A colleague begins, and gives the engineer the address. The engineer's browser brings the code back."""
    colleague = Browser()
    address = _code(cast, colleague(f"/.lockbox/open?grant={grant.pk}"))
    assert Browser()(address).status_code == 401
    code = OneTimeCode.objects.get()
    assert None not in (code.used_at, code.ended_at)
    assert events_of(grant.access_request)[-1] == "act.refused"
    assert colleague(address).status_code == 401
    assert "__Host-lockbox" not in colleague.cookies
    assert not GateSession.objects.exists()


@pytest.mark.parametrize("way", ["sign_out", "end_one", "end_others"])
def test_signing_out_ends_the_session_at_the_tool(cast: Cast, grant: Grant, way: str) -> None:
    browser, unused = entered(cast, grant), Browser()
    address = _code(cast, unused(f"/.lockbox/open?grant={grant.pk}"))
    client = Client()
    force_login(client, cast.priya, is_fresh=True)
    assert browser.ask().status_code == 200
    if way == "sign_out":
        client.post(reverse("account_logout"))
    else:
        rows = UserSession.objects.filter(user=cast.priya)
        if not rows.exists():
            UserSession.objects.create(user=cast.priya, ip="127.0.0.1", session_key="x" * 32, user_agent="")
        sessions.end(cast.priya, rows[0].pk) if way == "end_one" else sessions.end_others(cast.priya, this="none")
    assert codes(browser.ask()) == [(401, "no_session")]
    # A code that nobody has used yet gives nothing either.
    assert unused(address).status_code == 401
    assert not OneTimeCode.objects.filter(ended_at=None).exists()


def test_another_engineers_sign_out_ends_nothing(cast: Cast, grant: Grant) -> None:
    browser = entered(cast, grant)
    sessions.end_elsewhere(cast.erik)
    assert browser.ask().status_code == 200


def test_a_second_use_of_a_code_ends_its_session(cast: Cast, grant: Grant) -> None:
    browser = Browser()
    address = _code(cast, browser(f"/.lockbox/open?grant={grant.pk}"))
    verifier = browser.cookies["__Host-lockbox-try"].value
    assert browser(address).status_code == 302
    assert browser.ask().status_code == 200
    again = Browser()
    again.cookies["__Host-lockbox-try"] = verifier
    assert again(address).status_code == 401
    assert codes(browser.ask()) == [(401, "no_session")]
    assert OneTimeCode.objects.get().ended_at is not None


def test_the_session_ends_with_all_sessions_of_the_engineer(cast: Cast, grant: Grant) -> None:
    browser = entered(cast, grant)
    assert browser.ask().status_code == 200
    type(cast.priya).objects.filter(pk=cast.priya.pk).update(session_epoch=7)
    with nothing_happens():
        assert codes(browser.ask()) == [(401, "no_session")]


def test_the_cookie_of_another_tool_is_no_session(cast: Cast, grant: Grant) -> None:
    browser = entered(cast, grant)
    service = Service.objects.get(key="quillo")
    other = Service.objects.create(
        key="pad",
        name="Pad",
        connector="external",
        application="Pad",
        link_template=service.link_template,
        gate_rules=service.gate_rules,
    )
    GateProxy.objects.update(service=other)
    with nothing_happens():
        assert codes(browser.ask()) == [(401, "no_session")]


def test_two_cookies_of_the_name_are_no_session(cast: Cast, grant: Grant) -> None:
    value = entered(cast, grant).cookies["__Host-lockbox"].value
    with nothing_happens():
        cookie = f"__Host-lockbox=x; __Host-lockbox={value}"
        assert codes(original(Cookie=cookie, Authorization=f"Bearer {grant_token(grant)}")) == [(401, "no_session")]


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a%0d%0ab", "/a b"]
)
def test_the_way_in_leads_to_no_other_host(cast: Cast, grant: Grant, to: str) -> None:
    with nothing_happens():
        assert Browser()(f"/.lockbox/open?grant={grant.pk}&to={to}").status_code == 403
    browser = Browser()
    address = _code(cast, browser(f"/.lockbox/open?grant={grant.pk}"))
    found = browser(address.replace("state=%2F", f"state={to}"))
    assert found.status_code == 401
    assert "Location" not in found.headers


def test_the_reserved_path_is_there_only_at_the_tools_host(cast: Cast, grant: Grant) -> None:
    browser = Browser()
    with nothing_happens():
        assert browser(f"/.lockbox/open?grant={grant.pk}", **{"X-Original-Host": "other.example"}).status_code == 403
        assert browser(f"/.lockbox/open?grant={grant.pk}", **{"X-Forwarded-Host": "other.example"}).status_code == 403
        assert browser(f"/.lockbox/open?grant={grant.pk}", **{"X-Lockbox-Proxy": ""}).status_code == 403
        assert browser("/.lockbox/open", method="POST").status_code == 403
        assert browser("/.lockbox/nothing").status_code == 403
        assert browser("/.lockbox/code").status_code == 401


def test_a_browser_without_a_session_gets_a_page_that_leads_here(grant: Grant) -> None:
    with nothing_happens():
        found = original(Accept="text/html,*/*")
    assert found.status_code == 401
    html = found.content.decode()
    assert f'href="{settings.BASE_URL}/"' in html
    # The policy allows the page's own style, and nothing else.
    digest = b64encode(sha256(html.split("<style>")[1].split("</style>")[0].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    assert found["Content-Security-Policy"] == policy
    # The page of the reserved path is the same one, with the same policy.
    assert Browser()("/.lockbox/code")["Content-Security-Policy"] == policy
    assert codes(original(method="POST", Accept="text/html")) == [(401, "no_session")]


def test_the_status_says_how_long_the_window_is_open(cast: Cast, grant: Grant) -> None:
    assert Browser()("/.lockbox/status").json() == {"open": False}
    browser = entered(cast, grant)
    found = browser("/.lockbox/status").json()
    assert (found["open"], found["grant"], found["engineer"], found["level"]) == (
        True,
        str(grant.pk),
        "Priya Test",
        "read",
    )
    assert 0 < found["seconds_left"] <= 4 * 3600
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert browser("/.lockbox/status").json() == {"open": False}


def test_i_am_done_releases_the_window_only_from_the_tool_itself(cast: Cast, grant: Grant) -> None:
    browser = entered(cast, grant)
    with nothing_happens():
        assert browser("/.lockbox/done", method="POST").status_code == 403
        evil = browser("/.lockbox/done", method="POST", Origin="https://evil.example")
        assert evil.status_code == 403
        assert Browser()("/.lockbox/done", method="POST", Origin="https://quillo.example").status_code == 401
    done = browser("/.lockbox/done", method="POST", Origin="https://quillo.example")
    assert (done.status_code, done["Location"]) == (303, f"{settings.BASE_URL}/windows/{grant.pk}/")
    assert "__Host-lockbox" not in browser.cookies
    grant.refresh_from_db()
    assert grant.close_reason == "released"
    assert AuditEntry.objects.filter(event="grant.released").count() == 1
