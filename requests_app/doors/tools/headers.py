"""Decides which headers of a request reach a web tool, and which headers of its answer reach the browser. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from requests_app.domain import gate_rules

Pairs = Sequence[tuple[str, str]]

#: The most bytes of all headers of a request together.
MOST_BYTES = 64 * 1024
#: These belong to one connection only (RFC 9110, section 7.6.1).
_OF_CONNECTION = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade", "http2-settings"),
    }
)
#: What only a proxy may say to a tool. A browser could say it, too.
_ONLY_OF_PROXIES = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"),
        *("cf-connecting-ip", "fastly-client-ip", "remote-user", "x-remote-user", "x-webauth-user"),
        *("client-ip", "x-host", "x-scheme", "x-url-scheme", "front-end-https"),
    }
)
_BEGINNINGS_OF_PROXIES = ("x-forwarded-", "x-original-", "x-lockbox-", "lockbox-", "x-auth-request-")
#: The proxy writes these again.
_WRITTEN_AGAIN = frozenset({"host", "content-length", "expect", "cookie"})
#: `Alt-Svc` would lead browsers to a port that this proxy does not guard.
_NOT_FOR_BROWSERS = frozenset({"alt-svc"})
_OUR_COOKIES = "__host-lockbox"
_SINGLE = ("host", "content-length", "authorization", "lockbox-grant", "sec-websocket-key", "expect")


class BadHeaders(Exception):
    """Two programs could read this request differently. `status` is the answer to it."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


def required(pairs: Pairs) -> dict[str, str]:
    """Return the headers with their names in small letters. Raise BadHeaders if they are not clear.

    A header with an underscore is left out, because many tools read it as a header with a hyphen. If it could change
    the method or the path, it is here under that name.
    """
    if sum(len(name) + len(value) for name, value in pairs) > MOST_BYTES:
        raise BadHeaders(431)
    found: dict[str, str] = {}
    for written, value in pairs:
        name = written.lower()
        # Surrogates are numbers here, because xgettext warns of them in texts.
        if any((ord(sign) < 32 and sign != "\t") or sign == "\x7f" or 0xD800 <= ord(sign) <= 0xDFFF for sign in value):
            raise BadHeaders
        if "_" in name:
            if name.replace("_", "-") in gate_rules.OVERRIDES:
                found.setdefault(name.replace("_", "-"), "")
            continue
        if name in found and name in _SINGLE:
            raise BadHeaders
        found[name] = f"{found[name]}{'; ' if name == 'cookie' else ', '}{value}" if name in found else value
    if "transfer-encoding" in found and (found["transfer-encoding"].lower() != "chunked" or "content-length" in found):
        raise BadHeaders
    return found


def for_tool(pairs: Pairs, *, identity: str, host: str, scheme: str, proof: str) -> list[tuple[str, str]]:
    """Return the headers that the tool gets. `proof` is the name of the header that has proved who asks."""
    dropped = {*_of_connection(pairs), proof}
    rest = [(name, value) for name, value in pairs if _is_for_tool(name.lower()) and name.lower() not in dropped]
    found = [("Host", host), *rest, ("X-Forwarded-Host", host), ("X-Forwarded-Proto", scheme)]
    cookies = [value for name, value in pairs if name.lower() == "cookie"]
    if others := "; ".join(_other_cookies("; ".join(cookies))):
        found.append(("Cookie", others))
    return [*found, ("X-Lockbox-Identity", identity)] if identity else found


def proof_in(headers: dict[str, str], *, has_session: bool) -> str:
    """Return the name of the header that has the grant token, or "" if the cookie has proved who asks."""
    return "" if has_session else "lockbox-grant" if headers.get("lockbox-grant") else "authorization"


def for_browser(pairs: Pairs) -> list[tuple[str, str]]:
    """Return the headers of the tool's answer that the browser gets. The tool can't set a cookie of this product."""
    dropped = {*_of_connection(pairs), *_NOT_FOR_BROWSERS}
    return [
        (name, value)
        for name, value in pairs
        if name.lower() not in dropped
        and not name.lower().startswith("x-lockbox-")
        and not (name.lower() == "set-cookie" and value.strip(" \t=").lower().startswith(_OUR_COOKIES))
    ]


def is_stream(pairs: Pairs) -> bool:
    """Return whether an answer with these headers is a stream of events. A request does not always ask for one."""
    return any(name.lower() == "content-type" and gate_rules.STREAM_TYPE in value.lower() for name, value in pairs)


def is_websocket(method: str, headers: dict[str, str]) -> bool:
    """Return whether this is a complete WebSocket handshake (RFC 6455, section 4.1), and has no body."""
    return (
        method == "GET"
        and "upgrade" in tokens(headers.get("connection", ""))
        and headers.get("upgrade", "").lower() == "websocket"
        and headers.get("sec-websocket-version") == "13"
        and bool(headers.get("sec-websocket-key"))
        and "http2-settings" not in headers
        and "transfer-encoding" not in headers
        and headers.get("content-length", "0") == "0"
    )


def tokens(text: str) -> set[str]:
    return {each.strip().lower() for each in text.split(",")}


def _is_for_tool(name: str) -> bool:
    return (
        "_" not in name
        and name not in _ONLY_OF_PROXIES
        and name not in _WRITTEN_AGAIN
        and not name.startswith(_BEGINNINGS_OF_PROXIES)
    )


def _of_connection(pairs: Pairs) -> set[str]:
    named: set[str] = set()
    for name, value in pairs:
        if name.lower() == "connection":
            named |= tokens(value)
    return {*_OF_CONNECTION, *named}


def _other_cookies(text: str) -> Iterable[str]:
    pairs = (pair.strip() for pair in text.split(";"))
    return [pair for pair in pairs if pair and not pair.strip('="').lower().startswith(_OUR_COOKIES)]
