"""The proxy of this product in front of a real web tool: what passes, what does not, and when it is cut."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.tools import deciding, watching
from requests_app.models import ContentAccess, Grant, Service
from requests_app.models.token_keys import verified
from requests_app.operations.gates import IDENTITY_TYPE
from requests_app.queries import gates as queries
from tests.authority import Authority
from tests.cast import Cast
from tests.proxies import tool_stand
from tests.proxies.tool_stand import HOST, WEBSOCKET, Held, Line, Running, Tool, ask, frame, ping_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

EVENTS = {"Accept": "text/event-stream"}


def cuts(grant: Grant) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(tenant_id=grant.tenant_id, event="content.cut").order_by("seq")
    return [json.loads(bytes(row.canonical))["detail"] for row in rows]


def wait_for_cuts(grant: Grant, count: int) -> list[dict[str, Any]]:
    ends = time.monotonic() + 10
    while len(found := cuts(grant)) < count and time.monotonic() < ends:
        time.sleep(0.02)
    return found


# --- What passes ---------------------------------------------------------------------------------------------


def test_a_request_reaches_the_tool_as_it_was_judged(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    target = "/tenants/7/z%C3%BCrich%20west/(a)?x=%2F..&y=1"
    found = ask(proxy.port, target, **token, **{"User-Agent": "test", "Accept-Encoding": "br"})
    assert found.status == 200, found
    [got] = tool.got
    assert (got["method"], got["path"]) == ("GET", target)
    headers = dict(got["headers"])
    assert (headers["host"], headers["user-agent"], headers["accept-encoding"]) == (HOST, "test", "br")
    assert (headers["x-forwarded-host"], headers["x-forwarded-proto"]) == (HOST, "https")
    claims = verified(headers["x-lockbox-identity"], typ=IDENTITY_TYPE)
    assert claims is not None
    assert claims["email"] == "priya@provider.example"
    assert ContentAccess.objects.get().item_ref == "GET /tenants/7/z%C3%BCrich%20west/(a)?x&y"


def test_the_tool_gets_nothing_that_a_browser_could_forge(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    forged = {
        "X-Lockbox-Identity": "forged",
        "X-Lockbox-Proxy": "forged",
        "X_Lockbox_Identity": "forged",
        "X-Forwarded-For": "forged",
        "X-Forwarded-User": "forged",
        "X-Forwarded-Host": "forged",
        "Forwarded": "for=forged",
        "X-Real-IP": "forged",
        "Remote-User": "forged",
        "Via": "forged",
        "Keep-Alive": "forged",
        "X-Hop": "forged",
        "Proxy-Authorization": "forged",
        "TE": "trailers",
        "Connection": "keep-alive, X-Hop, X-Lockbox-Identity, Host",
        "Cookie": "a=1; __Host-lockbox-try=forged; b=2; __HOST-Lockbox2=forged",
    }
    assert ask(proxy.port, "/tenants/7/x", **token, **forged).status == 200
    [got] = tool.got
    assert "forged" not in str(got)
    names = [name for name, _value in got["headers"]]
    assert sorted(names) == sorted(set(names))
    headers = dict(got["headers"])
    assert headers["cookie"] == "a=1; b=2"
    assert not {"lockbox-grant", "te", "keep-alive"} & set(names)
    assert verified(headers["x-lockbox-identity"], typ=IDENTITY_TYPE) is not None


def test_the_token_in_authorization_does_not_reach_the_tool(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    assert ask(proxy.port, "/tenants/7/x", Authorization=f"Bearer {token['Lockbox-Grant']}").status == 200
    assert ask(proxy.port, "/tenants/7/x", **token, Authorization="Basic of-the-tool").status == 200
    first, second = (dict(got["headers"]) for got in tool.got)
    assert "authorization" not in first
    assert second["authorization"] == "Basic of-the-tool"


def test_the_answer_has_no_cookie_of_ours_and_leads_to_no_other_port(proxy: Running, token: dict[str, str]) -> None:
    found = ask(proxy.port, "/tenants/7/x", **token)
    assert found.all("set-cookie") == ["tool=1"]
    assert not {"alt-svc", "x-lockbox-identity", "x-own"} & {name for name, _value in found.headers}


def test_bodies_pass_in_both_ways_piece_by_piece(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    body = b"y" * 3_000_000
    with Line(proxy.port) as line:
        line.ask("/tenants/7/upload", "POST", **token, **{"Content-Length": str(len(body))})
        line.send(body)
        assert line.answer().json == {"bytes": len(body)}
    chunked = b"".join(b"%x\r\n%s\r\n" % (100_000, b"z" * 100_000) for _ in range(10)) + b"0\r\n\r\n"
    with Line(proxy.port) as line:
        line.ask("/tenants/7/upload", "POST", **token, **{"Transfer-Encoding": "chunked"})
        line.send(chunked)
        assert line.answer().json == {"bytes": 1_000_000}
    sized, open_ended = (dict(got["headers"]) for got in tool.got)
    assert (sized["content-length"], open_ended["transfer-encoding"]) == (str(len(body)), "chunked")


def test_a_client_that_asks_before_it_sends_can_go_on_only_if_it_may(
    proxy: Running, tool: Tool, token: dict[str, str]
) -> None:
    for target, status in (("/tenants/7/upload", 100), ("/tenants/f-7/upload", 403)):
        with Line(proxy.port) as line:
            line.ask(target, "POST", **token, **{"Content-Length": "5", "Expect": "100-continue"})
            assert line.head()[0] == status
            if status == 100:
                line.send(b"12345")
                assert line.answer().json == {"bytes": 5}
    assert len(tool.got) == 1


def test_head_and_keep_alive(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    with Line(proxy.port) as line:
        line.ask("/tenants/7/x", "HEAD", **token)
        found = line.answer(has_body=False)
        assert (found.status, int(found.all("content-length")[0]) > 0) == (200, True)
        line.ask("/tenants/7/x", **token)
        assert line.answer().status == 200
    assert [got["method"] for got in tool.got] == ["HEAD", "GET"]


def test_a_websocket_passes_and_ends_as_the_tool_ends_it(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    with Line(proxy.port) as line:
        line.ask("/tenants/7/ws", **token, **WEBSOCKET)
        status, headers = line.head()
        named = dict(headers)
        assert (status, named["upgrade"], named["sec-websocket-protocol"]) == (101, "websocket", "chat")
        assert named["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        line.send(frame("hello"))
        assert line.more() == b"\x81\x05HELLO"
        line.send(bytes([0x88, 0x80]) + bytes(4))
        assert line.more().startswith(b"\x88")
        assert line.is_over()
    assert tool.ended == 1


# --- What is cut ---------------------------------------------------------------------------------------------


def held(proxy: Running, token: dict[str, str]) -> dict[str, Held]:
    found = {
        "download": Held(proxy.port, "/tenants/7/download", **token),
        "sized": Held(proxy.port, "/tenants/7/sized", **token),
        "events": Held(proxy.port, "/tenants/7/events", **token, **EVENTS),
        "ws": Held(proxy.port, "/tenants/7/ws", **token, **WEBSOCKET),
    }
    assert [each.status for each in found.values()] == [200, 200, 200, 101]
    return found


def were_cut(all_held: dict[str, Held], since: float) -> None:
    for each in all_held.values():
        each.wait()
    for name, each in all_held.items():
        assert each.was_reset, name
        assert each.last - since <= 1.0, name


@contextlib.contextmanager
def all_moving(all_held: dict[str, Held]) -> Iterator[None]:
    """Inside the block, bytes come through each of the connections all the time."""
    stop = threading.Event()
    pinging = threading.Thread(target=ping_until, args=(all_held["ws"], stop), daemon=True)
    pinging.start()
    assert all(each.has(60) for each in all_held.values())
    try:
        yield
    finally:
        stop.set()
        pinging.join()


def test_a_revocation_cuts_everything_within_a_second(
    cast: Cast, proxy: Running, tool: Tool, grant: Grant, token: dict[str, str]
) -> None:
    found = held(proxy, token)
    with all_moving(found):
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        since = time.monotonic()
        for each in found.values():
            each.wait()
    were_cut(found, since)
    entries = wait_for_cuts(grant, 4)
    assert {entry["item"] for entry in entries} == {f"GET /tenants/7/{name}" for name in found}
    assert {entry["cause"] for entry in entries} == {"ended"}
    assert ContentAccess.objects.filter(kind="cut").count() == 4
    ends = time.monotonic() + 5
    while tool.ended < 4 and time.monotonic() < ends:
        time.sleep(0.02)
    assert tool.ended == 4
    assert ask(proxy.port, "/tenants/7/x", **token).status == 403
    assert deciding.SLOTS.taken() == 0


def test_the_planned_end_cuts_everything_within_a_second(proxy: Running, grant: Grant, token: dict[str, str]) -> None:
    Grant.objects.filter(pk=grant.pk).update(closes_at=clock.now() + timedelta(seconds=1.5))
    began = time.monotonic()
    found = held(proxy, token)
    with all_moving(found):
        for each in found.values():
            each.wait()
    were_cut(found, began + 1.5)
    assert all(each.last - began > 1.0 for each in found.values())
    assert [entry["cause"] for entry in wait_for_cuts(grant, 4)] == ["ended"] * 4


@pytest.mark.parametrize("fault", ["fails", "hangs"])
def test_without_the_database_everything_is_cut_within_a_second(
    proxy: Running, grant: Grant, token: dict[str, str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    found, look, over = held(proxy, token), queries.still_open, threading.Event()

    def away(askers: Any) -> Any:
        if over.is_set():
            return look(askers)
        if fault == "hangs":
            over.wait(10)
        raise DatabaseError

    with all_moving(found):
        monkeypatch.setattr(queries, "still_open", away)
        since = time.monotonic()
        for each in found.values():
            each.wait()
    were_cut(found, since)
    over.set()
    assert [entry["cause"] for entry in wait_for_cuts(grant, 4)] == ["unknown"] * 4


def test_a_cut_is_recorded_when_the_database_is_back_and_only_once(
    cast: Cast, proxy: Running, grant: Grant, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    note, tries = operations.note_cuts, []

    def fail(*args: Any) -> None:
        tries.append(args)
        if len(tries) == 1:
            raise DatabaseError
        note(*args)
        if len(tries) == 2:
            raise DatabaseError

    monkeypatch.setattr(operations, "note_cuts", fail)
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.05)
    found = Held(proxy.port, "/tenants/7/download", **token)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    found.wait()
    ends = time.monotonic() + 10
    while (len(tries) < 3 or proxy.proxy.watch.unwritten) and time.monotonic() < ends:
        time.sleep(0.02)
    assert (len(tries), len(cuts(grant))) == (3, 1)


def test_a_second_window_of_the_same_engineer_stays_open(
    cast: Cast, proxy: Running, grant: Grant, token: dict[str, str]
) -> None:
    found = Held(proxy.port, "/tenants/7/events", **token, **EVENTS)
    other = cast.in_quillo()
    operations.revoke(other.access_request_id, actor=cast.as_("ada"))
    size = found.size
    assert found.has(size + 1000)
    assert found.end == ""
    found.leave()


def all_of(line: Line) -> int:
    """Read until the connection is reset, and return the number of bytes."""
    size = 0
    try:
        while piece := line.more():
            size += len(piece)
    except ConnectionResetError:
        return size
    raise AssertionError("a clean end")


def test_a_client_that_reads_nothing_is_cut_and_holds_no_memory(
    cast: Cast, proxy: Running, tool: Tool, grant: Grant, token: dict[str, str]
) -> None:
    with Line(proxy.port) as line:
        line.ask("/tenants/7/download", **token)
        assert line.head()[0] == 200
        time.sleep(0.3)
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        assert len(wait_for_cuts(grant, 1)) == 1
        size = all_of(line)
    assert 0 < size < 2_000_000


# --- What is refused -----------------------------------------------------------------------------------------


def code(found: Any) -> tuple[int, str]:
    return found.status, found.json["code"]


def test_what_the_window_does_not_allow_never_reaches_the_tool(
    proxy: Running, tool: Tool, token: dict[str, str]
) -> None:
    port = proxy.port
    assert code(ask(port, "/tenants/7/x")) == (401, "no_session")
    assert code(ask(port, "/tenants/f-7/x", **token)) == (403, "not_found")
    assert code(ask(port, "/tenants/7/x", "DELETE", **token)) == (403, "no_rule")
    assert code(ask(port, "/tenants/7/x", **token, **EVENTS)) == (403, "stream_refused")
    assert code(ask(port, "/tenants/7/x", **token, **WEBSOCKET)) == (403, "upgrade_refused")
    assert code(ask(port, "/tenants/7/../f-7/x", **token)) == (403, "ambiguous_path")
    assert code(ask(port, "/tenants/7/x", **token, **{"X-HTTP-Method-Override": "DELETE"})) == (403, "method_override")
    assert code(ask(port, "/tenants/7/x", **token, X_HTTP_Method_Override="DELETE")) == (403, "method_override")
    assert tool.got == []
    assert not ContentAccess.objects.exists()
    assert deciding.SLOTS.taken() == 0


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}])
def test_a_stream_that_the_request_did_not_ask_for_passes_only_if_a_rule_allows_it(
    proxy: Running, tool: Tool, token: dict[str, str], accept: dict[str, str]
) -> None:
    refused = ask(proxy.port, "/tenants/7/other/events", **token, **accept)
    assert (code(refused), b"tick" in refused.body) == ((403, "stream_refused"), False)
    ends = time.monotonic() + 5
    while not tool.ended and time.monotonic() < ends:
        time.sleep(0.02)
    assert tool.ended == 1
    assert deciding.SLOTS.taken() == 0
    allowed = Held(proxy.port, "/tenants/7/events", **token, **accept)
    assert (allowed.status, allowed.has(100)) == (200, True)
    allowed.leave()


def test_another_host_is_refused(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    for host in ("other.example", "quillo.example.other.example", "127.0.0.1", "quillo.example:81", "quillo.example."):
        assert code(ask(proxy.port, "/tenants/7/x", **{**token, "Host": host})) == (421, "other_host")
    assert ask(proxy.port, "/tenants/7/x", **{**token, "Host": "QUILLO.example"}).status == 200
    assert len(tool.got) == 1


def raw(port: int, text: str, body: bytes = b"") -> tuple[int, bool]:
    """Send these bytes. Return the status of the first answer, and whether the connection ended after it."""
    with Line(port) as line:
        line.send(text.replace("\n", "\r\n").encode() + body)
        status = line.answer().status
        return status, line.is_over()


def test_a_request_that_programs_read_differently_is_refused_with_its_connection(
    proxy: Running, tool: Tool, token: dict[str, str]
) -> None:
    proof = f"Lockbox-Grant: {token['Lockbox-Grant']}\n"
    get, post = "GET /tenants/7/x HTTP/1.1\n", "POST /tenants/7/echo HTTP/1.1\n"
    host, next_one = f"Host: {HOST}\n", b"GET /tenants/7/y HTTP/1.1\r\nHost: quillo.example\r\n\r\n"
    chunked = b"0\r\n\r\n"
    tricks = {
        "both lengths": (post + host + proof + "Content-Length: 6\nTransfer-Encoding: chunked\n\n", chunked),
        "both, other order": (post + host + proof + "Transfer-Encoding: chunked\nContent-Length: 6\n\n", chunked),
        "two lengths": (post + host + proof + "Content-Length: 6\nContent-Length: 5\n\n", b"abcdef"),
        "two equal lengths": (post + host + proof + "Content-Length: 6\nContent-Length: 6\n\n", b"abcdef"),
        "a list of lengths": (post + host + proof + "Content-Length: 6, 6\n\n", b"abcdef"),
        "a length with a sign": (post + host + proof + "Content-Length: +6\n\n", b"abcdef"),
        "unknown coding": (post + host + proof + "Transfer-Encoding: xchunked\n\n", chunked),
        "two codings": (post + host + proof + "Transfer-Encoding: gzip, chunked\n\n", chunked),
        "coding twice": (post + host + proof + "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n", chunked),
        "space before colon": (post + host + proof + "Transfer-Encoding : chunked\n\n", chunked),
        "folded line": (get + host + proof + "X-A: 1\n  Transfer-Encoding: chunked\n\n", b""),
        "absolute form": (f"GET http://{HOST}/tenants/7/x HTTP/1.1\n" + host + proof + "\n", b""),
        "absolute form, other host": ("GET http://other.example/ HTTP/1.1\n" + host + proof + "\n", b""),
        "asterisk": ("OPTIONS * HTTP/1.1\n" + host + proof + "\n", b""),
        "authority": (f"CONNECT {HOST}:443 HTTP/1.1\n" + host + proof + "\n", b""),
        "two hosts": (get + host + host + proof + "\n", b""),
        "no host": (get + proof + "\n", b""),
        "old version": ("GET /tenants/7/x HTTP/1.0\n" + host + proof + "\n", b""),
        "two tokens": (get + host + proof + proof + "\n", b""),
        "zero in a value": (get + host + proof + "X-A: a\x00b\n\n", b""),
        "h2c": (get + host + proof + "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AA\n\n", b""),
        "websocket with a body": (
            "GET /tenants/7/ws HTTP/1.1\n"
            + host
            + proof
            + "".join(f"{name}: {value}\n" for name, value in WEBSOCKET.items())
            + "Content-Length: 4\n\n",
            b"abcd",
        ),
        "websocket, half": ("GET /tenants/7/ws HTTP/1.1\n" + host + proof + "Upgrade: websocket\n\n", b""),
        "fragment": ("GET /tenants/7/x#y HTTP/1.1\n" + host + proof + "\n", b""),
        "not ASCII": ("GET /tenants/7/\u00fc HTTP/1.1\n" + host + proof + "\n", b""),
    }
    for name, (text, body) in tricks.items():
        status, is_over = raw(proxy.port, text, body + next_one)
        assert status in (400, 401, 403, 405, 417, 421, 505), (name, status)
        assert is_over, name
    # A bare line feed and a bare carriage return end no line.
    for odd in (b"\nX-A: 1\r\n", b"\rX-A: 1\r\n"):
        with Line(proxy.port) as line:
            line.send((get + host + proof).replace("\n", "\r\n").encode() + b"X-B: 2" + odd + b"\r\n")
            assert line.answer().status == 400
    assert tool.got == []


def test_too_large_headers_are_refused(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    with contextlib.suppress(ConnectionError):
        assert ask(proxy.port, "/tenants/7/x", **token, A="a" * 100_000).status == 400
    many = {f"X-{n}": "a" * 1000 for n in range(80)}
    with contextlib.suppress(ConnectionError):
        assert ask(proxy.port, "/tenants/7/x", **token, **many).status in (400, 431)
    with contextlib.suppress(ConnectionError):
        assert ask(proxy.port, "/tenants/7/" + "a" * 9000, **token).status in (400, 403)
    assert tool.got == []


def test_pipelined_requests_are_judged_one_by_one(proxy: Running, tool: Tool, token: dict[str, str]) -> None:
    with Line(proxy.port) as line:
        line.ask("/tenants/7/1", **token)
        line.ask("/tenants/7/2", **token)
        line.ask("/tenants/f-7/3", **token)
        line.ask("/tenants/7/4", **token)
        assert [line.answer().status for _ in range(3)] == [200, 200, 403]
        assert line.is_over()
    assert [got["path"] for got in tool.got] == ["/tenants/7/1", "/tenants/7/2"]


def test_a_tool_that_is_down_gets_502_and_a_page_for_people(
    proxy: Running, tool: Tool, grant: Grant, token: dict[str, str]
) -> None:
    Service.objects.filter(key="quillo").update(gate_upstream="http://127.0.0.1:1")
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (502, "upstream_down")
    page = ask(proxy.port, "/tenants/7/x", **token, Accept="text/html")
    assert (page.status, b"does not answer" in page.body) == (502, True)
    # Even an address that came into the database in another way is not called.
    Service.objects.filter(key="quillo").update(gate_upstream="http://169.254.169.254")
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (502, "upstream_down")
    assert deciding.SLOTS.taken() == 0


@pytest.mark.parametrize(
    ("name", "trusts", "is_reached"),
    [("localhost", True, True), ("other.example", True, False), ("localhost", False, False)],
    ids=["valid", "another name", "unknown authority"],
)
def test_a_tool_is_called_only_with_a_valid_certificate(
    proxy: Running, token: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, trusts: bool, is_reached: bool,
) -> None:  # fmt: skip
    authority = Authority(tmp_path)
    if trusts:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    expects_certificate(proxy, token, authority.server(name), is_reached=is_reached)


def test_a_tool_with_a_certificate_that_signs_itself_is_not_called(
    proxy: Running, token: dict[str, str], tmp_path: Path
) -> None:
    expects_certificate(proxy, token, Authority(tmp_path).self_signed("localhost"), is_reached=False)


def expects_certificate(proxy: Running, token: dict[str, str], tls: ssl.SSLContext, *, is_reached: bool) -> None:
    with tool_stand.tool(tls) as secured:
        Service.objects.filter(key="quillo").update(gate_upstream=f"https://localhost:{secured.port}")
        found = ask(proxy.port, "/tenants/7/x", **token)
        assert len(secured.got) == is_reached
        if is_reached:
            assert found.status == 200
        else:
            assert code(found) == (502, "upstream_down")


def test_nothing_passes_while_the_entry_cant_be_written(
    proxy: Running, tool: Tool, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_more: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr("audit_app.recorder.record_in", fail)
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (503, "unavailable")
    monkeypatch.setattr(queries, "tool_at", fail)
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (503, "unavailable")
    assert tool.got == []
    assert deciding.SLOTS.taken() == 0


def test_one_window_has_only_so_many_requests_at_once(
    proxy: Running, tool: Tool, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MOST_PER_GRANT", 2)
    first, second = (Held(proxy.port, "/tenants/7/download", **token) for _ in range(2))
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (429, "too_many")
    first.leave()
    ends = time.monotonic() + 5
    while deciding.SLOTS.taken() > 1 and time.monotonic() < ends:
        time.sleep(0.02)
    assert ask(proxy.port, "/tenants/7/x", **token).status == 200
    second.leave()


def test_the_way_in_is_answered_here(proxy: Running, tool: Tool, grant: Grant) -> None:
    opened = ask(proxy.port, f"/.lockbox/open?grant={grant.pk}&to=/tenants/7/x")
    assert opened.status == 302
    assert opened.all("location")[0].startswith(f"{settings.BASE_URL}/oauth/authorize?")
    assert "__Host-lockbox-try=" in opened.all("set-cookie")[0]
    assert ask(proxy.port, "/.lockbox/status").json == {"open": False}
    assert ask(proxy.port, "/.lockbox/../tenants/7/x").status == 403
    assert ask(proxy.port, "/.lockbox/nothing", **{"X-Forwarded-Host": "other.example"}).status == 403
    page = ask(proxy.port, "/tenants/7/x", Accept="text/html")
    assert (page.status, settings.BASE_URL.encode() in page.body) == (401, True)
    assert tool.got == []


def test_a_request_must_have_come_over_tls(proxy: Running, token: dict[str, str], settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert code(ask(proxy.port, "/tenants/7/x", **token)) == (421, "other_host")
    assert ask(proxy.port, "/tenants/7/x", **token, **{"X-Forwarded-Proto": "https"}).status == 200


def test_a_hundred_streams_at_once_are_all_cut_in_time(
    cast: Cast, proxy: Running, grant: Grant, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, ThreadPoolExecutor(20) as threads:
        # While so many streams begin on a busy machine, the proof that their window is open can come too late.
        patched.setattr(watching, "COUNTS_FOR", 20)
        opened = threads.map(lambda _n: Held(proxy.port, "/tenants/7/events", **token, **EVENTS), range(100))
        found = {str(n): each for n, each in enumerate(opened)}
    assert all(each.status == 200 and each.has(30) for each in found.values())
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    were_cut(found, time.monotonic())
    assert len(wait_for_cuts(grant, 100)) == 100
