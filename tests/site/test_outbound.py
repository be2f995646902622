"""Outgoing HTTP: which addresses are never connected to, what is not followed, and when reading stops."""

from __future__ import annotations

import contextlib
import gzip
import ipaddress
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from requests_app.domain import clock
from requests_app.domain.errors import Busy
from requests_app.identity.sso import oidc
from requests_app.platform import outbound
from requests_app.platform.outbound import Answer, BadTarget, Target, Unreachable
from tests.authority import Authority
from tests.conftest import NetworkRefused
from tests.offenders import collected
from tests.stopwatch import in_time

Say = Callable[[socket.socket], None]
#: Seconds for which a server delays a client. Our limits are much shorter.
GOES_ON = 20


class Server:
    """A server on loopback. It reads the head of a request, and then does what the test tells it to."""

    def __init__(self, say: Say, wrap: Callable[[socket.socket], socket.socket] = lambda each: each) -> None:
        self.say, self.wrap = say, wrap
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def url(self, path: str = "/add-checkpoint") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _serve(self) -> None:
        while True:
            try:
                plain, _address = self.listener.accept()
            except OSError:
                return
            try:
                with plain, self.wrap(plain) as each:
                    self._read(each)
                    self.say(each)
            except OSError:
                continue

    def _read(self, each: socket.socket) -> None:
        got = b""
        while b"\r\n\r\n" not in got:
            more = each.recv(4096)
            if not more:
                raise OSError("nobody there")
            got += more
        head, _gap, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += each.recv(4096)
        self.heads.append(head.decode())
        self.bodies.append(body)

    def close(self) -> None:
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=120)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(say: Say, **options: Any) -> Server:
        servers.append(Server(say, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answering(raw: bytes) -> Say:
    return lambda each: each.sendall(raw)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


# --- What is sent ------------------------------------------------------------------------------------------


def test_a_body_is_posted_and_the_answer_comes_back(serve: Any) -> None:
    server = serve(answering(OK))
    assert outbound.post(server.url(), b"old 0\n", private=True) == Answer(200, "text/plain", b"hello")
    assert server.bodies == [b"old 0\n"]
    assert server.heads[0].startswith("POST /add-checkpoint HTTP/1.1\r\n")


def test_nothing_of_this_machine_goes_along(serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server, proxy = serve(answering(OK)), serve(answering(OK))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url(""))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    outbound.post(server.url(), b"x", private=True)
    assert proxy.heads == []
    names = {line.partition(":")[0].lower() for line in server.heads[0].split("\r\n")[1:]}
    assert names == {"host", "accept-encoding", "content-length", "content-type", "connection"}


def test_headers_are_sent_and_replace_none_of_the_clients(serve: Any) -> None:
    server = serve(answering(OK))
    given = {"webhook-id": "msg_1", "Connection": "keep-alive"}
    outbound.post(server.url(), b"{}", private=True, content_type="application/json", headers=given)
    lines = server.heads[0].split("\r\n")
    assert "webhook-id: msg_1" in lines
    assert "Content-Type: application/json" in lines
    assert "Connection: close" in lines


def test_a_header_that_holds_another_line_is_not_sent(serve: Any) -> None:
    server = serve(answering(OK))
    with pytest.raises(Unreachable, match="no_http"):
        outbound.post(server.url(), b"{}", private=True, headers={"webhook-id": "1\r\nX: y"})
    assert server.heads == []


def test_a_query_goes_along_where_one_is_allowed(serve: Any) -> None:
    server = serve(answering(OK))
    outbound.post(server.url("/in?sig=a%2Fb&v=1"), b"{}", private=True, query=True)
    assert server.heads[0].startswith("POST /in?sig=a%2Fb&v=1 HTTP/1.1\r\n")


def test_an_answer_of_any_status_is_an_answer(serve: Any) -> None:
    server = serve(
        answering(b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 3\r\n\r\n17\n")
    )
    assert outbound.post(server.url(), b"x", private=True) == Answer(409, "text/x.tlog.size", b"17\n")


def test_a_chunked_answer_is_read(serve: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert outbound.post(serve(answering(raw)).url(), b"x", private=True).body == b"abcde"


# --- Redirects and endless responses -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(serve: Any, status: int) -> None:
    inside = serve(answering(OK))
    head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {inside.url('/secret')}\r\nContent-Length: 0\r\n\r\n"
    server = serve(answering(head.encode()))
    assert outbound.post(server.url(), b"x", private=True).status == status
    assert inside.heads == []


def drip(each: socket.socket) -> None:
    each.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        each.sendall(b"x")
        time.sleep(GOES_ON / 100)


def drip_headers(each: socket.socket) -> None:
    each.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        each.sendall(f"X-{number}: y\r\n".encode())
        time.sleep(GOES_ON / 100)


@pytest.mark.timed
@pytest.mark.parametrize("say", [drip, drip_headers, lambda each: each.recv(1)], ids=["body", "headers", "silence"])
def test_a_slow_server_is_cut_off_at_the_total_time(serve: Any, say: Say) -> None:
    server = serve(say)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="timeout"):
        outbound.post(server.url(), b"x", private=True, seconds=0.6)
    in_time(0.5 < time.monotonic() - began < GOES_ON, time.monotonic() - began)


@pytest.mark.timed
def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: ended.wait(GOES_ON) and [])
    began = time.monotonic()
    with pytest.raises(Unreachable, match="timeout"):
        outbound.post("https://witness.example/", b"x", private=False, seconds=0.3)
    in_time(time.monotonic() - began < GOES_ON, time.monotonic() - began)
    ended.set()


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["announced", "unannounced"],
)
def test_an_answer_that_is_too_long_is_not_read_on(serve: Any, head: bytes) -> None:
    sent = []

    def flood(each: socket.socket) -> None:
        each.sendall(head)
        for _ in range(4096):
            each.sendall(b"x" * 64 * 1024)
            sent.append(1)

    with pytest.raises(Unreachable, match="too_long"):
        outbound.post(serve(flood).url(), b"x", private=True)
    time.sleep(0.2)
    assert len(sent) < 200  # the part that fits into the kernel's buffers


def test_the_beginning_of_an_endless_answer_is_enough_if_the_caller_says_so(serve: Any) -> None:
    sent = []

    def flood(each: socket.socket) -> None:
        each.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        for _ in range(4096):
            each.sendall(b"x" * 64 * 1024)
            sent.append(1)

    found = outbound.post(serve(flood).url(), b"x", private=True, cut=True)
    assert (found.status, len(found.body)) == (200, outbound.MOST_BODY)
    time.sleep(0.2)
    assert len(sent) < 200  # the part that fits into the kernel's buffers


def test_headers_without_end_are_refused(serve: Any) -> None:
    def flood(each: socket.socket) -> None:
        each.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n")

    with pytest.raises(Unreachable, match="no_http"):
        outbound.post(serve(flood).url(), b"x", private=True)


def test_the_longest_answer_is_read(serve: Any) -> None:
    body = b"x" * outbound.MOST_BODY
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert outbound.post(serve(answering(raw)).url(), b"x", private=True).body == body


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.9\r\n", b"\r\n\r\n", b""])
def test_a_server_that_is_not_http_is_reported(serve: Any, raw: bytes) -> None:
    with pytest.raises(Unreachable, match="no_http"):
        outbound.post(serve(answering(raw)).url(), b"x", private=True)


def test_a_port_without_a_server_is_reported_as_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="unreachable"):
        outbound.post(f"http://127.0.0.1:{port}/", b"x", private=True)


