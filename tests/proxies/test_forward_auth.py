"""nginx, Caddy, Traefik and Envoy as they are shipped: what reaches the tool, and what never does."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from requests_app import operations
from requests_app.domain.errors import WindowNotOpen
from requests_app.domain.gate_rules import WORDS, Reason
from requests_app.doors.at_tool import NOT_ALLOWED, REFUSED
from requests_app.models import ContentAccess, GateProxy, Grant, Resource
from requests_app.models.token_keys import verified
from requests_app.operations.gates import IDENTITY_TYPE
from tests.authority import Authority
from tests.cast import PROXY_SECRET, Cast
from tests.grant_tokens import grant_token
from tests.ports import free_port
from tests.proxies import tool_stand
from tests.proxies.stand import CONFIGURATIONS, HOST, Got, Tool, filled, nginx, program, running, send
from tests.proxies.stand import tool as web_tool

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

Start = Callable[[Path, str, str], AbstractContextManager[int]]
#: What a proxy must not pass on, and what Lockbox or the proxy itself answers.
TRICKS = [
    "/tenants/7/../f-7/pages",
    "/tenants/7/%2e%2e/f-7/pages",
    "/tenants/7/..%2ff-7/pages",
    "/tenants/7%2f..%2ff-7/pages",
    "/tenants//f-7/pages",
    "//tenants/f-7/pages",
    "/tenants/7;/../f-7/pages",
    "/tenants/f-7;v=1/pages",
    "/tenants/7\\..\\f-7/pages",
    "/tenants/%66-7/pages",
    "/.lockbox/../tenants/f-7/pages",
    "/.lockbox/%2e%2e/tenants/f-7/pages",
    "/tenants/7/.lockbox/../../f-7/pages",
]


@contextmanager
def caddy(place: Path, lockbox: str, tool: str) -> Iterator[int]:
    site = {"quillo.example.com {": f"http://{HOST}:PORT {{"}
    path, port = filled("Caddyfile", place, lockbox=lockbox, tool=tool, secret="SECRET", **site)
    path.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + path.read_text())
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)]
    with running(command, port, place=place, LOCKBOX_PROXY_SECRET=PROXY_SECRET) as there:
        yield there


@contextmanager
def traefik(place: Path, lockbox: str, tool: str) -> Iterator[int]:
    path, port = filled("dynamic.yml", place, lockbox=lockbox, tool=tool, secret=PROXY_SECRET)
    dynamic = yaml.safe_load(path.read_text())
    for router in dynamic["http"]["routers"].values():
        del router["tls"]
    path.write_text(yaml.safe_dump(dynamic))
    static = yaml.safe_load((CONFIGURATIONS / "traefik.yml").read_text())
    static["entryPoints"]["websecure"]["address"] = f"127.0.0.1:{port}"
    static["providers"]["file"]["filename"] = str(path)
    (place / "traefik.yml").write_text(yaml.safe_dump(static))
    with running([program("traefik"), f"--configFile={place}/traefik.yml"], port, place=place) as there:
        yield there


@contextmanager
def envoy(place: Path, lockbox: str, tool: str) -> Iterator[int]:
    path, port = filled("envoy.yaml", place, lockbox=lockbox, tool="127.0.0.1:9000", secret=PROXY_SECRET)
    found = yaml.safe_load(path.read_text())["static_resources"]
    listener = found["listeners"][0]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    del listener["filter_chains"][0]["transport_socket"]
    for cluster, address in zip(found["clusters"], (tool, lockbox), strict=True):
        cluster.pop("transport_socket", None)
        host, _colon, number = address.partition(":")
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["socket_address"] = {"address": host, "port_value": int(number)}
    path.write_text(yaml.safe_dump({"static_resources": found}))
    command = [program("envoy"), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    with running(command, port, place=place) as there:
        yield there


PROXIES: dict[str, Start] = {"nginx": nginx, "caddy": caddy, "traefik": traefik, "envoy": envoy}
#: Proxies that can't take one cookie out of a header. The documents say so.
KEEPS_COOKIES = ("traefik", "envoy")
#: Proxies that can't look at the answer of the tool. The documents say so.
PASSES_STREAMS = ("traefik",)


@pytest.fixture
def grant(cast: Cast) -> Grant:
    cast.web_tool(
        gate_identity=True, gate_rules="view GET /tenants/{resource}/** query=x,y\nview GET /live/{resource} stream"
    )
    cast.proxy()
    return cast.in_quillo()


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_only_what_the_window_allows_reaches_the_tool(
    cast: Cast, grant: Grant, live_server: LiveServer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"127.0.0.1:{live_server.thread.port}"
    # A proxy must not take the redirect to Lockbox for one inside the tool.
    monkeypatch.setattr(settings, "BASE_URL", f"http://{here}")
    token = {"Lockbox-Grant": grant_token(grant)}
    with web_tool() as tool, PROXIES[name](tmp_path, here, tool.address) as port:
        _may_pass(name, tool, port, token)
        _may_not_pass(tool, port, token)
        _without_a_session(tool, port)
        _one_host(tool, port, token)
        _no_other_names(tool, port, token)
        _no_stream(name, tool, port, token)
        _nobody_asks_for_the_proxy(tool, port, token)
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        assert _refused(tool, send(port, "/tenants/7/pages", **token)) == 403
    assert ContentAccess.objects.count() == tool.reached


def _may_pass(name: str, tool: Tool, port: int, token: dict[str, str]) -> None:
    forged = {"X-Lockbox-Identity": "forged", "X-Lockbox-Proxy": "forged", "Cookie": "a=1; __Host-lockbox-try=x; b=2"}
    for method, target in (("GET", "/tenants/7/pages?x=%2F..&y=1"), ("HEAD", "/tenants/7/z%C3%BCrich%20west")):
        found = send(port, target, method=method, **token, **forged)
        assert found.status == 200, found
        got = tool.got.pop()
        assert (got["method"], got["path"]) == (method, target)
        claims = verified(got["headers"]["x-lockbox-identity"], typ=IDENTITY_TYPE)
        assert claims is not None
        assert (claims["email"], claims["aud"]) == ("priya@provider.example", "https://quillo.example")
        assert {"lockbox-grant", "x-lockbox-stream"}.isdisjoint(got["headers"])
        assert "__Host-lockbox" not in str(got) or name in KEEPS_COOKIES
        assert PROXY_SECRET not in str(got)
    for accept in ("text/event-stream", "*/*"):
        found = send(port, "/live/7", Accept=accept, **token)
        assert (found.status, found.headers["content-type"]) == (200, "text/event-stream")
        assert "/live/7" in found.body
    tool.got.clear()


def _refused(tool: Tool, found: Got) -> int:
    assert tool.got == []
    return found.status


def _may_not_pass(tool: Tool, port: int, token: dict[str, str]) -> None:
    assert _refused(tool, send(port, "/tenants/f-7/pages", **token)) == 403
    for method in ("POST", "PUT", "DELETE", "TRACE"):
        assert _refused(tool, send(port, "/tenants/7/pages", method=method, **token)) in (403, 405), method
    for target in TRICKS:
        assert _refused(tool, send(port, target, **token)) in (400, 403, 404), target
    for changes in (
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Original-URL": "/tenants/f-7/pages"},
        {"Accept": "text/event-stream"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "eA==", "Sec-WebSocket-Version": "13"},
        {"Upgrade": "other", "Connection": "Upgrade"},
    ):
        assert _refused(tool, send(port, "/tenants/7/pages", **{**token, **changes})) in (403, 404, 421), changes
    assert _refused(tool, send(port, "/tenants/7/pages?_method=DELETE", **token)) == 403
    for query in ("tenant=f-7", "x=1&orgId=2", "x=1;tenant=f-7"):
        assert _refused(tool, send(port, f"/tenants/7/pages?{query}", **token)) == 403
    # For another host, each proxy has an answer of its own.
    assert _refused(tool, send(port, "/tenants/7/pages", **{**token, "Host": "other.example"}))
    # What the proxy itself says about the request can't be said by the browser.
    lies = {"X-Original-URI": "/tenants/7/pages", "X-Forwarded-Uri": "/tenants/7/pages", "X-Original-Method": "GET"}
    assert _refused(tool, send(port, "/tenants/f-7/pages", **token, **lies)) == 403


def _one_host(tool: Tool, port: int, token: dict[str, str]) -> None:
    """A request line and a header that name two hosts: the tool gets the one that was judged, or nothing."""
    for target, host in (("http://other.example", HOST), (f"http://{HOST}", "other.example")):
        send(port, f"{target}/tenants/7/pages", **{**token, "Host": host})
        assert all(got["headers"]["host"] == HOST for got in tool.got), target
        tool.got.clear()


def _no_other_names(tool: Tool, port: int, token: dict[str, str]) -> None:
    """Headers with which a tool could take the request for another one, or for one of somebody else."""
    names = [
        *("Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-Method", "X-Forwarded-Uri"),
        *("X-Original-Method", "X-Original-URI", "X-Original-Host", "X-Original-Upgrade", "X-Method", "X-Host"),
        *("X-Forwarded-Host", "X-Lockbox-Stream"),
    ]
    for each in names:
        send(port, "/tenants/7/pages", **{**token, each: "evil"})
        assert "evil" not in str(tool.got), each
        tool.got.clear()
    names = ["X-HTTP-Method-Override", "X-Lockbox-Identity", "Lockbox-Grant", "X-Original-URL"]
    for each in [*(name.replace("-", "_") for name in names), "X-HTTP_Method-Override", "X.HTTP.Method.Override"]:
        _send_raw(port, token, f"{each}: evil")
        assert "evil" not in str(tool.got), each
        tool.got.clear()
    # What is named in "Connection" ends at the proxy.
    _send_raw(port, token, "Connection: X-Lockbox-Identity")
    assert all("x-lockbox-identity" in got["headers"] for got in tool.got)
    tool.got.clear()


def _send_raw(port: int, token: dict[str, str], line: str, *, target: str = "/tenants/7/pages", wait: int = 0) -> bytes:
    """Send a request with a header whose name is exactly this. Return the beginning of the answer."""
    lines = [f"GET {target} HTTP/1.1\r\nHost: {HOST}", *(": ".join(pair) for pair in token.items()), line]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        time.sleep(wait)
        return connection.recv(4096)


def _no_stream(name: str, tool: Tool, port: int, token: dict[str, str]) -> None:
    """The tool answers with a stream of events, though the request did not say so and no rule allows it."""
    if name == "nginx":
        # It can only make the answer so slow that nobody has a use for it.
        assert len(_send_raw(port, token, "Accept: */*", target="/tenants/7/streams", wait=3)) < 20
    elif name not in PASSES_STREAMS:
        found = send(port, "/tenants/7/streams", Accept="*/*", **token)
        assert (found.status, "streams" in found.body) == (403, False)
    tool.got.clear()


def _nobody_asks_for_the_proxy(tool: Tool, port: int, token: dict[str, str]) -> None:
    """Some proxies take these paths for the reserved one, where they add their secret. They lead to no question."""
    lies = {"X-Original-Method": "GET", "X-Original-URI": "/tenants/7/pages"}
    lies |= {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/tenants/7/pages"}
    for style in ("original", "forwarded"):
        for rest in ("../../.lockbox/x", "%2e%2e/%2e%2e/.lockbox/x", "..%2f..%2f.lockbox/x", "/..//..//.lockbox/x"):
            found = send(port, f"/forward-auth/{style}/{rest}", **token, **lies)
            assert _refused(tool, found) in (400, 403, 404), (style, rest)
            assert "x-lockbox-identity" not in found.headers


def _without_a_session(tool: Tool, port: int) -> None:
    assert _refused(tool, send(port, "/tenants/7/pages")) == 401
    assert _refused(tool, send(port, "/tenants/7/pages", Cookie="__Host-lockbox=guessed")) == 401
    page = send(port, "/tenants/7/pages", Accept="text/html")
    assert _refused(tool, page) in (302, 401)
    assert settings.BASE_URL in page.body + page.headers.get("location", "") or page.status == 302
    opened = send(port, "/.lockbox/open?grant=6f1d4f4c-2b46-4f4e-9f0a-2f4a3a2d4c11")
    assert _refused(tool, opened) == 302
    assert opened.headers["location"].startswith(f"{settings.BASE_URL}/oauth/authorize?")
    assert "__Host-lockbox-try=" in opened.headers["set-cookie"]


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_an_engineer_reads_why_a_request_is_refused_and_nobody_else_does(
    cast: Cast, grant: Grant, live_server: LiveServer, tmp_path: Path, name: str
) -> None:
    token, page = {"Lockbox-Grant": grant_token(grant)}, {"Accept": "text/html"}
    here = f"127.0.0.1:{live_server.thread.port}"
    with web_tool() as tool, PROXIES[name](tmp_path, here, tool.address) as port:

        def words(target: str, **headers: str) -> str:
            found = send(port, target, **headers)
            assert (_refused(tool, found), found.headers["content-type"]) == (403, "text/html; charset=utf-8"), found
            assert "<script>" not in found.body
            assert re.findall(r'href="([^"]*)"', found.body) in ([f"http://{here}/"], [f"{settings.BASE_URL}/"])
            return re.findall(r"<p>([^<]*)</p>", found.body)[0]

        asked = "/tenants/7/pages?orgId=<script>1</script>"
        assert words(asked, **token, **page) == str(WORDS[Reason.QUERY_REFUSED])
        assert words("/other", **token, **page) == str(WORDS[Reason.NO_RULE])
        # A resource of the tenant that is outside of the window, and one that does not exist.
        Resource.objects.create(
            tenant=cast.contoso, service=grant.access_request.service, kind="workspace", external_id="8", name="Other"
        )
        [one] = {words(f"/tenants/{which}/pages", **token, **page) for which in ("8", "no-such")}
        assert one == str(REFUSED[NOT_ALLOWED])
        # The browser can't choose the words, and a browser without a session learns no reason.
        forged = {"X-Lockbox-Refused": "no_rule"}
        assert words(asked, **token, **page, **forged) == str(WORDS[Reason.QUERY_REFUSED])
        assert str(WORDS[Reason.NO_RULE]) not in send(port, "/other", **page, **forged).body
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        assert words("/tenants/7/pages", **token, **page) == str(REFUSED[WindowNotOpen.code])


def test_nginx_has_the_words_of_each_code() -> None:
    text = (CONFIGURATIONS / "nginx.conf").read_text().partition("map $lockbox_refused $refused_words {")[2]
    found = dict(re.findall(r'^    (\w+) +"([^"]*)";$', text.partition("}")[0], re.MULTILINE))
    assert found.pop("default") == "Lockbox does not allow this."
    assert found == {code: str(words) for code, words in REFUSED.items()}


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_nothing_reaches_the_tool_while_lockbox_is_away(grant: Grant, tmp_path: Path, name: str) -> None:
    token = {"Lockbox-Grant": grant_token(grant)}
    with web_tool() as tool, PROXIES[name](tmp_path, f"127.0.0.1:{free_port()}", tool.address) as port:
        assert _refused(tool, send(port, "/tenants/7/pages", **token)) in (403, 500, 502, 503)


def test_a_proxy_with_another_secret_is_refused(grant: Grant, live_server: LiveServer, tmp_path: Path) -> None:
    here = f"127.0.0.1:{live_server.thread.port}"
    with web_tool() as tool, PROXIES["nginx"](tmp_path, here, tool.address) as port:
        GateProxy.objects.update(secret_hash="0" * 64)
        assert _refused(tool, send(port, "/tenants/7/pages", **{"Lockbox-Grant": grant_token(grant)})) == 403


def test_nginx_checks_who_answers_for_lockbox_and_keeps_the_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for name, is_lockbox in (("lockbox.example.com", True), ("other.example", False)):
        with web_tool() as tool, tool_stand.tool(authority.server(name)) as asked:
            (place := tmp_path / name).mkdir()
            lockbox = f"127.0.0.1:{asked.port}"
            with nginx(place, lockbox, tool.address, authority=authority.path) as port:
                before = len(asked.callers)
                for _number in range(5):
                    assert send(port, "/tenants/7/pages").status == (200 if is_lockbox else 500)
            questions = [got for got in asked.got if got["path"] == "/forward-auth/original"]
            assert (len(questions), tool.reached) == ((5, 5) if is_lockbox else (0, 0))
            assert len(asked.callers) - before <= 1
