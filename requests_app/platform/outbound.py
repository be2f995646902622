"""Makes all outgoing HTTP calls: GET, and POST to a URL that a customer chose, with limits against SSRF.

A customer who registers a URL chooses where this server connects to. So a host name is resolved only once, and the
connection goes to the resolved address (against DNS rebinding). All addresses of the name must be public. Redirects are
not followed, the environment (proxies, netrc) is ignored, and no credentials are sent. The size of the whole answer and
the time for it are limited.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from requests_app.domain import clock
from requests_app.domain.errors import Busy
from requests_app.platform import telemetry

#: Seconds for the whole call: name, connection, TLS, request, and the last byte of the answer.
TOTAL_SECONDS = 15.0
#: Seconds to connect to one address of a name. After that, the next address is tried.
CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 4
#: The most bytes of an answer's body, and of its headers.
MOST_BODY, MOST_HEADERS = 64 * 1024, 16 * 1024
#: Seconds to wait until other calls to the same peer have ended; the second value is for a call inside a transaction.
LINE_SECONDS, LOCKED_LINE_SECONDS = 1.0, 0.2
#: Bytes that are sent in one step. They fit into one TLS record, and each record has its own time-out.
_PIECE = 16 * 1024
PUBLIC_PORTS = frozenset({443, 8443})
MOST_URL, MOST_URL_WITH_QUERY = 300, 1000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*\Z")
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*\Z")
#: A host whose last part is a number is an IPv4 address in an unusual spelling (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain")
#: Prefixes that contain an IPv4 address, or that lead into internal networks from any network.
_NEVER = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "168.63.129.16/32",  # Azure's
        "100.100.100.200/32",  # IETF protocol assignments (nearest NAT), and Oracle's metadata service
        "192.0.0.0/24",  # IETF protocol assignments, the nearest NAT among them, and Oracle's metadata service
        "192.88.99.0/24",  # the way into 6to4
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible, and no address at all
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "fd00:ec2::254/128",  # AWS's metadata service
        "fe80::/10",
        "fec0::/10",  # site-local: as private as fc00::/7, and no longer used
        "ff00::/8",
    )
)
#: This address is inside ::/96, and means the same as 127.0.0.1.
_LOOPBACK = ipaddress.IPv6Address("::1")
#: The range of public IPv6 addresses (IANA; RFC 4291, section 2.4). Python counts more addresses as global.
_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")


class Unreachable(OSError):
    """The call got no usable answer.

    `args[0]` is a code: no_such_host, address, unreachable, timeout, tls, no_http or too_long.
    """


class BadTarget(ValueError):
    """This URL must not be called. `code` says why: shape, scheme, port or private."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Target:
    """A parsed URL.

    `host` is a name in lower case, or an address. `path` includes the query string, if there is one.
    """

    is_tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, private: bool, query: bool = False) -> Target:
        """Parse a URL. Raise BadTarget if it is not allowed.

        `private` also allows plain HTTP, other ports, and addresses that are not public. That is for trial
        installations, and for a customer whose machine is in the same network. `query` allows a query string.
        """
        if (
            len(url) > (MOST_URL_WITH_QUERY if query else MOST_URL)
            or not url.isascii()
            or any(each <= " " or each == "\x7f" for each in url)
        ):
            raise BadTarget("shape")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BadTarget("shape") from None
        if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not private):
            raise BadTarget("scheme")
        if "@" in parts.netloc or "#" in url or not _PATH.match(parts.path):
            raise BadTarget("shape")
        if "?" in url and not (query and parts.query and _QUERY.match(parts.query)):
            raise BadTarget("shape")
        # "host:" has an empty port and means the same as "host". It is refused, so that one value has one spelling.
        if parts.netloc.endswith(":"):
            raise BadTarget("shape")
        host = _host(parts.hostname or "", is_bracketed="[" in parts.netloc, private=private)
        is_tls = parts.scheme == "https"
        port = port if port is not None else 443 if is_tls else 80
        if port < 1 or not (private or port in PUBLIC_PORTS):
            raise BadTarget("port")
        return cls(is_tls, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    @property
    def place(self) -> str:
        """The URL without its path. The path may be as secret as a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.is_tls else 80) else f":{self.port}"
        return f"{'https' if self.is_tls else 'http'}://{host}{port}"


def _host(host: str, *, is_bracketed: bool, private: bool) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and is_bracketed == (address.version == 6) and "%" not in host:
        if not is_allowed(address, private=private):
            raise BadTarget("private")
        return str(address)
    if is_bracketed or not _HOST.match(host) or _NUMBER.match(host.rpartition(".")[2]):
        raise BadTarget("shape")
    is_local = "." not in host or any(f".{host}".endswith(f".{name}") for name in _LOCAL_NAMES)
    if is_local and not private:
        raise BadTarget("private")
    return host


def is_allowed(address: Address, *, private: bool) -> bool:
    """Return whether a call may go to this address. `private` also allows addresses that are not public."""
    if address == _LOOPBACK:
        return private
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    return private or (address.is_global and (address.version == 4 or address in _PUBLIC_IPV6))


# --- How many at the same time ---------------------------------------------------------------------------


class Lines:
    """Limits the outgoing calls of a web process: at most `most` calls run or wait at the same time.

    At most half of this number can run to one peer at the same time. With the calls that wait, one peer can
    have all places except one. So if an identity provider hangs, threads are left for pages and for other
    identity providers. A peer with several host names still has only one limit.
    """

    def __init__(self, most: int) -> None:
        self._most, self._most_under_way, self._most_of_peer = most, max(1, most // 2), max(1, most - 1)
        self._taken, self._of_peer, self._under_way = 0, Counter[str](), Counter[str]()
        self._changed = threading.Condition()

    @contextmanager
    def to(self, peer: str) -> Iterator[None]:
        """Hold a place for one call to this peer until the block ends.

        Raise Busy immediately if no place is free, or only the one that this peer can't have. Raise Busy after a
        wait if too many calls to this peer are running.
        """
        with self._changed:
            if self._taken >= self._most or self._of_peer[peer] >= self._most_of_peer:
                raise Busy
            self._taken += 1
            self._of_peer[peer] += 1
        has_begun = False
        try:
            with self._changed:
                has_begun = self._changed.wait_for(lambda: self._has_room(peer), _patience())
                if not has_begun:
                    raise Busy
                self._under_way[peer] += 1
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._of_peer[peer] -= 1
                self._under_way[peer] -= has_begun
                self._changed.notify_all()

    def _has_room(self, peer: str) -> bool:
        return self._under_way[peer] < self._most_under_way


def _patience() -> float:
    """Return how many seconds to wait for a place.

    Inside a transaction it is less, because others wait for its locks.
    """
    return LOCKED_LINE_SECONDS if connection.in_atomic_block else LINE_SECONDS


_lines: Lines | None = None


def bound() -> None:
    """Limit the outgoing calls of this web process from now on.

    Workers don't call this. Their calls are limited in another way: each kind of work takes turns.
    """
    global _lines
    _lines = Lines(max(1, settings.WEB_THREADS // 4))


# --- Sending ---------------------------------------------------------------------------------------------


def post(
    url: str,
    body: bytes,
    *,
    private: bool,
    content_type: str = "text/plain; charset=utf-8",
    seconds: float = 0,
    headers: Mapping[str, str] | None = None,
    query: bool = False,
    cut: bool = False,
    peer: str = "",
    purpose: str = "other",
) -> Answer:
    """Send a body with POST. Return the answer, even if its status is an error.

    Raise BadTarget before anything is sent, or Unreachable. `seconds` limits the whole call; the default is
    TOTAL_SECONDS. An answer longer than MOST_BODY is an error; with `cut`, its beginning is returned instead. `peer`
    names the tenant for which the host is called. All hosts that are called for one tenant share one limit on
    simultaneous calls. `purpose` is one word of the code, for counters: the URL is never counted.
    """
    always = {"Content-Type": content_type, "Connection": "close"}
    sent = {**(headers or {}), **always}
    return _ask(
        "POST", url, body, sent, private=private, seconds=seconds, query=query, cut=cut, peer=peer, purpose=purpose
    )


def get(
    url: str,
    *,
    private: bool,
    seconds: float = 0,
    query: bool = False,
    headers: Mapping[str, str] | None = None,
    peer: str = "",
    purpose: str = "other",
    most: int = MOST_BODY,
) -> Answer:
    """Fetch a document with GET. The limits and the errors are those of post(), except the most bytes of the body."""
    sent = {"Accept": "application/json, text/plain;q=0.5", **(headers or {}), "Connection": "close"}
    return _ask(
        "GET",
        url,
        None,
        sent,
        private=private,
        seconds=seconds,
        query=query,
        cut=False,
        peer=peer,
        purpose=purpose,
        most=most,
    )


def _ask(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    private: bool,
    seconds: float,
    query: bool,
    cut: bool,
    peer: str,
    purpose: str,
    most: int = MOST_BODY,
) -> Answer:
    target = Target.parse(url, private=private, query=query)
    with telemetry.watched(telemetry.CALL, purpose), _lines.to(peer or target.host) if _lines else nullcontext():
        return _called(method, target, body, headers, private=private, seconds=seconds, cut=cut, most=most)


def _called(
    method: str,
    target: Target,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    private: bool,
    seconds: float,
    cut: bool,
    most: int,
) -> Answer:
    until = clock.monotonic() + (seconds or TOTAL_SECONDS)
    connection = _Connection(target, until, private=private, most=most)
    try:
        # Each request has its own connection, so two answers can't be mixed up.
        connection.request(method, target.path, body, dict(headers))
        response = connection.getresponse()
        found = response.read(most + (0 if cut else 1))
        if len(found) > most:
            raise Unreachable("too_long")
        return Answer(response.status, response.headers.get("Content-Type", ""), found)
    except Unreachable:
        raise
    except TimeoutError:
        raise Unreachable("timeout") from None
    except ssl.SSLError:
        raise Unreachable("tls") from None
    except (http.client.HTTPException, ValueError):
        raise Unreachable("no_http") from None
    except OSError:
        raise Unreachable("unreachable") from None
    finally:
        connection.end()


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked.

    One time limit covers everything, from the name look-up to the last byte.
    """

    def __init__(self, target: Target, until: float, *, private: bool, most: int = MOST_BODY) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        super().__init__(host, target.port)
        self.default_port = 443 if target.is_tls else 80  # any other port is part of the Host header
        self._target, self._until, self._private, self._most = target, until, private, most
        self._plain: socket.socket | None = None

    def connect(self) -> None:
        addresses = resolved(self._target.host, self._until)
        if not all(is_allowed(each, private=self._private) for each in addresses):
            # A name that has a public and a private address is refused: this is probably an attack, not a mistake.
            raise Unreachable("address")
        self._plain = first(addresses[:MOST_ADDRESSES], self._target.port, self._until)
        if self._target.is_tls:
            self._plain.settimeout(left(self._until))
            self._plain = tls().wrap_socket(self._plain, server_hostname=self._target.host)
        self.sock: Any = _Bounded(self._plain, self._until, self._most)

    def end(self) -> None:
        """Close the connection and its socket.

        After http.client has read the headers, it no longer has the socket, so its own close() would leave the
        socket open. The socket is still needed then, to read the body.
        """
        self.close()
        if self._plain is not None:
            self._plain.close()


def tls() -> ssl.SSLContext:
    """Return a TLS context that checks the server's certificate and host name.

    The context trusts the certificate authorities of the system, or those in SSL_CERT_FILE.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def address_of(text: str) -> Address:
    return ipaddress.ip_address(text)


def first(addresses: list[Address], port: int, until: float) -> socket.socket:
    """Connect to the first of these addresses that accepts a connection. Return the socket."""
    last: OSError = Unreachable("no_such_host")
    for address in addresses:
        plain = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            plain.settimeout(min(CONNECT_SECONDS, left(until)))
            plain.connect((str(address), port))
        except OSError as error:
            plain.close()
            last = error
        except BaseException:
            plain.close()
            raise
        else:
            return plain
    raise last


def resolved(host: str, until: float) -> list[Address]:
    """Return all addresses of a host name.

    The system's resolver can't be interrupted, so it runs in a thread of its own. If it hangs, that thread is
    abandoned.
    """
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    found: queue.SimpleQueue[Callable[[], list[Address]]] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(_resolved(host)), name="resolve", daemon=True).start()
    try:
        return found.get(timeout=left(until))()
    except queue.Empty:
        raise Unreachable("timeout") from None


def _resolved(host: str) -> Callable[[], list[Address]]:
    try:
        rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows]
    except (OSError, ValueError, UnicodeError):
        found = []
    if not found:
        return _no_such_host
    return lambda: list(dict.fromkeys(found))


def _no_such_host() -> list[Address]:
    raise Unreachable("no_such_host")


def left(until: float) -> float:
    left = until - clock.monotonic()
    if left <= 0:
        raise Unreachable("timeout")
    return left


def send(plain: socket.socket, data: bytes, until: float) -> None:
    """Send all the data before the time `until`, or raise an error.

    The time-out of a socket alone is not enough: it would not stop a peer that accepts a few bytes now and then.
    """
    for start in range(0, len(data), _PIECE):
        plain.settimeout(left(until))
        plain.sendall(data[start : start + _PIECE])


class _Bounded:
    """A socket for http.client. One deadline is valid for all its waits together, and the answer's size is limited.

    The time-out of an ordinary socket starts again with each wait. So a peer that sends a byte every few seconds would
    never reach that time-out.
    """

    def __init__(self, plain: socket.socket, until: float, most: int) -> None:
        self._plain, self._until, self._most = plain, until, most

    def sendall(self, data: Any) -> None:
        send(self._plain, data, self._until)

    def makefile(self, mode: str, *_args: Any, **_options: Any) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError("an answer is only read")
        return io.BufferedReader(Incoming(self._plain, self._until, self._most + MOST_HEADERS))

    def close(self) -> None:
        """Do nothing. _Connection closes the socket, after the body is read."""


class Incoming(io.RawIOBase):
    """Reads at most `room` bytes from a peer, and only before the time `until`.

    Raises Unreachable beyond these limits.
    """

    def __init__(self, plain: socket.socket, until: float, room: int) -> None:
        self._plain, self.until, self.room = plain, until, room

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.room <= 0:
            raise Unreachable("too_long")
        self._plain.settimeout(left(self.until))
        got = self._plain.recv_into(memoryview(buffer)[: self.room])
        self.room -= got
        return got