# --- Addresses ---------------------------------------------------------------------------------------------


def test_a_private_or_ambiguous_address_is_refused() -> None:
    cases = [
        ("http://witness.example/", "scheme"),
        ("ftp://witness.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("https://user:secret@witness.example/", "shape"),
        ("https://witness.example@10.0.0.1/", "shape"),
        ("https://witness.example/?q=1", "shape"),
        ("https://witness.example/#x", "shape"),
        ("https://witness.example/a b", "shape"),
        ("https://witness.example/\r\nX: y", "shape"),
        ("https://witness.example\\@10.0.0.1/", "shape"),
        ("https://wítness.example/", "shape"),
        ("https:///path", "shape"),
        ("https://witness.example:/", "shape"),
        ("https://witness.example:99999/", "shape"),
        ("https://witness.example:22/", "port"),
        ("https://witness.example:0/", "port"),
        ("https://witness.example:6379/", "port"),
        ("https://127.0.0.1/", "private"),
        ("https://10.0.0.1/", "private"),
        ("https://192.168.1.1/", "private"),
        ("https://172.16.0.1/", "private"),
        ("https://100.64.0.1/", "private"),
        ("https://169.254.169.254/", "private"),
        ("https://0.0.0.0/", "private"),
        ("https://255.255.255.255/", "private"),
        ("https://224.0.0.1/", "private"),
        ("https://[::1]/", "private"),
        ("https://[::]/", "private"),
        ("https://[::ffff:10.0.0.1]/", "private"),
        ("https://[::ffff:93.184.216.34]/", "private"),
        ("https://[::10.0.0.1]/", "private"),
        ("https://[::93.184.216.34]/", "private"),
        ("https://[::ffff:0:127.0.0.1]/", "private"),
        ("https://[fec0::1]/", "private"),
        ("https://[fc00::1]/", "private"),
        ("https://[100::1]/", "private"),
        ("https://[1fff::1]/", "private"),
        ("https://[4000::1]/", "private"),
        ("https://[5f00::1]/", "private"),
        ("https://[2001:1::1]/", "private"),
        ("https://[2001:db8::1]/", "private"),
        ("https://192.88.99.1/", "private"),
        ("https://192.0.0.9/", "private"),
        ("https://[64:ff9b::a00:1]/", "private"),
        ("https://[2002:a00:1::]/", "private"),
        ("https://[fe80::1]/", "private"),
        ("https://[fe80::1%25eth0]/", "shape"),
        ("https://[fd00:ec2::254]/", "private"),
        ("https://2130706433/", "shape"),
        ("https://0x7f000001/", "shape"),
        ("https://0x7f.1/", "shape"),
        ("https://0177.0.0.1/", "shape"),
        ("https://127.1/", "shape"),
        ("https://localhost/", "private"),
        ("https://a.localhost/", "private"),
        ("https://metadata.google.internal/", "private"),
        ("https://printer.local/", "private"),
        ("https://database/", "private"),
        ("https://witness.example./", "shape"),
        ("https://-a.example/", "shape"),
        ("https://" + "a" * 300 + ".example/", "shape"),
    ]
    with collected() as case:
        for url, code in cases:
            with case(url, code):
                with pytest.raises(BadTarget) as refused:
                    Target.parse(url, private=False)
                assert refused.value.code == code
                with pytest.raises(BadTarget):
                    outbound.post(url, b"x", private=False)


def test_a_public_address_is_taken() -> None:
    cases = [
        ("https://Witness.Example", Target(True, "witness.example", 443, "/")),
        ("https://witness.example:8443/w/1", Target(True, "witness.example", 8443, "/w/1")),
        ("https://93.184.216.34/", Target(True, "93.184.216.34", 443, "/")),
        ("https://[2606:2800:220:1::1]/", Target(True, "2606:2800:220:1::1", 443, "/")),
        ("https://[2001:200::1]/", Target(True, "2001:200::1", 443, "/")),
    ]
    with collected() as case:
        for url, target in cases:
            with case(url, target):
                assert Target.parse(url, private=False) == target


def test_a_query_that_can_be_read_in_two_ways_is_refused() -> None:
    cases = ["https://a.example/?", "https://a.example/?a b", "https://a.example/?a#b", "https://a.example/?ä"]
    with collected() as case:
        for url in cases:
            with case(url), pytest.raises(BadTarget):
                Target.parse(url, private=False, query=True)


def test_an_address_is_reported_without_its_path() -> None:
    cases = [
        ("https://a.example/secret/path?sig=x", "https://a.example"),
        ("https://a.example:8443/x", "https://a.example:8443"),
        ("https://[2606:2800:220:1::1]/x", "https://[2606:2800:220:1::1]"),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000"),
    ]
    with collected() as case:
        for url, place in cases:
            with case(url, place):
                assert Target.parse(url, private=place.startswith("http:"), query=True).place == place


def test_a_private_network_is_open_where_the_operator_says_so() -> None:
    cases = [
        "http://127.0.0.1:9000/",
        "http://witness:9000/",
        "https://10.0.0.1/",
        "http://[::1]/",
        "http://[fd00::1]/",
    ]
    with collected() as case:
        for url in cases:
            with case(url):
                assert Target.parse(url, private=True).path == "/"


def test_metadata_services_and_odd_spellings_stay_closed_even_there() -> None:
    cases = [
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[::]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[fec0::1]/",
        "http://192.88.99.1/",
        "http://192.0.0.192/",
        "http://0.0.0.0/",
        "http://127.1/",
    ]
    with collected() as case:
        for url in cases:
            with case(url), pytest.raises(BadTarget):
                Target.parse(url, private=True)


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Make each look-up of a name return the next of these lists of addresses. Return a list of the names looked up."""
    calls: list[str] = []

    def getaddrinfo(host: str, *_args: Any, **_options: Any) -> list[Any]:
        found = answers[min(len(calls), len(answers) - 1)]
        calls.append(host)
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(families[ipaddress.ip_address(each).version], socket.SOCK_STREAM, 6, "", (each, 0)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return calls


def test_a_name_with_a_private_address_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["::10.0.0.1"],
        ["fec0::1"],
        ["169.254.169.254"],
        ["93.184.216.34", "10.0.0.1"],
    ]
    with collected() as case:
        for addresses in cases:
            with case(addresses):
                _resolving(monkeypatch, addresses)
                monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
                with pytest.raises(Unreachable, match="address"):
                    outbound.post("https://witness.example/", b"x", private=False)


def test_a_name_that_changes_its_address_is_connected_to_the_checked_one(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = serve(answering(OK))
    lookups = _resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    monkeypatch.setattr(outbound, "PUBLIC_PORTS", {inside.port})
    # The product connects to exactly the address that it checked. Tests reach no other machine, so this fails.
    with pytest.raises(NetworkRefused, match=r"93\.184\.216\.34"):
        outbound.post(f"https://witness.example:{inside.port}/", b"x", private=False)
    assert lookups == ["witness.example"]
    assert inside.heads == []


def test_an_unknown_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, [])
    with pytest.raises(Unreachable, match="no_such_host"):
        outbound.post("https://witness.example/", b"x", private=False)


def test_the_next_address_is_tried_where_one_does_not_answer(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answering(OK))
    _resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert outbound.post(f"http://witness.example:{server.port}/", b"x", private=True).status == 200


# --- TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[Any], Any]]:
    """Return a function that makes a certificate for a name. The test trusts the authority that signs it."""
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.path))

    def wrapper(host: str) -> Callable[[Any], Any]:
        context = found.server(host)
        return lambda plain: context.wrap_socket(plain, server_side=True)

    return wrapper


def test_tls_is_verified_against_the_name_and_not_the_address(
    serve: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answering(OK), wrap=authority("witness.example"))
    _resolving(monkeypatch, ["127.0.0.1"])
    assert outbound.post(f"https://witness.example:{server.port}/", b"x", private=True).body == b"hello"
    assert f"Host: witness.example:{server.port}" in server.heads[0]
    with pytest.raises(Unreachable, match="tls"):
        outbound.post(f"https://other.example:{server.port}/", b"x", private=True)
    with pytest.raises(Unreachable, match="tls"):
        outbound.post(f"https://127.0.0.1:{server.port}/", b"x", private=True)
    assert len(server.heads) == 1


def test_a_certificate_of_nobody_is_refused(serve: Any, authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answering(OK), wrap=authority("witness.example"))
    monkeypatch.delenv("SSL_CERT_FILE")
    _resolving(monkeypatch, ["127.0.0.1"])
    with pytest.raises(Unreachable, match="tls"):
        outbound.post(f"https://witness.example:{server.port}/", b"x", private=True)
    assert server.heads == []


@pytest.mark.timed
def test_a_server_that_hangs_in_the_handshake_is_cut_off(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(plain: socket.socket) -> socket.socket:
        server.ended.wait(GOES_ON)
        return plain

    server = serve(answering(b""), wrap=silent)
    _resolving(monkeypatch, ["127.0.0.1"])
    began = time.monotonic()
    with pytest.raises(Unreachable, match="timeout"):
        outbound.post(f"https://witness.example:{server.port}/", b"x", private=True, seconds=0.4)
    in_time(time.monotonic() - began < GOES_ON, time.monotonic() - began)


# --- How many at the same time ---------------------------------------------------------------------------------------


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> outbound.Lines:
    """Return the limits on outgoing calls of a web process with 16 threads."""
    found = outbound.Lines(4)
    monkeypatch.setattr(outbound, "_lines", found)
    return found


@pytest.mark.timed
def test_one_host_that_hangs_holds_two_threads_and_no_other_host_up(
    lines: outbound.Lines, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(outbound, "resolved", lambda host, until: [ipaddress.ip_address("127.0.0.1")])
    hangs, answers = serve(lambda _: over.wait(120)), serve(lambda client: client.sendall(b"HTTP/1.1 204 X\r\n\r\n"))
    found: Counter[str] = Counter()

    def ask() -> None:
        try:
            outbound.get(hangs.url().replace("127.0.0.1", "hangs.test"), private=True, seconds=15)
        except Busy:
            found["busy"] += 1
        except Unreachable:
            found["unreachable"] += 1

    threads = [threading.Thread(target=ask) for _ in range(10)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    answer = outbound.get(answers.url().replace("127.0.0.1", "answers.test"), private=True)
    assert answer.status == 204
    while found["busy"] < 8 and time.monotonic() - began < 8:
        time.sleep(0.02)
    in_time(found["busy"] >= 8, found)
    assert found == {"busy": 8}, "one waited for a second, the others not at all"
    over.set()
    for thread in threads:
        thread.join(timeout=120)
    assert lines._taken == 0


def test_one_peer_has_its_share_whichever_hosts_it_names(lines: outbound.Lines) -> None:
    """If each host had a limit of its own, a tenant with two hosts could take all places."""
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(lines.to("hostile"))
        with pytest.raises(Busy):
            stack.enter_context(lines.to("hostile"))
        stack.enter_context(lines.to("honest"))


def test_all_calls_of_a_sign_in_count_for_the_tenant_of_the_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = list[tuple[str, str]]()
    issuer = "https://idp.example"
    party = oidc.Party(
        issuer=issuer, client_id="c", client_secret="s", scopes="openid", redirect_uri="https://us.example/", peer="t"
    )
    endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
    found = {"issuer": issuer, "jwks_uri": "https://b.example/keys", **dict.fromkeys(endpoints, "https://a.example/x")}

    def answer(method: str, url: str, *_given: Any, peer: str, **_more: Any) -> Answer:
        lookups.append((url, peer))
        words: Any = found if "well-known" in url else {"id_token": "x.y.z"} if method == "POST" else {"keys": []}
        return Answer(200, "application/json", json.dumps(words).encode())

    monkeypatch.setattr(outbound, "_ask", answer)
    flow = oidc.Flow.new()
    with pytest.raises(oidc.SignOnFailed, match="signature"):
        oidc.complete(party, flow, {"state": flow.state, "code": "1"}, at=clock.now())
    assert len(lookups) == 3
    assert {peer for _url, peer in lookups} == {"t"}


def test_a_host_that_answers_serves_one_after_another(lines: outbound.Lines, serve: Any) -> None:
    def slowly(client: socket.socket) -> None:
        time.sleep(0.1)
        client.sendall(b"HTTP/1.1 204 X\r\n\r\n")

    url, found = serve(slowly).url(), list[int]()
    threads = [threading.Thread(target=lambda: found.append(outbound.get(url, private=True).status)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert found == [204] * 3


def test_an_answer_is_never_unpacked(serve: Any) -> None:
    """A few compressed bytes could become gigabytes."""
    packed = gzip.compress(b"0" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    server = serve(lambda client: client.sendall(head + packed))
    assert outbound.get(server.url(), private=True).body == packed


def test_an_endless_informational_answer_is_refused(serve: Any) -> None:
    def say(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with pytest.raises(Unreachable, match="too_long"):
        outbound.get(serve(say).url(), private=True)
